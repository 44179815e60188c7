"""
Requests that are not gRPC.

Law: heard to their end, then told so (gRPC over HTTP/2: 415); nothing of them goes on or is counted as a call.
"""

from typing import Final, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.rpc import UNKNOWN

_TEXT: Final = b"This port speaks gRPC: POST with content-type application/grpc.\n"
_HEAD: Final = encode_fields(
    (
        (b":status", b"415"),
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(_TEXT)),
        (b"grpc-status", b"%d" % UNKNOWN),
    )
)


@final
class NotGrpc:
    """Hears a request out and says what this port speaks. A `StreamSink` of the client's stream."""

    __slots__ = ("connection", "stream", "unread")

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self.connection = connection
        self.stream = stream
        self.unread = 0

    def is_timed(self) -> bool:
        """A request that nobody wants does not take for ever."""
        return True

    def is_unfinished(self) -> bool:
        """Whether more is to come: it is answered at its end."""
        return not self.stream.remote_ended

    def stall(self, _octets: int, _seconds: float) -> None:
        """End what came too slowly."""
        self.connection.reset(self.stream, frames.CANCEL)

    def abandon(self) -> None:
        """Never called: a few octets do not wait."""

    def begin(self, stream: Stream, *, ended: bool) -> None:
        if ended:
            self._answer(stream)

    def on_data(self, stream: Stream, _pieces: list[Buffer], size: int, ended: bool) -> None:
        self.connection.consume(stream, size)
        if ended:
            self._answer(stream)

    def on_trailers(self, stream: Stream, _block: HeaderBlock) -> None:
        self._answer(stream)

    def on_reset(self, stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        """Nothing to undo."""

    def on_sent(self, stream: Stream, count: int) -> None:
        """Nothing to open again."""

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""

    def _answer(self, stream: Stream) -> None:
        self.connection.send_head(stream, _HEAD)
        self.connection.send_data(stream, [_TEXT], len(_TEXT), True)
