"""
What takes whatever still comes on streams that nobody wants, until their resets have their turn.

Law: the peer may go on sending and is told nothing; a stream that the peer ends, or resets, needs no reset of ours.
"""

from typing import final

from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.handler import ConnectionHandler
from proxy.edge.native.http2.pacing import Pacing
from proxy.edge.native.http2.stream import Buffer, Stream


@final
class Drain:
    """A `StreamSink`; one for each connection."""

    __slots__ = ("_flow", "_handler", "_pacing")

    def __init__(self, handler: ConnectionHandler, flow: FlowControl, pacing: Pacing) -> None:
        self._handler = handler
        self._flow = flow
        self._pacing = pacing

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:  # noqa: ARG002
        if ended:
            self._ended(stream)

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Nobody is there to be told."""

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:  # noqa: ARG002
        self._flow.consume(stream, size)
        if ended:
            self._ended(stream)

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:  # noqa: ARG002
        self._ended(stream)

    def on_reset(self, stream: Stream, code: int, reason: str, unprocessed: bool) -> None:  # noqa: ARG002
        self._over(stream)

    def on_sent(self, stream: Stream, count: int) -> None:
        """Nothing is sent any more."""

    def _ended(self, stream: Stream) -> None:
        # Where our half is open, only the reset ends it.
        if stream.tail is None:
            self._over(stream)

    def _over(self, stream: Stream) -> None:
        self._pacing.drop(stream.id)
        self._handler.on_drained()
