"""
Header blocks: HEADERS and CONTINUATION put together, decoded, and taken for a request, a response or trailers.

Law: RFC 9113 §6.2, §6.10 and §8.1. Every block is decoded, whatever becomes of it, since it may change the table.
"""

from typing import Any, Final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import FieldDecoder, PeerFault
from proxy.edge.native.http2.control import Control
from proxy.edge.native.http2.faults import NOT_AS_PROMISED, ConnectionHandler
from proxy.edge.native.http2.fields import REQUEST, RESPONSE, TRAILERS, HeaderBlock
from proxy.edge.native.http2.frames import (
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    PRIORITISED,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)
from proxy.edge.native.http2.limits import Budget, Limits
from proxy.edge.native.http2.stream import Stream

# What a call that was answered entitles its client to: no good client's metadata cost as much.
_HEAD_CREDIT: Final = 1024
_OCTETS_OF_A_FIELD: Final = 16
# So much of each is not charged, however many calls a client begins at once.
_FREE: Final = 256


class Blocks(Control):
    """The receiving side's header blocks; see `connection` for the whole."""

    def __init__(self, handler: ConnectionHandler, limits: Limits, ready: list[Any], *, server: bool) -> None:
        super().__init__(handler, limits, ready, server=server)
        self._decoder = FieldDecoder(limits, counts=server)
        self._heads = Budget(limits.head_burst, limits.head_rate, _HEAD_CREDIT)
        # Answers that earn nothing: they say that a head was too much.
        self._vain = 0
        self._known_heads = self._decoder.known[REQUEST if server else RESPONSE]
        self._known_trailers = self._decoder.known[TRAILERS]
        # Anything but any frame at all may come next: the preface, the first SETTINGS, a CONTINUATION.
        self._special = True
        self._block = bytearray()
        self._block_stream = 0
        self._block_flags = 0
        self._block_frames = 0
        self._block_depends_on_itself = False
        # When a header block or a frame began that is not all there yet.
        self._cut_since = 0.0

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
        self._cut_since = self.now
        self._special = True

    def _read_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._block_stream:
            raise PeerFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block += payload
        self._block_frames += 1
        if self._block_frames > self.limits.continuations:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "header block without end")
        if len(self._block) > self.limits.header_list_size * 2:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, f"metadata of more than {len(self._block)} octets")
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
            self._decode(encoded, TRAILERS)
            self._absent(HEADERS, stream_id)
            return
        if stream.head_seen:
            block = self._known_trailers.get(encoded) or self._decode(encoded, TRAILERS)
        else:
            block = self._known_heads.get(encoded) or self._decode(encoded, RESPONSE)
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

    def _decode(self, encoded: bytes, kind: int) -> HeaderBlock:
        """Decode a block that was not seen before; clients are charged for it."""
        block = self._decoder.decode(encoded, kind)
        if self.server:
            if block.oversized and kind == REQUEST:
                self._vain += 1
            cost = len(block.fields) + len(encoded) / _OCTETS_OF_A_FIELD - _FREE
            if cost > 0 and not self._heads.spend(self.now, self.completed - self._vain, cost):
                raise PeerFault(frames.ENHANCE_YOUR_CALM, "too many and too large header sections")
        return block

    def _begin_request(self, stream_id: int, ended: bool, encoded: bytes, *, depends_on_itself: bool) -> None:
        self.highest_peer_stream = stream_id
        block = self._known_heads.get(encoded) or self._decode(encoded, REQUEST)
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
        elif stream.is_short():
            self._stream_fault(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
        else:
            self._end_remote(stream)
            if stream.sink is not None:
                stream.sink.on_trailers(stream, block)
