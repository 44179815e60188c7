"""
What comes first on a connection, both ways (RFC 9113 §3.4): a client's 24 fixed octets, then SETTINGS.

Law: what we announce, and that the peer begins as it must; nothing is read here after that.
"""

from typing import Final, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.frames import ACK, PREFACE, PROTOCOL_ERROR, SETTINGS
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output

_HTTP_1_METHODS: Final = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN")
_HTTP_1_TEXT: Final = b"This port speaks gRPC over HTTP/2 only.\n"
HTTP_1_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_HTTP_1_TEXT), _HTTP_1_TEXT)
)


@final
class Handshake:
    """`expected` is what has still to come of a client's preface; `greeted`: the peer's SETTINGS have begun."""

    __slots__ = ("_limits", "_output", "_server", "expected", "greeted")

    def __init__(self, limits: Limits, output: Output, *, server: bool) -> None:
        self._limits = limits
        self._output = output
        self._server = server
        self.expected = PREFACE if server else b""
        self.greeted = False
        if not server:
            output.put(PREFACE)
            self._greet()

    def read_preface(self, data: bytes | memoryview) -> int:
        """Read what is expected of the preface; return where reading goes on."""
        expected = self.expected
        size = min(len(expected), len(data))
        if data[:size] != expected[:size]:
            raise PeerFault(PROTOCOL_ERROR, "the client does not speak HTTP/2: invalid connection preface")
        self.expected = expected[size:]
        if not self.expected:
            self._greet()
        return size

    def check_first(self, kind: int, flags: int) -> None:
        """Check that the peer's first frame is SETTINGS."""
        if kind != SETTINGS or flags & ACK:
            text = "the first frame is not SETTINGS"
            raise PeerFault(
                PROTOCOL_ERROR, text if self._server else f"the server does not speak HTTP/2: {text}"
            )
        self.greeted = True

    def _greet(self) -> None:
        """Send our SETTINGS and widen the connection window to what we allow."""
        limits = self._limits
        values = {
            frames.INITIAL_WINDOW_SIZE: limits.stream_window,
            frames.MAX_HEADER_LIST_SIZE: limits.header_list_size,
        }
        if self._server:
            values[frames.MAX_CONCURRENT_STREAMS] = limits.concurrent_streams
        else:
            values[frames.ENABLE_PUSH] = 0
        self._output.put(frames.settings(values))
        if limits.connection_window > frames.DEFAULT_WINDOW:
            self._output.put(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))


def is_http_1(data: bytes | memoryview) -> bool:
    """Whether a client's first octets are a request of HTTP/1."""
    return bytes(data[:4]) in _HTTP_1_METHODS
