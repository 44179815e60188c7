"""
The peer's half of the connection: octets in, frames read where they lie, the rules of RFC 9113 §4 to §6 and §8.

Law: this file decides what is a stream error, what a connection error, and who is charged for frames that
carry nothing. A frame of DATA is passed on piece by piece as it arrives; every other frame waits until it
is whole.
"""

from typing import Any, Final, Protocol

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import FieldDecoder, PeerFault
from proxy.edge.native.http2.fields import REQUEST, RESPONSE, TRAILERS, HeaderBlock
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
    PRIORITISED,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
)
from proxy.edge.native.http2.limits import Budget, Limits
from proxy.edge.native.http2.outbound import Outbound
from proxy.edge.native.http2.stream import UNPROMISED, Stream

_unpack_head = frames.unpack_head

# Below this a copy is cheaper than a view, and does not keep the received chunk alive.
_COPIED: Final = 1024
# One useful frame that we sent entitles the peer to this many frames that carry nothing (it acknowledges,
# measures and widens windows because of what we send).
_NUISANCE_CREDIT: Final = 8


_NOT_AS_PROMISED: Final = "DATA differs from content-length"


def _is_short(stream: Stream) -> bool:
    """Whether content-length promised more than has come."""
    return 0 < stream.expected < UNPROMISED >> 1


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

    def on_fault(self, fault: PeerFault) -> None:
        """Write what is in `out` and close: the connection is over for a fault of the peer."""


class Inbound(Outbound):
    """The receiving side; see `connection` for the whole."""

    def __init__(self, handler: ConnectionHandler, limits: Limits, ready: list[Any], *, server: bool) -> None:
        super().__init__(limits, ready, server=server)
        self.handler = handler
        self.now = 0.0
        self.next_stream = 1
        self.peer_concurrent_streams = 2**32 - 1
        self.going_away: int | None = None
        self._decoder = FieldDecoder(limits)
        self._known_heads = self._decoder.known[REQUEST if server else RESPONSE]
        self._known_trailers = self._decoder.known[TRAILERS]
        self._resets = Budget(limits.reset_burst, limits.reset_rate, 1)
        self._nuisances = Budget(limits.nuisance_burst, limits.nuisance_rate, _NUISANCE_CREDIT)
        self._backlog = 0
        # The start of a frame that is not all there yet.
        self._partial = bytearray()
        # The rest of a DATA frame: payload, then padding. No stream: nobody wants it.
        self._rest = 0
        self._padding = 0
        self._rest_stream: Stream | None = None
        self._rest_ends = False
        # Anything but any frame at all may come next: the preface, the first SETTINGS, a CONTINUATION.
        self._special = True
        self._preface = frames.PREFACE if server else b""
        self._greeted = False
        self._block = bytearray()
        self._block_stream = 0
        self._block_flags = 0
        self._block_frames = 0
        self._block_depends_on_itself = False

    # Octets to frames.

    def _feed(self, data: bytes) -> None:
        position = 0
        if self._preface:
            position = self._read_preface(data)
        if self._partial:
            position = self._complete_partial(data, position)
        if position >= 0:
            self._parse(data, position)

    def _parse(self, data: bytes, position: int) -> None:
        end = len(data)
        view: memoryview | None = None
        streams = self.streams
        largest = self.frame_size
        while position < end:
            if self._rest or self._padding:
                position = self._read_rest(data, position, end)
                continue
            if end - position < HEAD_LENGTH:
                self._partial += data[position:]
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
                        payload = data[start:stop]
                    else:
                        if view is None:
                            view = memoryview(data)
                        payload = view[start:stop]
                    position = stop
                    if flags & END_STREAM:
                        if _is_short(stream):
                            self._stream_fault(stream, PROTOCOL_ERROR, _NOT_AS_PROMISED)
                            continue
                        self._end_remote(stream)
                        stream.sink.on_data(stream, payload, True)  # type: ignore[union-attr]
                    else:
                        stream.sink.on_data(stream, payload, False)  # type: ignore[union-attr]
                    continue
                position = self._begin_data(data, start, end, length, flags, stream_id)
                continue
            if length > frames.DEFAULT_FRAME_SIZE:
                self._check_size(kind, length)
            if kind > CONTINUATION:
                # RFC 9113 §5.5: unknown types are skipped, without being collected.
                self._charge_nuisance()
                self._padding = length
                position = start
                continue
            if stop > end:
                self._partial += data[position:]
                return
            position = stop
            if kind == HEADERS and flags & 0x2C == END_HEADERS:
                self._read_block(stream_id, flags & END_STREAM != 0, data[start:stop])
            else:
                _READERS[kind](self, flags, stream_id, data[start:stop])
            if self.closed:
                return

    def _complete_partial(self, data: bytes, position: int) -> int:
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

    def _read_preface(self, data: bytes) -> int:
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
        self._forget(stream)
        self._remember_reset(stream.id, ours=True)
        self._answer(frames.rst_stream(stream.id, code))
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
        ours = self._reset.get(stream_id)
        if ours or kind not in {DATA, HEADERS}:
            # Sent before the peer knew, or without consequence.
            self._charge_nuisance()
        elif ours is False:
            self._charge_reset()
            self._answer(frames.rst_stream(stream_id, STREAM_CLOSED))
        else:
            raise PeerFault(STREAM_CLOSED, "a frame on a stream that the peer has ended")

    # DATA (§6.1).

    def _begin_data(self, data: bytes, start: int, end: int, length: int, flags: int, stream_id: int) -> int:
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
                self._partial += frames.pack_head(length << 8, flags, stream_id)
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
            self._stream_fault(stream, PROTOCOL_ERROR, _NOT_AS_PROMISED)
            stream = None
        else:
            stream.expected -= payload
            if flags & END_STREAM and _is_short(stream):
                self._stream_fault(stream, PROTOCOL_ERROR, _NOT_AS_PROMISED)
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
                self._end_remote(stream)
                self._deliver(stream, b"", ended=True)
            else:
                self._charge_nuisance()
        stream.held += payload
        self._rest = payload
        self._padding = padding
        self._rest_stream = stream
        self._rest_ends = flags & END_STREAM != 0
        return start

    def _read_rest(self, data: bytes, position: int, end: int) -> int:
        """Pass on what has arrived of a DATA frame, skip padding and whatever nobody wants."""
        if self._rest:
            stop = min(position + self._rest, end)
            size = stop - position
            self._rest -= size
            stream = self._rest_stream
            assert stream is not None
            ended = self._rest_ends and self._rest == 0
            if self.streams.get(stream.id) is stream:
                payload = data[position:stop] if size < _COPIED else memoryview(data)[position:stop]
                if ended:
                    self._end_remote(stream)
                self._deliver(stream, payload, ended=ended)
            return stop
        stop = min(position + self._padding, end)
        self._padding -= stop - position
        return stop

    @staticmethod
    def _deliver(stream: Stream, payload: bytes | memoryview, *, ended: bool) -> None:
        if stream.sink is not None:
            stream.sink.on_data(stream, payload, ended)

    # HEADERS and CONTINUATION (§6.2, §6.10).

    def _read_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise PeerFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        start = 0
        stop = len(payload)
        if flags & PADDED:
            if not payload:
                raise PeerFault(FRAME_SIZE_ERROR, "padded HEADERS without a pad length")
            start = 1
            stop -= payload[0]
        depends_on_itself = False
        if flags & PRIORITISED:
            if len(payload) < start + 5:
                raise PeerFault(FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            dependency = int.from_bytes(payload[start : start + 4], "big") & 0x7FFF_FFFF
            depends_on_itself = dependency == stream_id
            start += 5
        if stop < start:
            raise PeerFault(PROTOCOL_ERROR, "padding longer than its frame")
        if flags & END_HEADERS:
            ended = flags & END_STREAM != 0
            self._read_block(stream_id, ended, payload[start:stop], depends_on_itself=depends_on_itself)
            return
        self._block += payload[start:stop]
        self._block_stream = stream_id
        self._block_flags = flags
        self._block_frames = 0
        self._block_depends_on_itself = depends_on_itself
        self._special = True

    def _read_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._block_stream:
            raise PeerFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block += payload
        self._block_frames += 1
        if (
            self._block_frames > self.limits.continuations
            or len(self._block) > self.limits.header_list_size * 2
        ):
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "header block without end")
        if flags & END_HEADERS:
            block = bytes(self._block)
            self._block.clear()
            self._block_stream = 0
            self._special = False
            ended = self._block_flags & END_STREAM != 0
            self._read_block(stream_id, ended, block, depends_on_itself=self._block_depends_on_itself)

    def _read_block(
        self, stream_id: int, ended: bool, encoded: bytes, *, depends_on_itself: bool = False
    ) -> None:
        """Decode a whole header block, whatever becomes of it: it may change the table."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if self.server and stream_id > self.highest_peer_stream and stream_id & 1:
                self._begin_request(stream_id, ended, encoded, depends_on_itself=depends_on_itself)
                return
            self._decoder.decode(encoded, TRAILERS)
            self._absent(HEADERS, stream_id)
            return
        if stream.head_seen:
            block = self._known_trailers.get(encoded) or self._decoder.decode(encoded, TRAILERS)
        else:
            block = self._known_heads.get(encoded) or self._decoder.decode(encoded, RESPONSE)
        if stream.remote_ended:
            self._stream_fault(stream, STREAM_CLOSED, "HEADERS after the end of the stream")
        elif depends_on_itself:
            self._stream_fault(stream, PROTOCOL_ERROR, "a stream that depends on itself")
        elif block.fault is not None:
            self._stream_fault(stream, PROTOCOL_ERROR, block.fault)
        elif block.oversized:
            self._stream_fault(stream, frames.ENHANCE_YOUR_CALM, "header section larger than announced")
        elif stream.head_seen:
            self._end_with_trailers(stream, block, ended=ended)
        else:
            self._begin_response(stream, block, ended=ended)

    def _begin_request(self, stream_id: int, ended: bool, encoded: bytes, *, depends_on_itself: bool) -> None:
        self.highest_peer_stream = stream_id
        block = self._known_heads.get(encoded) or self._decoder.decode(encoded, REQUEST)
        if depends_on_itself or block.fault is not None:
            self._refuse(stream_id, PROTOCOL_ERROR)
            return
        if len(self.streams) >= self.limits.concurrent_streams or stream_id > self.last_accepted:
            self._refuse(stream_id, frames.REFUSED_STREAM)
            return
        stream = Stream(stream_id, self.peer_window, self.limits.stream_window)
        stream.head_seen = True
        if block.content_length >= 0:
            stream.expected = block.content_length
            if ended and stream.expected:
                self._refuse(stream_id, PROTOCOL_ERROR)
                return
        stream.remote_ended = ended
        self.streams[stream_id] = stream
        self.handler.on_request(stream, block, ended)

    def _begin_response(self, stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
        if block.status < 200:
            if ended:
                self._stream_fault(stream, PROTOCOL_ERROR, "an informational head that ends its stream")
                return
            self._charge_nuisance()
            if stream.sink is not None:
                stream.sink.on_informational(stream, block)
            return
        stream.head_seen = True
        if block.content_length >= 0:
            stream.expected = block.content_length
        if ended:
            self._end_remote(stream)
        if stream.sink is not None:
            stream.sink.on_head(stream, block, ended)

    def _end_with_trailers(self, stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
        if not ended:
            self._stream_fault(stream, PROTOCOL_ERROR, "trailers that do not end their stream")
        elif _is_short(stream):
            self._stream_fault(stream, PROTOCOL_ERROR, _NOT_AS_PROMISED)
        else:
            self._end_remote(stream)
            if stream.sink is not None:
                stream.sink.on_trailers(stream, block)

    # The other frames (§6.3 to §6.9).

    def _read_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Priorities are deprecated and ignored (RFC 9113 §5.3.2), as far as they are well-formed."""
        if stream_id == 0:
            raise PeerFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._charge_nuisance()
        if len(payload) != 5:
            code, text = FRAME_SIZE_ERROR, "PRIORITY is not 5 octets long"
        elif int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF == stream_id:
            code, text = PROTOCOL_ERROR, "a stream that depends on itself"
        else:
            return
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._stream_fault(stream, code, text)
        elif self._is_idle(stream_id):
            # RST_STREAM must not be sent on an idle stream.
            raise PeerFault(code, text)
        else:
            self._refuse(stream_id, code)

    def _read_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise PeerFault(FRAME_SIZE_ERROR, "RST_STREAM is not 4 octets long")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._absent(RST_STREAM, stream_id)
            return
        code = int.from_bytes(payload, "big")
        self._release(stream)
        self._forget(stream)
        self._remember_reset(stream_id, ours=False)
        if stream.sink is not None:
            reason = f"reset by peer: {frames.error_name(code)}"
            stream.sink.on_reset(stream, code, reason, code == frames.REFUSED_STREAM)
        self._charge_reset()

    def _read_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise PeerFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise PeerFault(FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload")
            self._charge_nuisance()
            return
        if len(payload) % 6:
            raise PeerFault(FRAME_SIZE_ERROR, "SETTINGS length is not a multiple of 6")
        self._charge_nuisance()
        window = self.peer_window
        for name, value in frames.unpack_settings(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise PeerFault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1")
                window = value
            else:
                self._apply_setting(name, value)
        # Once a frame, not once an entry: it visits every stream.
        self._change_initial_window(window)
        self._answer(frames.SETTINGS_ACK)
        self.handler.on_settings()
        self.pump()

    def _apply_setting(self, name: int, value: int) -> None:
        if name == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_SIZE <= value <= frames.LARGEST_FRAME_SIZE:
                raise PeerFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE outside 2^14 to 2^24-1")
            self.peer_frame_size = value
        elif name == frames.ENABLE_PUSH:
            if value > 1 or (value and not self.server):
                raise PeerFault(PROTOCOL_ERROR, "ENABLE_PUSH has no such value")
        elif name == frames.HEADER_TABLE_SIZE:
            self._refresh_table_size(value)
        elif name == frames.MAX_CONCURRENT_STREAMS:
            self.peer_concurrent_streams = value

    def _change_initial_window(self, size: int) -> None:
        """RFC 9113 §6.9.2: open streams move by the difference, below zero if need be."""
        difference = size - self.peer_window
        if not difference:
            return
        self.peer_window = size
        for stream in self.streams.values():
            stream.send_window += difference
            if stream.send_window > frames.LARGEST_WINDOW:
                raise PeerFault(
                    FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE takes a stream's window above 2^31-1"
                )
            if stream.queue and stream.send_window > 0:
                self.waiting[stream.id] = stream

    def _read_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise PeerFault(PROTOCOL_ERROR, "PUSH_PROMISE, which was never allowed")

    def _read_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise PeerFault(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise PeerFault(FRAME_SIZE_ERROR, "PING is not 8 octets long")
        self._charge_nuisance()
        if flags & frames.ACK:
            if payload == frames.DRAIN_PING:
                self.stop_accepting()
            else:
                self.handler.on_ping_ack(payload)
        else:
            self._answer(frames.ping(payload, ack=True))

    def _read_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise PeerFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise PeerFault(FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 octets")
        self._charge_nuisance()
        last_stream = int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF
        code = int.from_bytes(payload[4:8], "big")
        self.going_away = last_stream
        if not self.server:
            reason = f"the peer went away: {frames.error_name(code)}"
            for stream in [stream for stream in self.streams.values() if stream.id > last_stream]:
                self._forget(stream)
                if stream.sink is not None:
                    stream.sink.on_reset(stream, code, reason, True)
        self.handler.on_goaway(last_stream, code, payload[8:])

    def _read_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise PeerFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 octets long")
        self._charge_nuisance()
        increment = int.from_bytes(payload, "big") & 0x7FFF_FFFF
        if stream_id == 0:
            if increment == 0:
                raise PeerFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.send_window += increment
            if self.send_window > frames.LARGEST_WINDOW:
                raise PeerFault(FLOW_CONTROL_ERROR, "the connection's window exceeds 2^31-1")
            self.pump()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._absent(frames.WINDOW_UPDATE, stream_id)
        elif increment == 0:
            self._stream_fault(stream, PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        elif stream.send_window + increment > frames.LARGEST_WINDOW:
            self._stream_fault(stream, FLOW_CONTROL_ERROR, "the stream's window exceeds 2^31-1")
        else:
            stream.send_window += increment
            if stream.queue:
                self.waiting[stream_id] = stream
                self.pump()


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
