"""
The end of a connection in good order (RFC 9113 §6.8): who has said that no more streams are taken.

Law: numbers of streams and the frames that name them; what becomes of streams beyond them is decided where they
are read.
"""

from typing import final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.table import StreamTable


@final
class GoAway:
    __slots__ = ("_output", "_table", "last_accepted", "received")

    def __init__(self, output: Output, table: StreamTable) -> None:
        self._output = output
        self._table = table
        # The highest stream that we promised to take, and the highest that the peer did when it went away.
        self.last_accepted = frames.LARGEST_STREAM_ID
        self.received: int | None = None

    @property
    def draining(self) -> bool:
        """No stream will be opened any more, by the peer's wish or ours."""
        return self.received is not None or self.last_accepted != frames.LARGEST_STREAM_ID

    def drain(self) -> None:
        """
        Ask a client to open no more streams, without failing those on their way.

        A first GOAWAY names no limit; when the PING behind it returns, the second names the last stream
        taken.
        """
        if not self._output.closed and self.last_accepted == frames.LARGEST_STREAM_ID:
            self._output.put(frames.goaway(frames.LARGEST_STREAM_ID, frames.NO_ERROR))
            self._output.put(frames.ping(frames.DRAIN_PING))

    def stop_accepting(self) -> None:
        """Name the last stream taken; what comes after it is refused, which is safe to retry."""
        if not self._output.closed and self.last_accepted == frames.LARGEST_STREAM_ID:
            self.last_accepted = self._table.highest_peer_stream
            self._output.put(frames.goaway(self.last_accepted, frames.NO_ERROR))
