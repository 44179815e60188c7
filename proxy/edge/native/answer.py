"""
The server's answer on its way to the client, and what the proxy adds to the end of that.

Law: frames flow to the client as they come; only the last fields may change, by an explanation behind an error and
by warnings. What passes is counted and looked at for the version that answered, never held.
"""

from typing import Protocol, final

from proxy.core.types import ModelKey
from proxy.core.verdict import Verdict
from proxy.edge.native import rpc
from proxy.edge.native.client_side import ClientSide
from proxy.edge.native.completion import Completion
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.kept_answer import keep_answer
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.plane import Plane
from proxy.edge.native.record import Record
from proxy.edge.native.rpc import ResponseHead, response_head
from proxy.edge.native.served_version import ServedVersion
from proxy.edge.native.server_side import ServerSide


class Answered(Protocol):
    """A call, as its answer sees it."""

    plane: Plane
    record: Record
    ledger: Ledger
    client: ClientSide
    server: ServerSide
    completion: Completion

    def try_again(self) -> bool:
        """Send the request once more, where that can be done: the server guarantees that it has not looked at it."""


@final
class Answer:
    """Passes the answer on. A `StreamSink` of the server's stream."""

    __slots__ = ("_call", "_client", "_completion", "_record", "_server", "_version")

    def __init__(self, call: Answered) -> None:
        self._call = call
        self._client = call.client
        self._server = call.server
        self._completion = call.completion
        self._record = call.record
        self._version: ServedVersion | None = None

    def on_head(self, _stream: Stream, block: HeaderBlock, ended: bool) -> None:
        head = response_head(block)
        full = self._server.commit()
        if full is not None:
            self._completion.refuse(full)
        if head.fault:
            # What follows is a page for a browser: no client of gRPC can read it.
            code = rpc.UNKNOWN if head.code is None else head.code
            self._note(code)
            self._completion.give_up(code, f"{self._server.pool.target} did not answer in gRPC: {head.fault}")
        elif ended and head.code is None:
            self._end_without_status()
        elif ended:
            if self._server.pool.backends is not None:
                self._note(head.code or rpc.OK)
            self._client.send_only_head(self._ending(block, head) + self._record.trailing)
            self._completion.finish(head.code or rpc.OK)
        else:
            self._client.send_head(head.block)

    def _ending(self, block: HeaderBlock, head: ResponseHead) -> bytes:
        """The server's last fields, with what the proxy knows about an error added to them."""
        if not head.code or block.get(b"grpc-status") is None:
            return head.block
        annotated = self._completion.explained(head.code, rpc.message_of(block), rpc.details_of(block))
        if annotated is None:
            return head.block
        return rpc.reworded(block, annotated, self._record.outcome.request_id)

    def on_informational(self, _stream: Stream, block: HeaderBlock) -> None:
        self._client.send_informational(response_head(block).block)

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        record, client, server = self._record, self._client, self._server
        sent = client.connection.send_data(client.stream, pieces, size, False)
        if server.connection is not None:
            server.connection.consume(stream, sent)
        if size:
            record.sent.feed(pieces, size)
        outcome = record.outcome
        if outcome.watched is not None:
            outcome.answer = keep_answer(outcome.answer, *pieces)
        if record.key is not None and size:
            self._look_for_version(record.key, pieces)
        if sent != size:
            self._refuse_if(self._call.ledger.leave_unread(size - sent))
        if ended:
            self._end_without_status()

    def _end_without_status(self) -> None:
        """Say so: not gRPC, or a front that drops trailers; clients of gRPC put it down to the connection."""
        text = f"tfs-proxy: the answer of {self._server.pool.target} ended without a gRPC status"
        self._completion.fail(rpc.UNKNOWN, text, behind=True)

    def _look_for_version(self, key: ModelKey, pieces: list[Buffer]) -> None:
        plane, judged_by = self._call.plane, self._record.version
        if self._version is None:
            if plane.version_suffixes.fits(key, judged_by, pieces[0]):
                return
            self._version = ServedVersion()
        version = self._version.feed(*pieces)
        if version is None:
            return
        if version != judged_by:
            plane.version_seen(key.model, version, key.label)
        else:
            plane.version_suffixes.learn(key, version, pieces[0])

    def on_trailers(self, _stream: Stream, block: HeaderBlock) -> None:
        record = self._record
        head = response_head(block)
        if head.code is None:
            self._end_without_status()
            return
        if record.unsettled is not None and head.code == rpc.OK:
            self._call.plane.gate.learn(record.unsettled)
        if self._server.pool.backends is not None:
            self._note(head.code)
        self._client.send_trailers(self._ending(block, head) + record.trailing)
        self._completion.finish(head.code)

    def on_reset(self, _stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        if self._completion.over or (unprocessed and self._call.try_again()):
            return
        status = rpc.UNAVAILABLE if unprocessed else rpc.status_of_reset(code)
        self._note(status)
        target = self._server.pool.target
        self._completion.fail(status, f"tfs-proxy: the server {target} did not answer in full: {reason}")

    def _note(self, code: int) -> None:
        """Let the pool know how the server did."""
        server = self._server
        if server.connection is not None:
            server.pool.answered(server.connection, code)

    def on_sent(self, _stream: Stream, count: int) -> None:
        self._refuse_if(self._server.sent(count))

    def _refuse_if(self, full: Verdict | None) -> None:
        if full is not None:
            self._completion.refuse(full)
