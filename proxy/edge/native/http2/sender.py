"""
Our half of the streams: heads, DATA and trailers out, within the peer's windows, streams taking turns.

Law: DATA goes out only as far as the peer's two windows and the output's room allow; the rest waits in its stream and
is reported with `on_sent` once it has gone, so that whoever produced it can let its own peer send more. Knows nothing
of what is received.
"""

from collections import deque
from typing import Final, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.compression import EMPTY_TABLE
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.output import ROOM, Output
from proxy.edge.native.http2.stream import Buffer, Stream, keep_all
from proxy.edge.native.http2.table import StreamTable

# One stream's turn while others wait too.
_TURN: Final = 64 << 10

_DEFAULT_TABLE: Final = 4096

_pack_head: Final = frames.pack_head


@final
class Sender:
    __slots__ = ("_block_prefix", "_budgets", "_closing", "_flow", "_output", "_table", "peer_frame_size")

    def __init__(
        self, output: Output, flow: FlowControl, budgets: Budgets, table: StreamTable, closing: Closing
    ) -> None:
        self._output = output
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._closing = closing
        self.peer_frame_size = frames.DEFAULT_FRAME_SIZE
        # What the next header block must begin with.
        self._block_prefix = b""

    def send_head(self, stream: Stream, block: bytes, *, end: bool) -> None:
        """Send a request's or response's head (or a 1xx) that `encode_fields` made."""
        if stream.local_ended or self._output.closed:
            return
        self.send_block(stream, block, end=end)

    def send_data(self, stream: Stream, pieces: list[Buffer], size: int, end: bool) -> int:
        """
        Send DATA of `size` octets, now as far as it may go and later the rest.

        Returns the octets that went at once; the others are reported to the stream's sink.
        """
        flow = self._flow
        output = self._output
        if (
            stream.queue is None
            and size <= stream.send_window
            and size <= flow.send_window
            and size <= output.room
            and not stream.local_ended
            and stream.tail is None
        ):
            stream.send_window -= size
            flow.send_window -= size
            if size <= self.peer_frame_size:
                self._put_frame(stream.id, pieces, size, 1 if end else 0)
            else:
                self._put_frames(stream.id, pieces, end)
            if end:
                self._closing.end_local(stream)
            return size
        if stream.local_ended or stream.tail is not None or output.closed:
            return size
        if stream.queue is None:
            stream.queue = deque()
        keep_all(stream.queue, pieces, size)
        if end:
            stream.tail = b""
        return self._send_queued(stream, ROOM)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """End our half with trailers, after whatever DATA still waits."""
        if stream.local_ended or stream.tail is not None or self._output.closed:
            return
        if stream.queue is None:
            self.send_block(stream, block, end=True)
        else:
            stream.tail = block

    def pump(self) -> None:
        """Send what waits, as far as windows and room allow, each stream in its turn."""
        waiting = self._table.waiting
        output = self._output
        while waiting and output.room > 0 and not output.closed:
            stream = next(iter(waiting.values()))
            del waiting[stream.id]
            sink = stream.sink
            sent = self._send_queued(stream, _TURN if waiting else ROOM)
            if sent and sink is not None:
                sink.on_sent(stream, sent)
            elif not sent and stream.id in waiting:
                return

    def wait(self, stream: Stream) -> None:
        """Give a stream its turn, the peer having widened its window."""
        if stream.queue:
            self._table.waiting[stream.id] = stream

    def shrink_table(self, size: int) -> None:
        """Take the peer's SETTINGS_HEADER_TABLE_SIZE."""
        if size < _DEFAULT_TABLE:
            self._block_prefix = EMPTY_TABLE

    def send_block(self, stream: Stream, block: bytes, *, end: bool) -> None:
        """Send a header block, whatever was sent before."""
        if self._block_prefix:
            block = self._block_prefix + block
            self._block_prefix = b""
        size = len(block)
        self._budgets.sent_frames += 1
        if size <= self.peer_frame_size:
            self._output.put(_pack_head(size << 8 | frames.HEADERS, 5 if end else 4, stream.id) + block)
        else:
            for frame in frames.header_frames(stream.id, block, self.peer_frame_size, end_stream=end):
                self._output.put(frame)
        if end:
            self._closing.end_local(stream)

    def _put_frames(self, stream_id: int, pieces: list[Buffer], end: bool) -> None:
        """Put DATA out in several frames, which are cut where the pieces are rather than full."""
        largest = self.peer_frame_size
        together: list[Buffer] = []
        size = 0
        for piece in pieces:
            length = len(piece)
            if size and size + length > largest:
                self._put_frame(stream_id, together, size, 0)
                together = []
                size = 0
            if length <= largest:
                together.append(piece)
                size += length
                continue
            view = memoryview(piece)
            start = 0
            while length - start > largest:
                self._put_frame(stream_id, [view[start : start + largest]], largest, 0)
                start += largest
            together = [view[start:]]
            size = length - start
        self._put_frame(stream_id, together, size, 1 if end else 0)

    def _put_frame(self, stream_id: int, pieces: list[Buffer], size: int, flags: int) -> None:
        self._budgets.sent_frames += 1
        self._output.put_data(_pack_head(size << 8, flags, stream_id), pieces, size)

    def _send_queued(self, stream: Stream, turn: int) -> int:
        """Send up to `turn` octets of the stream's queue; register it if only we hold back the rest."""
        queue = stream.queue
        if queue is None:
            return 0
        flow = self._flow
        output = self._output
        total = 0
        while queue:
            room = min(stream.send_window, flow.send_window, output.room, self.peer_frame_size, turn - total)
            if room <= 0:
                break
            pieces, size = _take(queue, room)
            ended = not queue and stream.tail == b""
            self._put_frame(stream.id, pieces, size, 1 if ended else 0)
            stream.send_window -= size
            flow.send_window -= size
            total += size
            if ended:
                stream.queue = None
                self._closing.end_local(stream)
                return total
        if queue:
            if stream.send_window > 0:
                self._table.waiting[stream.id] = stream
            return total
        stream.queue = None
        tail = stream.tail
        if tail:
            self.send_block(stream, tail, end=True)
        elif tail is not None:
            output.put(_pack_head(0, 1, stream.id))
            self._closing.end_local(stream)
        return total


def _take(queue: deque[Buffer], room: int) -> tuple[list[Buffer], int]:
    """Take up to `room` octets, of which there are some; and how many."""
    pieces: list[Buffer] = []
    size = 0
    while queue and size < room:
        piece = queue[0]
        length = len(piece)
        if length <= room - size:
            pieces.append(piece)
            queue.popleft()
            size += length
        else:
            view = memoryview(piece)
            pieces.append(view[: room - size])
            queue[0] = view[room - size :]
            size = room
    return pieces, size
