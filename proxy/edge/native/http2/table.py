"""
The streams of a connection: which are open, which have something to send, and what is known of those that are over.

Law: who is there, and RFC 9113 §5.1's "idle" and "closed" told by numbers. How a stream comes to its end, and what is
said to the peer then, is decided in `closing`.
"""

from typing import final

from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream


@final
class StreamTable:
    __slots__ = (
        "_most_remembered",
        "_reset",
        "_server",
        "highest_peer_stream",
        "next_stream",
        "open",
        "peer_concurrent_streams",
        "waiting",
    )

    def __init__(self, limits: Limits, *, server: bool) -> None:
        self._server = server
        self.open: dict[int, Stream] = {}
        # Streams that have something to send and a window of their own to send it.
        self.waiting: dict[int, Stream] = {}
        # The number of our next stream, and how many of ours the peer lets be open.
        self.next_stream = 1
        self.peer_concurrent_streams = 2**32 - 1
        # The highest stream that a client opened.
        self.highest_peer_stream = 0
        # Ended streams of a client on which frames may still be under way: True where we reset them, False
        # where it did.
        self._reset: dict[int, bool] = {}
        self._most_remembered = limits.remembered_resets

    def is_idle(self, stream_id: int) -> bool:
        """Whether no stream of that number was ever opened."""
        if self._server:
            return stream_id & 1 == 0 or stream_id > self.highest_peer_stream
        return stream_id & 1 == 0 or stream_id >= self.next_stream

    def forget(self, stream: Stream) -> None:
        """Take a stream out that is over, with what it still had."""
        self.open.pop(stream.id, None)
        self.waiting.pop(stream.id, None)
        stream.local_ended = stream.remote_ended = True
        stream.queue = stream.arrived = None

    def remember_reset(self, stream_id: int, *, ours: bool) -> None:
        """Remember of a client's stream that it was reset, by us or by the client."""
        if not self._server:
            # Told by their numbers alone, whatever becomes of memory (see `faults`).
            return
        self._reset[stream_id] = ours
        if len(self._reset) > self._most_remembered:
            del self._reset[next(iter(self._reset))]

    def reset_by_us(self, stream_id: int) -> bool | None:
        """Whether we reset a client's stream, or the client did; None: neither, or it is long ago."""
        return self._reset.get(stream_id)
