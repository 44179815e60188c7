"""
The server's half of a call: what it answers, and what the proxy adds to the end of that.

Law: frames flow to the client as they come; only the last fields may change, by an explanation behind an error and
by warnings. What passes is counted and looked at for the version that answered, never held.
"""

from typing import TYPE_CHECKING

from proxy.core.types import ModelKey
from proxy.edge.native import rpc
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.rpc import ResponseHead, response_head
from proxy.edge.native.served import ServedVersion, keep_answer

if TYPE_CHECKING:
    from proxy.edge.native.sending import Sending


class Answer:
    """The server's half of a call. A `StreamSink` of the server's stream."""

    __slots__ = ("call", "served")

    def __init__(self, call: "Sending") -> None:
        self.call = call
        self.served: ServedVersion | None = None

    def on_head(self, _stream: Stream, block: HeaderBlock, ended: bool) -> None:
        call = self.call
        head = response_head(block)
        call.replay = None
        if call.held:
            call.release()
        if call.unsent:
            call.book()
        if head.fault:
            # What follows is a page for a browser: no client of gRPC can read it.
            code = rpc.UNKNOWN if head.code is None else head.code
            call.give_up(code, f"{call.pool.target} did not answer in gRPC: {head.fault}")
        elif ended and head.code is None:
            self._end_without_status()
        elif ended:
            call.down.send_head(call.down_stream, self._ending(block, head) + call.trailing, end=True)
            call.head_sent = True
            call.finish(head.code or rpc.OK)
        else:
            call.head_sent = True
            call.down.send_head(call.down_stream, head.block)

    def _ending(self, block: HeaderBlock, head: ResponseHead) -> bytes:
        """The server's last fields, with what the proxy knows about an error added to them."""
        if not head.code or block.get(b"grpc-status") is None:
            return head.block
        annotated = self.call.explained(head.code, rpc.message_of(block), rpc.details_of(block))
        return head.block if annotated is None else rpc.reworded(block, annotated)

    def on_informational(self, _stream: Stream, block: HeaderBlock) -> None:
        self.call.down.send_head(self.call.down_stream, response_head(block).block)

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        call = self.call
        sent = call.down.send_data(call.down_stream, pieces, size, False)
        if call.up is not None:
            call.up.consume(stream, sent)
        if size:
            call.sent.feed(pieces, size)
        if call.outcome.watched is not None:
            call.outcome.answer = keep_answer(call.outcome.answer, *pieces)
        if call.key is not None and size:
            self._look_for_version(call.key, pieces)
        if sent != size:
            call.keep_unread(size - sent)
        if ended:
            self._end_without_status()

    def _end_without_status(self) -> None:
        """Say so: not gRPC, or a front that drops trailers; clients of gRPC put it down to the connection."""
        text = f"tfs-proxy: the answer of {self.call.pool.target} ended without a gRPC status"
        self.call.fail(rpc.UNKNOWN, text, behind=True)

    def _look_for_version(self, key: ModelKey, pieces: list[Buffer]) -> None:
        call = self.call
        if self.served is None:
            if call.plane.tails.fits(key, call.version, pieces[0]):
                return
            self.served = ServedVersion()
        version = self.served.feed(*pieces)
        if version is None:
            return
        if version != call.version:
            call.plane.version_seen(key.model, version, key.label)
        else:
            call.plane.tails.learn(key, version, pieces[0])

    def on_trailers(self, _stream: Stream, block: HeaderBlock) -> None:
        call = self.call
        head = response_head(block)
        if head.code is None:
            self._end_without_status()
            return
        if call.unsettled is not None and head.code == rpc.OK:
            call.plane.gate.learn(call.unsettled)
        call.down.send_trailers(call.down_stream, self._ending(block, head) + call.trailing)
        call.finish(head.code)

    def on_reset(self, _stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        call = self.call
        if call.over or (unprocessed and call.try_again()):
            return
        status = rpc.UNAVAILABLE if unprocessed else rpc.status_of_reset(code)
        call.fail(status, f"tfs-proxy: the server {call.pool.target} did not answer in full: {reason}")

    def on_sent(self, _stream: Stream, count: int) -> None:
        call = self.call
        call.unsent -= count
        call.passed(count)
        if call.cut is None:
            call.book()
