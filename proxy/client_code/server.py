"""Where an example connects, and what it shows there.

Law: names files and a variable, never what is in them: code is passed on, and must not carry a secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.core.explain import escape

TOKEN_VARIABLE: Final = "TFS_PROXY_TOKEN"  # noqa: S105  its name, not its value
"""The environment variable that holds the bearer token."""

_LONGEST: Final = 600


@dataclass(frozen=True, slots=True)
class Server:
    """An address, and what is asked there. With `tls`, `ca` are the roots that know the server (None: the usual ones),
    `name` is what its certificate carries where that is not the host of `target`, and `certificate` and `key` are the
    client's own: PEM files. With `token` the call carries the one in TOKEN_VARIABLE.
    """

    target: str
    tls: bool = False
    ca: str | None = None
    name: str | None = None
    certificate: str | None = None
    key: str | None = None
    token: bool = False

    def needs(self) -> Iterator[str]:
        """What must be there for the code to run, each a line of printable ASCII."""
        if self.ca:
            yield f"{escape(self.ca, _LONGEST)}: the certificate that signed the server's (PEM)"
        if self.certificate and self.key:
            yield (
                f"{escape(self.certificate, _LONGEST)} and {escape(self.key, _LONGEST)}: "
                "this client's certificate and its key (PEM)"
            )
        if self.token:
            yield f"the environment variable {TOKEN_VARIABLE}: this client's token"
