"""
DATA on its way to the sinks: all that came together for a stream is told at once, before any frame that follows it.

Law: when sinks are told and in which pieces; that the octets were allowed is known to whoever brings them.
"""

from typing import Final, final

from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.stream import Buffer, Stream

# So short on average, pieces are put together: a peer that sends one octet per frame pays for it alone.
_SHORT: Final = 512


@final
class Arrivals:
    """`streams` have DATA that nobody has been told of, each once; the frame loop adds to it and asks for it."""

    __slots__ = ("_closing", "streams")

    def __init__(self, closing: Closing) -> None:
        self._closing = closing
        self.streams: list[Stream] = []

    def add(self, stream: Stream, piece: Buffer) -> None:
        """Note a piece that is to be told later."""
        if stream.arrived is None:
            stream.arrived = [piece]
            self.streams.append(stream)
        else:
            stream.arrived.append(piece)

    def tell(self) -> None:
        """Tell of all DATA that came since the last time, each stream once."""
        streams, self.streams = self.streams, []
        for stream in streams:
            pieces = stream.arrived
            if pieces is not None:
                stream.arrived = None
                _deliver(stream, pieces, ended=False)

    def tell_end(self, stream: Stream) -> None:
        """Tell of the stream's last DATA, and of what came before it."""
        pieces = stream.arrived or []
        stream.arrived = None
        self._closing.end_remote(stream)
        _deliver(stream, pieces, ended=True)


def _deliver(stream: Stream, pieces: list[Buffer], *, ended: bool) -> None:
    count = len(pieces)
    size = len(pieces[0]) if count == 1 else sum(map(len, pieces))
    if count > 1 and size < count * _SHORT:
        pieces = [b"".join(pieces)]
    if stream.sink is not None:
        stream.sink.on_data(stream, pieces, size, ended)
