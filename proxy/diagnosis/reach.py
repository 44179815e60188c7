"""What a probe saw of the way to a server: names, addresses, what the port speaks, forward proxies.

Law: facts as plain data, in the order in which a probe finds them; what they mean is judged in transport.py.
"""

from dataclasses import dataclass
from enum import StrEnum


class Connect(StrEnum):
    """How an attempt to open a TCP (or Unix) connection ended."""

    OPEN = "open"
    REFUSED = "refused"
    TIMED_OUT = "timed out"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One address (`127.0.0.1:8500`, `[::1]:8500`, `unix:/path`) and what connecting to it gave.

    `text` is the system's reason where it did not succeed, `seconds` how long it took.
    """

    address: str
    result: Connect
    seconds: float = 0.0
    text: str = ""


class Speaks(StrEnum):
    """What a port turned out to speak when it was spoken to as the channel would."""

    HTTP2 = "http2"
    HTTP1 = "http1"
    TLS = "tls"
    """It wants TLS and was spoken to in plaintext."""
    PLAINTEXT = "plaintext"
    """It was spoken to in TLS and does not know it."""
    CERTIFICATE = "certificate"
    """TLS on both sides, and one does not accept the other's certificate."""
    NO_ALPN = "no alpn"
    """TLS on both sides, without agreement on HTTP/2, which gRPC demands."""
    SILENT = "silent"
    CLOSES = "closes"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a port speaks. `text` is a detail for a person (a status line, a TLS error)."""

    address: str
    speaks: Speaks
    text: str = ""
    rest: bool = False
    """It is TensorFlow Serving's REST interface."""


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """The forward proxy that gRPC clients of this environment take. Credentials are left out.

    `bypass` is the variable that exempts the target ("": none does, so clients go through it).
    """

    variable: str
    address: str
    bypass: str = ""

    @property
    def applies(self) -> bool:
        return not self.bypass


@dataclass(frozen=True, slots=True)
class Reach:
    """One probe of the way to `target`, as far as it got; `tls` and `obeys_proxy` say how the channel goes.

    `host` is empty for a Unix socket. `name_error` says why the name has no address. `was_up`: there was a
    connection before; that alone is known before the first probe.
    """

    target: str
    host: str = ""
    tls: bool = False
    addresses: tuple[str, ...] = ()
    name_error: str = ""
    attempts: tuple[Attempt, ...] = ()
    spoken: Spoken | None = None
    forward_proxy: ForwardProxy | None = None
    obeys_proxy: bool = False
    was_up: bool = False

    @property
    def open(self) -> tuple[Attempt, ...]:
        """The addresses that take connections."""
        return tuple(attempt for attempt in self.attempts if attempt.result is Connect.OPEN)
