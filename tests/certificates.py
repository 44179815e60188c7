"""A CA, and certificates of its making, which OpenSSL writes."""

import subprocess
from pathlib import Path

_NEW_KEY = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9")


class Authority:
    """Signs in a folder: `ca.pem`, and `NAME.pem` with `NAME.key` for who asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._openssl("-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
        self.roots = folder / "ca.pem"

    def sign(self, name: str, alternative: str = "DNS:localhost,IP:127.0.0.1", days: int = 9) -> Path:
        """A certificate with this subjectAltName ("": none); its key stands beside it."""
        names = ("-addext", f"subjectAltName={alternative}") if alternative else ()
        self._openssl(
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"),
            *(*names, "-subj", f"/CN={name}", "-days", str(days)),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )
        return self.folder / f"{name}.pem"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *_NEW_KEY, *arguments], cwd=self.folder, check=True, capture_output=True)


def key_of(certificate: Path) -> Path:
    return certificate.with_suffix(".key")
