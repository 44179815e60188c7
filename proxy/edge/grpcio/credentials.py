"""The certificate that this edge answers TLS with, and another one in its place while it runs.

Law: files to what gRPC's core takes. The core asks at each handshake, on a thread of its own, whether there is a new one;
whether clients must show a certificate is settled when the process starts.
"""

import ssl
from pathlib import Path
from typing import Any

import grpc

Configuration = Any
"""grpc.ServerCertificateConfiguration."""


def configuration(certificate: Path, key: Path, client_ca: Path | None) -> Configuration:
    """What the files hold, checked, because gRPC reports an unusable one only in its own log. Raises ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A password stops OpenSSL from asking at the terminal.
        context.load_cert_chain(certificate, key, password="")
        if client_ca is not None:
            context.load_verify_locations(client_ca)
        return grpc.ssl_server_certificate_configuration(
            [(key.read_bytes(), certificate.read_bytes())],
            root_certificates=client_ca.read_bytes() if client_ca is not None else None,
        )
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"cannot use the TLS files of --listen-…: {error.strerror or error}") from error


class ListenCredentials:
    """Credentials for a server; `ours` are what its port is opened with."""

    def __init__(self, first: Configuration, *, demand: bool) -> None:
        self._next: Configuration | None = None
        self.ours = grpc.dynamic_ssl_server_credentials(
            first, self._fetch, require_client_authentication=demand
        )

    def renew(self, tls: Configuration) -> None:
        """Meet who comes from now on with this."""
        self._next = tls

    def _fetch(self) -> Configuration:
        # Of two threads that ask at once one has it, which is enough: the core keeps it for all.
        fresh, self._next = self._next, None
        return fresh
