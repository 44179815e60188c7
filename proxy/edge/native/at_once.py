"""
Calls that are answered here, without asking anyone: a health check must not wait for whoever else is asking.

Law: one message that comes at once, one status out. What is unusual (cut, compressed, more than one message) goes the
way of the other local services instead, which know all of gRPC, are counted and have a time.
"""

from typing import Final, Protocol, final

from proxy.edge.local import Answering
from proxy.edge.native import rpc
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream, StreamSink
from proxy.edge.native.rpc import PREFIX, RequestHead

_HEAD: Final = encode_fields(((b":status", b"200"), (b"content-type", b"application/grpc")))
_OK: Final = encode_fields(((b"grpc-status", b"0"),))


class Relaying(Protocol):
    """Who begins a call instead."""

    def relay(self, stream: Stream, head: RequestHead) -> StreamSink:
        """Begin a call on the stream, whose sink it is from now on."""


@final
class AtOnce:
    """Hears one request out and answers it. A `StreamSink` of the client's stream."""

    __slots__ = ("_answer", "_connection", "_head", "_pieces", "_relaying", "_size")

    def __init__(
        self, connection: Connection, answer: Answering, head: RequestHead, relaying: Relaying
    ) -> None:
        self._connection = connection
        self._answer = answer
        self._head = head
        self._relaying = relaying
        self._pieces: list[Buffer] = []
        self._size = 0

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        self._size, self._pieces = size, pieces
        if ended:
            self._settle(stream)
        else:
            self.relay(stream)

    def on_trailers(self, stream: Stream, _block: HeaderBlock) -> None:
        self._settle(stream)

    def on_reset(self, stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        """Nothing to undo."""

    def on_sent(self, stream: Stream, count: int) -> None:
        """Nothing to open again."""

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""

    def _settle(self, stream: Stream) -> None:
        body = b"".join(self._pieces)
        if len(body) < PREFIX or body[0] or int.from_bytes(body[1:PREFIX], "big") != len(body) - PREFIX:
            self.relay(stream, ended=True)
            return
        code, answer = self._answer(body[PREFIX:])
        if isinstance(answer, str):
            self._connection.send_head(stream, rpc.status_block(code, answer, alone=True), end=True)
            return
        self._connection.send_head(stream, _HEAD)
        message = bytes(1) + len(answer).to_bytes(PREFIX - 1, "big") + answer
        self._connection.send_data(stream, [message], len(message))
        self._connection.send_trailers(stream, _OK)

    def relay(self, stream: Stream, *, ended: bool = False) -> None:
        """Have the call answered like those of the other local services."""
        call = self._relaying.relay(stream, self._head)
        if self._size or ended:
            call.on_data(stream, self._pieces, self._size, ended)
