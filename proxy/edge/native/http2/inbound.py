"""
The peer's half of the connection: octets in, frames read where they lie, DATA passed on (RFC 9113 §3.4, §4, §6.1).

Law: DATA is passed on as it arrives, all that came together for a stream at once and before any frame that follows
it; every other frame waits until it is whole and goes to its reader in `blocks` or `control`.
"""

from typing import Any, Final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.blocks import Blocks
from proxy.edge.native.http2.compression import PeerFault
from proxy.edge.native.http2.faults import NOT_AS_PROMISED, ConnectionHandler
from proxy.edge.native.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEAD_LENGTH,
    HEADERS,
    PADDED,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
)
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Buffer, Stream

_unpack_head = frames.unpack_head

# Below this a copy is cheaper than a view, and does not keep the received chunk alive.
_COPIED: Final = 1024
# So short on average, pieces are put together: a peer that sends one octet per frame pays for it alone.
_SHORT: Final = 512


class Inbound(Blocks):
    """The receiving side; see `connection` for the whole."""

    def __init__(self, handler: ConnectionHandler, limits: Limits, ready: list[Any], *, server: bool) -> None:
        super().__init__(handler, limits, ready, server=server)
        self._preface = frames.PREFACE if server else b""
        self._greeted = False
        # The start of a frame that is not all there yet.
        self._partial = bytearray()
        # The rest of a DATA frame: payload, then padding. No stream: nobody wants it.
        self._rest = 0
        self._padding = 0
        self._rest_stream: Stream | None = None
        self._rest_ends = False
        # Streams with DATA that nobody has been told of; told once all of a chunk is read.
        self._arrivals: list[Stream] = []

    def _feed(self, data: bytes | memoryview) -> None:
        position = 0
        try:
            if self._preface:
                position = self._read_preface(data)
            if self._partial:
                position = self._complete_partial(data, position)
            if position >= 0:
                self._parse(data, position)
        finally:
            # Also of what came before a mistake.
            if self._arrivals:
                self._tell_arrivals()

    def _parse(self, data: bytes | memoryview, position: int) -> None:
        end = len(data)
        view: memoryview | None = None
        streams = self.streams
        largest = self.frame_size
        while position < end:
            if self._rest or self._padding:
                position = self._read_rest(data, position, end)
                continue
            if end - position < HEAD_LENGTH:
                self._keep(data[position:])
                return
            word, flags, stream_id = _unpack_head(data, position)
            kind = word & 0xFF
            length = word >> 8
            start = position + HEAD_LENGTH
            stop = start + length
            if stream_id > 0x7FFF_FFFF:
                stream_id &= 0x7FFF_FFFF
            if self._special:
                self._check_special(kind, flags, stream_id)
            if kind == DATA:
                stream = streams.get(stream_id)
                if (
                    stream is not None
                    and stop <= end
                    and 0 < length <= stream.recv_window
                    and length <= self.recv_window
                    and not flags & PADDED
                    and length <= stream.expected
                    and length <= largest
                    and not stream.remote_ended
                    and stream.head_seen
                ):
                    # The common case in one place: a whole frame that breaks no rule.
                    stream.recv_window -= length
                    self.recv_window -= length
                    stream.held += length
                    stream.expected -= length
                    if not self._shared:
                        self._consume_connection(length)
                    payload: bytes | memoryview
                    if length < _COPIED:
                        payload = bytes(data[start:stop])
                    else:
                        if view is None:
                            view = memoryview(data)
                        payload = view[start:stop]
                    position = stop
                    arrived = stream.arrived
                    if not flags & END_STREAM:
                        if arrived is None:
                            stream.arrived = [payload]
                            self._arrivals.append(stream)
                        else:
                            arrived.append(payload)
                        continue
                    if stream.is_short():
                        self._stream_fault(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
                        continue
                    if arrived is None:
                        self._end_remote(stream)
                        stream.sink.on_data(stream, [payload], length, True)  # type: ignore[union-attr]
                    else:
                        arrived.append(payload)
                        self._tell_end(stream)
                    continue
                position = self._begin_data(data, start, end, length, flags, stream_id)
                continue
            if self._arrivals:
                self._tell_arrivals()
            if length > frames.DEFAULT_FRAME_SIZE:
                self._check_size(kind, length)
            if kind > CONTINUATION:
                # RFC 9113 §5.5: unknown types are skipped, without being collected.
                self._charge_nuisance()
                self._padding = length
                position = start
                continue
            if stop > end:
                self._keep(data[position:])
                return
            position = stop
            if kind == HEADERS and flags & 0x2C == END_HEADERS:
                self._read_block(stream_id, flags & END_STREAM != 0, bytes(data[start:stop]))
            else:
                _READERS[kind](self, flags, stream_id, bytes(data[start:stop]))
            if self.closed:
                return

    def _keep(self, data: bytes | memoryview) -> None:
        """Keep the beginning of a frame until the rest has come."""
        self._partial += data
        if not self._block_stream:
            self._cut_since = self.now

    @property
    def cut_since(self) -> float | None:
        """When a frame (other than DATA) or a header block began that has not come in full; None: there is none."""
        return self._cut_since if self._partial or self._block_stream else None

    def _complete_partial(self, data: bytes | memoryview, position: int) -> int:
        """Finish the frame begun in an earlier chunk; return where the next begins, or -1."""
        partial = self._partial
        missing = HEAD_LENGTH - len(partial)
        if missing > 0:
            partial += data[position : position + missing]
            position += missing
            if len(partial) < HEAD_LENGTH:
                return -1
        word, flags, stream_id = _unpack_head(partial, 0)
        kind = word & 0xFF
        length = word >> 8
        if self._special:
            self._check_special(kind, flags, stream_id & 0x7FFF_FFFF)
        if kind == DATA:
            # Only the head is needed here, and the pad length where there is one.
            length = min(1, length) if flags & PADDED else 0
        elif kind > CONTINUATION:
            length = 0
        elif length > frames.DEFAULT_FRAME_SIZE:
            self._check_size(kind, length)
        missing = HEAD_LENGTH + length - len(partial)
        if missing > 0:
            partial += data[position : position + missing]
            position += missing
            if position > len(data):
                return -1
        whole = bytes(partial)
        partial.clear()
        # A frame of DATA or of an unknown type is only its head here, and sets `_rest` or `_padding`.
        self._parse(whole, 0)
        return position

    def _check_size(self, kind: int, length: int) -> None:
        """Frames that are collected until they are whole may be no longer than is useful."""
        if length > self.frame_size:
            raise PeerFault(FRAME_SIZE_ERROR, f"frame of {length} octets, {self.frame_size} announced")
        if kind in {HEADERS, CONTINUATION} and length > self.limits.header_list_size * 2:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, f"header block of {length} octets")
        if kind not in {HEADERS, CONTINUATION} and kind <= CONTINUATION:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, f"control frame of {length} octets")

    def _read_preface(self, data: bytes | memoryview) -> int:
        """RFC 9113 §3.4: 24 fixed octets, then SETTINGS."""
        expected = self._preface
        size = min(len(expected), len(data))
        if data[:size] != expected[:size]:
            raise PeerFault(PROTOCOL_ERROR, "the client does not speak HTTP/2: invalid connection preface")
        self._preface = expected[size:]
        if not self._preface:
            self._greet()
        return size

    def _check_special(self, kind: int, flags: int, stream_id: int) -> None:
        """Check that SETTINGS come first, and within a header block only its CONTINUATION."""
        if self._block_stream:
            if kind != CONTINUATION or stream_id != self._block_stream:
                raise PeerFault(PROTOCOL_ERROR, "a header block was interrupted by another frame")
        elif not self._greeted:
            if kind != SETTINGS or flags & frames.ACK:
                text = "the first frame is not SETTINGS"
                raise PeerFault(
                    PROTOCOL_ERROR, text if self.server else f"the server does not speak HTTP/2: {text}"
                )
            self._greeted = True
            self._special = False

    def _greet(self) -> None:
        """Send our SETTINGS and widen the connection window to what we allow."""
        limits = self.limits
        values = {
            frames.INITIAL_WINDOW_SIZE: limits.stream_window,
            frames.MAX_HEADER_LIST_SIZE: limits.header_list_size,
        }
        if self.server:
            values[frames.MAX_CONCURRENT_STREAMS] = limits.concurrent_streams
        else:
            values[frames.ENABLE_PUSH] = 0
        self._put(frames.settings(values))
        if limits.connection_window > frames.DEFAULT_WINDOW:
            self._put(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))

    def _begin_data(
        self, data: bytes | memoryview, start: int, end: int, length: int, flags: int, stream_id: int
    ) -> int:
        """Read every DATA frame that is not the common case; return where reading goes on."""
        if length > self.recv_window:
            raise PeerFault(FLOW_CONTROL_ERROR, "more DATA than the connection's window allows")
        padding = 0
        payload = length
        if flags & PADDED:
            if length == 0:
                raise PeerFault(FRAME_SIZE_ERROR, "a padded DATA frame without a pad length")
            if start >= end:
                # The pad length comes with the next chunk: keep the head until then.
                self._keep(frames.pack_head(length << 8, flags, stream_id))
                return end
            padding = data[start]
            start += 1
            payload = length - 1 - padding
            if payload < 0:
                raise PeerFault(PROTOCOL_ERROR, "padding longer than its frame")
        stream = self.streams.get(stream_id)
        self.recv_window -= length
        if stream is None:
            self._absent(DATA, stream_id)
        elif length > self.frame_size:
            self._stream_fault(stream, FRAME_SIZE_ERROR, f"DATA frame of {length} octets")
            stream = None
        elif stream.remote_ended:
            self._stream_fault(stream, STREAM_CLOSED, "DATA after the end of the stream")
            stream = None
        elif not stream.head_seen:
            self._stream_fault(stream, PROTOCOL_ERROR, "DATA before a response head")
            stream = None
        elif length > stream.recv_window:
            self._stream_fault(stream, FLOW_CONTROL_ERROR, "more DATA than the stream's window allows")
            stream = None
        elif payload > stream.expected:
            self._stream_fault(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
            stream = None
        else:
            stream.expected -= payload
            if flags & END_STREAM and stream.is_short():
                self._stream_fault(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
                stream = None
        if stream is None:
            self._consume_connection(length)
            self._padding = payload + padding
            return start
        stream.recv_window -= length
        if not self._shared:
            self._consume_connection(length)
        overhead = length - payload
        if overhead:
            stream.held += overhead
            self.consume(stream, overhead)
        if payload == 0:
            if flags & END_STREAM:
                self._tell_end(stream)
            else:
                self._charge_nuisance()
        stream.held += payload
        self._rest = payload
        self._padding = padding
        self._rest_stream = stream
        self._rest_ends = flags & END_STREAM != 0
        return start

    def _read_rest(self, data: bytes | memoryview, position: int, end: int) -> int:
        """Pass on what has arrived of a DATA frame, skip padding and whatever nobody wants."""
        if self._rest:
            stop = min(position + self._rest, end)
            size = stop - position
            self._rest -= size
            stream = self._rest_stream
            assert stream is not None
            ended = self._rest_ends and self._rest == 0
            if self.streams.get(stream.id) is stream:
                if stream.arrived is None:
                    stream.arrived = []
                    self._arrivals.append(stream)
                stream.arrived.append(
                    bytes(data[position:stop]) if size < _COPIED else memoryview(data)[position:stop]
                )
                if ended:
                    self._tell_end(stream)
            return stop
        stop = min(position + self._padding, end)
        self._padding -= stop - position
        return stop

    def _tell_arrivals(self) -> None:
        """Tell of all DATA that came since the last time, each stream once."""
        arrivals, self._arrivals = self._arrivals, []
        for stream in arrivals:
            pieces = stream.arrived
            if pieces is not None:
                stream.arrived = None
                self._deliver(stream, pieces, ended=False)

    def _tell_end(self, stream: Stream) -> None:
        """Tell of the stream's last DATA, and of what came before it."""
        pieces = stream.arrived or []
        stream.arrived = None
        self._end_remote(stream)
        self._deliver(stream, pieces, ended=True)

    def _stream_fault(self, stream: Stream, code: int, text: str) -> None:
        """As in `faults`, once the sink has heard what came before the mistake, however it was cut."""
        if stream.arrived is not None:
            self._tell_arrivals()
            if self.streams.get(stream.id) is not stream:
                # The sink has reset the stream itself.
                return
        super()._stream_fault(stream, code, text)

    @staticmethod
    def _deliver(stream: Stream, pieces: list[Buffer], *, ended: bool) -> None:
        count = len(pieces)
        size = len(pieces[0]) if count == 1 else sum(map(len, pieces))
        if count > 1 and size < count * _SHORT:
            pieces = [b"".join(pieces)]
        if stream.sink is not None:
            stream.sink.on_data(stream, pieces, size, ended)


_READERS: Final = {
    HEADERS: Inbound._read_headers,  # noqa: SLF001 - its own table
    frames.PRIORITY: Inbound._read_priority,  # noqa: SLF001
    RST_STREAM: Inbound._read_rst_stream,  # noqa: SLF001
    SETTINGS: Inbound._read_settings,  # noqa: SLF001
    PUSH_PROMISE: Inbound._read_push_promise,  # noqa: SLF001
    frames.PING: Inbound._read_ping,  # noqa: SLF001
    GOAWAY: Inbound._read_goaway,  # noqa: SLF001
    frames.WINDOW_UPDATE: Inbound._read_window_update,  # noqa: SLF001
    CONTINUATION: Inbound._read_continuation,  # noqa: SLF001
}
