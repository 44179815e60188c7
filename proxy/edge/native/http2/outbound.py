"""
Our half of the connection: frames out, within the peer's windows, streams taking turns.

Law: everything that appends to `out` on behalf of the application is here. DATA is put into `out` only as
far as the peer's two windows and `room` (what the transport should be given at once) allow; the rest waits
in its stream and is reported with `on_sent` once it has gone, so that whoever produced it can let its own
peer send more.
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import EMPTY_TABLE
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.pacing import Drain, Pacing
from proxy.edge.native.http2.stream import Buffer, Stream, keep_all

if TYPE_CHECKING:
    from proxy.edge.native.http2.faults import ConnectionHandler

# Given to the transport before it can say that it has enough.
_ROOM: Final = 1 << 20
# One stream's turn while others wait too.
_TURN: Final = 64 << 10

# So little is copied behind its frame's head: one buffer to write, and one record where there is TLS.
_JOINED: Final = 1024

_pack_head = frames.pack_head


class Outbound:
    """The sending side; see `connection` for the whole."""

    handler: "ConnectionHandler"

    def __init__(self, limits: Limits, ready: list[Any], *, server: bool) -> None:
        self.limits = limits
        self.server = server
        # Whoever has something to write is in `ready`, once; it may be shared by many connections.
        self.ready = ready
        self.out: list[Buffer] = []
        self.streams: dict[int, Stream] = {}
        self.closed = False
        self.paused = False
        self.room = _ROOM
        self.send_window = frames.DEFAULT_WINDOW
        self.peer_window = frames.DEFAULT_WINDOW
        self.peer_frame_size = frames.DEFAULT_FRAME_SIZE
        self.recv_window = limits.connection_window
        # Announced once a peer has shown that it sends much: fewer frames are less work for both sides.
        self.frame_size = frames.DEFAULT_FRAME_SIZE
        self._owed = 0
        self._shared = limits.share_connection_window
        # The highest stream that a client opened, and the highest that we promised to take.
        self.highest_peer_stream = 0
        self.last_accepted = frames.LARGEST_STREAM_ID
        self._block_prefix = b""
        # Streams that have something to send and a window of their own to send it.
        self.waiting: dict[int, Stream] = {}
        # Useful work, which the budgets of `inbound` credit to the peer.
        self.sent_frames = 0
        self.completed = 0
        # When the last octets came, in seconds of whoever calls `receive`.
        self.now = 0.0
        # Ended streams of a client on which frames may still be under way: True where we reset them, False
        # where it did.
        self._reset: dict[int, bool] = {}
        # The resets of a server's streams that wait for their turn.
        self.pacing = Pacing()
        self._resets_at_once = server or not limits.pace_resets
        self._drain = Drain(self)

    def take(self) -> list[Buffer]:
        """Hand out what is to be written now; the caller then calls `pump` for what was held back."""
        out = self.out
        self.out = []
        if not self.paused:
            self.room = _ROOM
        return out

    def pause(self) -> None:
        """Hold DATA back until `resume`: the transport has enough."""
        self.paused = True
        self.room = 0

    def resume(self) -> None:
        self.paused = False
        self.room = _ROOM
        self.pump()

    def send_head(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """Send a request's or response's head (or a 1xx) that `encode_fields` made."""
        if stream.local_ended or self.closed:
            return
        self._send_block(stream, block, end=end)

    def send_data(self, stream: Stream, pieces: list[Buffer], size: int, end: bool = False) -> int:
        """
        Send DATA of `size` octets, now as far as it may go and later the rest.

        Returns the octets that went at once; the others are reported to the stream's sink.
        """
        if (
            stream.queue is None
            and size <= stream.send_window
            and size <= self.send_window
            and size <= self.peer_frame_size
            and size <= self.room
            and not stream.local_ended
            and stream.tail is None
        ):
            stream.send_window -= size
            self.send_window -= size
            self.room -= size
            self.sent_frames += 1
            out = self.out
            if not out:
                self.ready.append(self)
            head = _pack_head(size << 8, 1 if end else 0, stream.id)
            if size < _JOINED and len(pieces) == 1:
                out.append(head + pieces[0])
            else:
                out.append(head)
                out += pieces
            if end:
                self._end_local(stream)
            return size
        if stream.local_ended or stream.tail is not None or self.closed:
            return size
        if stream.queue is None:
            stream.queue = deque()
        keep_all(stream.queue, pieces, size)
        if end:
            stream.tail = b""
        return self._send_queued(stream, _ROOM)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """End our half with trailers, after whatever DATA still waits."""
        if stream.local_ended or stream.tail is not None or self.closed:
            return
        if stream.queue is None:
            self._send_block(stream, block, end=True)
        else:
            stream.tail = block

    def reset(self, stream: Stream, code: int, owner: int = 0) -> None:
        """
        End a stream at once; its sink hears nothing more, what it still holds counts as consumed.

        In the client role the server learns of it in its turn (see `pacing`); `owner` is a number for the client
        on whose behalf.
        """
        if self.streams.get(stream.id) is not stream or self.closed:
            self._release(stream)
        elif self._resets_at_once or self.pacing.may_go(owner, self.now, self.completed):
            self._release(stream)
            self._forget(stream)
            self._remember_reset(stream.id, ours=True)
            self._put(frames.rst_stream(stream.id, code))
        else:
            stream.sink = self._drain
            stream.queue = stream.arrived = None
            # Whether our half is open, which only the reset can end.
            stream.tail = None if stream.local_ended else b""
            self.waiting.pop(stream.id, None)
            self.consume(stream, stream.held)
            self._wait_to_reset(stream.id, code, owner)

    def reset_due(self, now: float) -> None:
        """Reset the streams whose turn has come."""
        self.now = now
        for stream_id, code in self.pacing.due(now, self.completed):
            stream = self.streams.get(stream_id)
            if stream is not None:
                self._forget(stream)
            self._put(frames.rst_stream(stream_id, code))

    def drained(self, stream: Stream, *, is_reset: bool) -> None:
        """Learn that the server has ended its half of a stream that nobody wants, or reset it."""
        if is_reset or stream.tail is None:
            self.pacing.drop(stream.id)
            self.handler.on_drained()

    def consume(self, stream: Stream, count: int) -> None:
        """Let the peer send as many octets again: the application has passed them on."""
        count = min(count, stream.held)
        if not count:
            return
        stream.held -= count
        if self._shared:
            lent = stream.lent
            if lent:
                stream.lent = max(0, lent - count)
                self._consume_connection(count - min(lent, count))
            else:
                self._consume_connection(count)
        if not stream.remote_ended:
            stream.owed += count
            if stream.owed * 2 >= self.limits.stream_window and self.streams.get(stream.id) is stream:
                self._put(frames.window_update(stream.id, stream.owed))
                stream.recv_window += stream.owed
                stream.owed = 0

    def lend(self, stream: Stream, count: int) -> None:
        """
        Let the peer send as many octets again on other streams, though the application still holds them.

        For what may wait long: the stream's own window still bounds it, and the others go on.
        """
        count = min(count, stream.held - stream.lent)
        if self._shared and count > 0:
            stream.lent += count
            self._consume_connection(count)

    def pump(self) -> None:
        """Send what waits, as far as windows and room allow, each stream in its turn."""
        waiting = self.waiting
        while waiting and self.room > 0 and not self.closed:
            stream = next(iter(waiting.values()))
            del waiting[stream.id]
            sink = stream.sink
            sent = self._send_queued(stream, _TURN if waiting else _ROOM)
            if sent and sink is not None:
                sink.on_sent(stream, sent)
            elif not sent and stream.id in waiting:
                return

    def drain(self) -> None:
        """
        Ask a client to open no more streams, without failing those on their way (RFC 9113 §6.8).

        A first GOAWAY names no limit; when the PING behind it returns, the second names the last stream
        taken.
        """
        if not self.closed and self.last_accepted == frames.LARGEST_STREAM_ID:
            self._put(frames.goaway(frames.LARGEST_STREAM_ID, frames.NO_ERROR))
            self._put(frames.ping(frames.DRAIN_PING))

    def stop_accepting(self) -> None:
        """Name the last stream taken; what comes after it is refused, which is safe to retry."""
        if not self.closed and self.last_accepted == frames.LARGEST_STREAM_ID:
            self.last_accepted = self.highest_peer_stream
            self._put(frames.goaway(self.highest_peer_stream, frames.NO_ERROR))

    def _put(self, frame: bytes) -> None:
        if not self.out:
            self.ready.append(self)
        self.out.append(frame)

    def _release(self, stream: Stream) -> None:
        if self._shared:
            self._consume_connection(stream.held - stream.lent)
        stream.held = stream.lent = 0

    def _consume_connection(self, count: int) -> None:
        self._owed += count
        if self._owed * 2 >= self.limits.connection_window and not self.closed:
            self._put(frames.window_update(0, self._owed))
            self.recv_window += self._owed
            self._owed = 0
            if self.frame_size < self.limits.frame_size:
                self.frame_size = self.limits.frame_size
                self._put(frames.settings({frames.MAX_FRAME_SIZE: self.frame_size}))

    def _send_block(self, stream: Stream, block: bytes, *, end: bool) -> None:
        if self._block_prefix:
            block = self._block_prefix + block
            self._block_prefix = b""
        size = len(block)
        self.sent_frames += 1
        out = self.out
        if not out:
            self.ready.append(self)
        if size <= self.peer_frame_size:
            out.append(_pack_head(size << 8 | frames.HEADERS, 5 if end else 4, stream.id) + block)
        else:
            out += frames.header_frames(stream.id, block, self.peer_frame_size, end_stream=end)
        if end:
            self._end_local(stream)

    def _send_queued(self, stream: Stream, turn: int) -> int:
        """Send up to `turn` octets of the stream's queue; register it if only we hold back the rest."""
        queue = stream.queue
        if queue is None:
            return 0
        out = self.out
        total = 0
        while queue:
            room = min(stream.send_window, self.send_window, self.room, self.peer_frame_size, turn - total)
            if room <= 0:
                break
            head = len(out)
            if not head:
                self.ready.append(self)
            out.append(b"")
            size = 0
            while queue and size < room:
                piece = queue[0]
                length = len(piece)
                if length <= room - size:
                    out.append(piece)
                    queue.popleft()
                    size += length
                else:
                    view = memoryview(piece)
                    out.append(view[: room - size])
                    queue[0] = view[room - size :]
                    size = room
            ended = not queue and stream.tail == b""
            out[head] = _pack_head(size << 8, 1 if ended else 0, stream.id)
            self.sent_frames += 1
            stream.send_window -= size
            self.send_window -= size
            self.room -= size
            total += size
            if ended:
                stream.queue = None
                self._end_local(stream)
                return total
        if queue:
            if stream.send_window > 0:
                self.waiting[stream.id] = stream
            return total
        stream.queue = None
        tail = stream.tail
        if tail:
            self._send_block(stream, tail, end=True)
        elif tail is not None:
            self._put(_pack_head(0, 1, stream.id))
            self._end_local(stream)
        return total

    def _end_local(self, stream: Stream) -> None:
        stream.local_ended = True
        if stream.remote_ended:
            self.streams.pop(stream.id, None)
            self.completed += 1
            if self.server:
                # Over: it must not keep its sink, nor be kept by it.
                stream.sink = None
                if stream.held:
                    self._release(stream)
        elif self.server:
            # The answer is complete, so the rest of the request is of no use (RFC 9113 §8.1). Left
            # half-closed, the stream would be held by a client that never ends it.
            self.completed += 1
            self._release(stream)
            self._abandon(stream, frames.NO_ERROR)

    def _end_remote(self, stream: Stream) -> None:
        stream.remote_ended = True
        if stream.local_ended:
            self.streams.pop(stream.id, None)
            self.completed += 1
        elif not self.server:
            # The server has answered in full and will not read the rest of the request.
            self.completed += 1
            self._abandon(stream, frames.NO_ERROR)

    def _abandon(self, stream: Stream, code: int) -> None:
        self._forget(stream)
        self._remember_reset(stream.id, ours=True)
        if self._resets_at_once or self.pacing.may_go(0, self.now, self.completed):
            self.pacing.drop(stream.id)
            self._put(frames.rst_stream(stream.id, code))
        else:
            self._wait_to_reset(stream.id, code, 0)

    def _wait_to_reset(self, stream_id: int, code: int, owner: int) -> None:
        self.pacing.wait(stream_id, code, owner, self.now)
        self.handler.on_reset_waits()

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self.waiting.pop(stream.id, None)
        stream.local_ended = stream.remote_ended = True
        stream.queue = stream.arrived = None

    def _remember_reset(self, stream_id: int, *, ours: bool) -> None:
        if not self.server:
            # Told by their numbers alone, whatever becomes of memory (see `faults`).
            return
        self._reset[stream_id] = ours
        if len(self._reset) > self.limits.remembered_resets:
            del self._reset[next(iter(self._reset))]

    def _refresh_table_size(self, table_size: int) -> None:
        if table_size < 4096:
            self._block_prefix = EMPTY_TABLE
