"""
How streams end: by both their halves, or before that by a reset of ours, at once or in its turn.

Law: RFC 9113 §5.1's ways to "closed", and §8.1: an answer in full ends a request in part. What the peer's own resets and
faults lead to is decided where they are read (`control`, `faults`).
"""

from typing import final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.drain import Drain
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.handler import ConnectionHandler
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.pacing import Pacing
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.http2.table import StreamTable


@final
class Closing:
    __slots__ = (
        "_at_once",
        "_budgets",
        "_drain",
        "_flow",
        "_handler",
        "_output",
        "_server",
        "_table",
        "pacing",
    )

    def __init__(
        self,
        handler: ConnectionHandler,
        limits: Limits,
        output: Output,
        flow: FlowControl,
        budgets: Budgets,
        table: StreamTable,
        *,
        server: bool,
    ) -> None:
        self._handler = handler
        self._output = output
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._server = server
        self._at_once = server or not limits.pace_resets
        # The resets of a server's streams that wait for their turn.
        self.pacing = Pacing()
        self._drain = Drain(handler, flow, self.pacing)

    def end_local(self, stream: Stream) -> None:
        """Note that our half has ended."""
        stream.local_ended = True
        if stream.remote_ended:
            self._table.open.pop(stream.id, None)
            self._budgets.completed += 1
            if self._server:
                # Over: it must not keep its sink, nor be kept by it.
                stream.sink = None
                if stream.held:
                    self._flow.release(stream)
        elif self._server:
            # The answer is complete, so the rest of the request is of no use (RFC 9113 §8.1). Left
            # half-closed, the stream would be held by a client that never ends it.
            self._budgets.completed += 1
            self._flow.release(stream)
            self.abandon(stream, frames.NO_ERROR)

    def end_remote(self, stream: Stream) -> None:
        """Note that the peer's half has ended."""
        stream.remote_ended = True
        if stream.local_ended:
            self._table.open.pop(stream.id, None)
            self._budgets.completed += 1
        elif not self._server:
            # The server has answered in full and will not read the rest of the request.
            self._budgets.completed += 1
            self.abandon(stream, frames.NO_ERROR)

    def reset(self, stream: Stream, code: int, owner: int) -> None:
        """
        End a stream at once; its sink hears nothing more, what it still holds counts as consumed.

        In the client role the server learns of it in its turn (see `pacing`); `owner` is a number for the client
        on whose behalf.
        """
        table = self._table
        if table.open.get(stream.id) is not stream or self._output.closed:
            self._flow.release(stream)
        elif self._may_reset(owner):
            self._flow.release(stream)
            table.forget(stream)
            table.remember_reset(stream.id, ours=True)
            self._output.put(frames.rst_stream(stream.id, code))
        else:
            stream.sink = self._drain
            stream.queue = stream.arrived = None
            # Whether our half is open, which only the reset can end.
            stream.tail = None if stream.local_ended else b""
            table.waiting.pop(stream.id, None)
            self._flow.consume(stream, stream.held)
            self._wait(stream.id, code, owner)

    def abandon(self, stream: Stream, code: int) -> None:
        """Forget a stream now, and tell the peer at once or in its turn."""
        self._table.forget(stream)
        self._table.remember_reset(stream.id, ours=True)
        if self._may_reset(0):
            self.pacing.drop(stream.id)
            self._output.put(frames.rst_stream(stream.id, code))
        else:
            self._wait(stream.id, code, 0)

    def reset_due(self) -> None:
        """Reset the streams whose turn has come."""
        table = self._table
        for stream_id, code in self.pacing.due(self._budgets.now, self._budgets.completed):
            stream = table.open.get(stream_id)
            if stream is not None:
                table.forget(stream)
            self._output.put(frames.rst_stream(stream_id, code))

    def _may_reset(self, owner: int) -> bool:
        return self._at_once or self.pacing.may_go(owner, self._budgets.now, self._budgets.completed)

    def _wait(self, stream_id: int, code: int, owner: int) -> None:
        self.pacing.wait(stream_id, code, owner, self._budgets.now)
        self._handler.on_reset_waits()
