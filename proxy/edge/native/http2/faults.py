"""
What becomes of a peer's mistakes, and who is charged for frames that carry nothing.

Law: stream errors, connection errors and budgets (RFC 9113 §5.1, §5.4, §10.5); which frame is a mistake is said
where it is read (`control`, `blocks`, `inbound`).
"""

from typing import Any, Final, Protocol

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import PeerFault
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.frames import DATA, HEADERS, PROTOCOL_ERROR, RST_STREAM, STREAM_CLOSED
from proxy.edge.native.http2.limits import Budget, Limits
from proxy.edge.native.http2.outbound import Outbound
from proxy.edge.native.http2.stream import Stream

NOT_AS_PROMISED: Final = "DATA differs from content-length"

# One useful frame that we sent entitles the peer to this many frames that carry nothing (it acknowledges,
# measures and widens windows because of what we send).
_NUISANCE_CREDIT: Final = 8


class ConnectionHandler(Protocol):
    """Who is told what happens on the connection as a whole."""

    def on_request(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """
        Take a stream that a client opened (server role only): give it a sink, answer it or reset it.

        `block.oversized` says that it must be refused for the size of its header section.
        """

    def on_settings(self) -> None:
        """Learn that the peer's settings have arrived or changed."""

    def on_ping_ack(self, payload: bytes) -> None:
        """Learn that a PING of ours came back."""

    def on_goaway(self, last_stream: int, code: int, debug: bytes) -> None:
        """Learn that the peer takes no stream beyond `last_stream`; our own beyond it are already reset."""

    def on_reset_waits(self) -> None:
        """Learn that a reset waits for its turn: `reset_due` is to be called after `pacing.AGE` seconds."""

    def on_drained(self) -> None:
        """Learn that a stream that was waiting to be reset has ended by itself."""

    def on_fault(self, fault: PeerFault) -> None:
        """Write what is in `out` and close: the connection is over for a fault of the peer."""


class Faults(Outbound):
    """How the receiving side answers what is wrong; see `connection` for the whole."""

    def __init__(self, handler: ConnectionHandler, limits: Limits, ready: list[Any], *, server: bool) -> None:
        super().__init__(limits, ready, server=server)
        self.handler = handler
        self.next_stream = 1
        self._resets = Budget(limits.reset_burst, limits.reset_rate, 1)
        self._nuisances = Budget(limits.nuisance_burst, limits.nuisance_rate, _NUISANCE_CREDIT)
        self._backlog = 0

    def _charge_nuisance(self) -> None:
        if not self._nuisances.spend(self.now, self.sent_frames):
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _charge_reset(self) -> None:
        if self.server and not self._resets.spend(self.now, self.completed):
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "too many streams were reset")

    def _answer(self, frame: bytes) -> None:
        """Queue an answer that the peer provoked; bounded while the peer does not read."""
        if self.paused:
            self._backlog += 1
            if self._backlog > self.limits.control_backlog:
                raise PeerFault(
                    frames.ENHANCE_YOUR_CALM, "too many answers wait for a peer that does not read"
                )
        else:
            self._backlog = 0
        self._put(frame)

    def _refuse(self, stream_id: int, code: int) -> None:
        """Answer a stream error on a stream that nobody was told of."""
        self._charge_reset()
        self._remember_reset(stream_id, ours=True)
        self._answer(frames.rst_stream(stream_id, code))

    def _stream_fault(self, stream: Stream, code: int, text: str) -> None:
        """RFC 9113 §5.4.2: reset the stream, tell its sink, charge the peer."""
        self._charge_reset()
        self._release(stream)
        if self.server:
            self._forget(stream)
            self._remember_reset(stream.id, ours=True)
            self._answer(frames.rst_stream(stream.id, code))
        else:
            nobody_listens = stream.id in self.pacing
            self._abandon(stream, code)
            if nobody_listens:
                return
        if stream.sink is not None:
            stream.sink.on_reset(stream, code, text, False)

    def _is_idle(self, stream_id: int) -> bool:
        if self.server:
            return stream_id & 1 == 0 or stream_id > self.highest_peer_stream
        return stream_id & 1 == 0 or stream_id >= self.next_stream

    def _absent(self, kind: int, stream_id: int) -> None:
        """Judge a frame on a stream that is not open (RFC 9113 §5.1, "idle" and "closed")."""
        if stream_id == 0:
            raise PeerFault(PROTOCOL_ERROR, "a frame that belongs to a stream names none")
        if self._is_idle(stream_id):
            raise PeerFault(PROTOCOL_ERROR, "a frame on a stream that was never opened")
        if not self.server:
            # Ours, and over: since we ended it, or the server has told us what we need. What is still on its way
            # is what clients left behind, so it is no fault of the connection that all of them share.
            if kind == RST_STREAM and stream_id in self.pacing:
                self.pacing.drop(stream_id)
            return
        ours = self._reset.get(stream_id)
        if ours or kind not in {DATA, HEADERS}:
            # Sent before the peer knew, or without consequence.
            self._charge_nuisance()
        elif ours is False:
            self._charge_reset()
            self._answer(frames.rst_stream(stream_id, STREAM_CLOSED))
        else:
            raise PeerFault(STREAM_CLOSED, "a frame on a stream that the peer has ended")
