"""
What becomes of a peer's mistakes on streams: RFC 9113 §5.4.2, and §5.1 of streams that are not open.

Law: resets the stream, tells its sink, charges the peer. Which frame is a mistake is said where it is read (`headers`,
`data`, `control`); a mistake of the whole connection is raised as PeerFault.
"""

from typing import Final, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.arrivals import Arrivals
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.frames import DATA, HEADERS, PROTOCOL_ERROR, RST_STREAM, STREAM_CLOSED
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.http2.table import StreamTable

NOT_AS_PROMISED: Final = "DATA differs from content-length"


@final
class Faults:
    __slots__ = ("_arrivals", "_budgets", "_closing", "_flow", "_output", "_server", "_table")

    def __init__(
        self,
        output: Output,
        flow: FlowControl,
        budgets: Budgets,
        table: StreamTable,
        closing: Closing,
        arrivals: Arrivals,
        *,
        server: bool,
    ) -> None:
        self._output = output
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._closing = closing
        self._arrivals = arrivals
        self._server = server

    def answer(self, frame: bytes) -> None:
        """Send an answer that the peer provoked; bounded while the peer does not read."""
        self._budgets.charge_answer(paused=self._output.paused)
        self._output.put(frame)

    def refuse(self, stream_id: int, code: int) -> None:
        """Answer a stream error on a stream that nobody was told of."""
        self._budgets.charge_reset()
        self._table.remember_reset(stream_id, ours=True)
        self.answer(frames.rst_stream(stream_id, code))

    def of_stream(self, stream: Stream, code: int, text: str) -> None:
        """Answer a stream error once the sink has heard what came before the mistake, however it was cut."""
        table = self._table
        if stream.arrived is not None:
            self._arrivals.tell()
            if table.open.get(stream.id) is not stream:
                # The sink has reset the stream itself.
                return
        self._budgets.charge_reset()
        self._flow.release(stream)
        if self._server:
            table.forget(stream)
            table.remember_reset(stream.id, ours=True)
            self.answer(frames.rst_stream(stream.id, code))
        else:
            nobody_listens = stream.id in self._closing.pacing
            self._closing.abandon(stream, code)
            if nobody_listens:
                return
        if stream.sink is not None:
            reason = text if self._server else frames.mistake(code, text)
            stream.sink.on_reset(stream, code, reason, False)

    def absent(self, kind: int, stream_id: int) -> None:
        """Judge a frame on a stream that is not open (RFC 9113 §5.1, "idle" and "closed")."""
        if stream_id == 0:
            raise PeerFault(PROTOCOL_ERROR, "a frame that belongs to a stream names none")
        if self._table.is_idle(stream_id):
            raise PeerFault(PROTOCOL_ERROR, "a frame on a stream that was never opened")
        if not self._server:
            # Ours, and over: since we ended it, or the server has told us what we need. What is still on its way
            # is what clients left behind, so it is no fault of the connection that all of them share.
            if kind == RST_STREAM:
                self._closing.pacing.drop(stream_id)
            return
        ours = self._table.reset_by_us(stream_id)
        if ours or kind not in {DATA, HEADERS}:
            # Sent before the peer knew, or without consequence.
            self._budgets.charge_nuisance()
        elif ours is False:
            self._budgets.charge_reset()
            self.answer(frames.rst_stream(stream_id, STREAM_CLOSED))
        else:
            raise PeerFault(STREAM_CLOSED, "a frame on a stream that the peer has ended")
