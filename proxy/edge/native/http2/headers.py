"""
Header blocks in: HEADERS and CONTINUATION put together, decoded, and taken for a request, a response or trailers.

Law: RFC 9113 §6.2, §6.10 and §8.1. Every block is decoded, whatever becomes of it, since it may change the table.
"""

from typing import final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.compression import FieldDecoder
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.faults import NOT_AS_PROMISED, Faults
from proxy.edge.native.http2.fields import REQUEST, RESPONSE, TRAILERS, HeaderBlock
from proxy.edge.native.http2.flow_control import FlowControl
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
from proxy.edge.native.http2.go_away import GoAway
from proxy.edge.native.http2.handler import ConnectionHandler
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.http2.table import StreamTable


@final
class HeaderReader:
    """`unfinished` is the stream whose block has begun and is not all there, 0 when there is none."""

    __slots__ = (
        "_block",
        "_budgets",
        "_closing",
        "_continuations",
        "_decoder",
        "_depends_on_itself",
        "_faults",
        "_flags",
        "_flow",
        "_go_away",
        "_handler",
        "_known_heads",
        "_known_trailers",
        "_limits",
        "_server",
        "_table",
        "since",
        "unfinished",
    )

    def __init__(
        self,
        handler: ConnectionHandler,
        limits: Limits,
        flow: FlowControl,
        budgets: Budgets,
        table: StreamTable,
        closing: Closing,
        go_away: GoAway,
        faults: Faults,
        *,
        server: bool,
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._closing = closing
        self._go_away = go_away
        self._faults = faults
        self._server = server
        self._decoder = FieldDecoder(limits, counts=server)
        self._known_heads = self._decoder.known[REQUEST if server else RESPONSE]
        self._known_trailers = self._decoder.known[TRAILERS]
        # The block that is not all there: its beginning, what its HEADERS said, and when that was.
        self.unfinished = 0
        self.since = 0.0
        self._block = bytearray()
        self._flags = 0
        self._continuations = 0
        self._depends_on_itself = False

    def read(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Read a HEADERS frame of any kind."""
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
            self.read_block(stream_id, ended, payload[start:stop], depends_on_itself=depends_on_itself)
            return
        self._block += payload[start:stop]
        self._flags = flags
        self._continuations = 0
        self._depends_on_itself = depends_on_itself
        self.unfinished = stream_id
        self.since = self._budgets.now

    def read_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Read a CONTINUATION frame; who sees all frames knows that it is of this block's stream."""
        if not self.unfinished:
            raise PeerFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block += payload
        self._continuations += 1
        if self._continuations > self._limits.continuations:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "header block without end")
        if len(self._block) > self._limits.header_list_size * 2:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, f"metadata of more than {len(self._block)} octets")
        if flags & END_HEADERS:
            block = bytes(self._block)
            self._block.clear()
            self.unfinished = 0
            ended = self._flags & END_STREAM != 0
            self.read_block(stream_id, ended, block, depends_on_itself=self._depends_on_itself)

    def read_block(
        self, stream_id: int, ended: bool, encoded: bytes, *, depends_on_itself: bool = False
    ) -> None:
        """Take a whole header block."""
        stream = self._table.open.get(stream_id)
        if stream is None:
            if self._server and stream_id > self._table.highest_peer_stream and stream_id & 1:
                self._begin_request(stream_id, ended, encoded, depends_on_itself=depends_on_itself)
                return
            self._decode(encoded, TRAILERS)
            self._faults.absent(HEADERS, stream_id)
            return
        if stream.head_seen:
            block = self._known_trailers.get(encoded) or self._decode(encoded, TRAILERS)
        else:
            block = self._known_heads.get(encoded) or self._decode(encoded, RESPONSE)
        if stream.remote_ended:
            self._faults.of_stream(stream, STREAM_CLOSED, "HEADERS after the end of the stream")
        elif depends_on_itself:
            self._faults.of_stream(stream, PROTOCOL_ERROR, "a stream that depends on itself")
        elif block.fault is not None:
            self._faults.of_stream(stream, PROTOCOL_ERROR, block.fault)
        elif block.oversized:
            self._faults.of_stream(stream, frames.ENHANCE_YOUR_CALM, "header section larger than announced")
        elif stream.head_seen:
            self._end_with_trailers(stream, block, ended=ended)
        else:
            self._begin_response(stream, block, ended=ended)

    def _decode(self, encoded: bytes, kind: int) -> HeaderBlock:
        """Decode a block that was not seen before; clients are charged for it."""
        block = self._decoder.decode(encoded, kind)
        refused = block.oversized and kind == REQUEST
        self._budgets.charge_head(len(block.fields), len(encoded), refused=refused)
        return block

    def _begin_request(self, stream_id: int, ended: bool, encoded: bytes, *, depends_on_itself: bool) -> None:
        table = self._table
        table.highest_peer_stream = stream_id
        block = self._known_heads.get(encoded) or self._decode(encoded, REQUEST)
        if depends_on_itself or block.fault is not None:
            self._faults.refuse(stream_id, PROTOCOL_ERROR)
            return
        if len(table.open) >= self._limits.concurrent_streams or stream_id > self._go_away.last_accepted:
            self._faults.refuse(stream_id, frames.REFUSED_STREAM)
            return
        stream = self._flow.begin(stream_id)
        stream.head_seen = True
        if block.content_length >= 0:
            stream.expected = block.content_length
            if ended and stream.expected:
                self._faults.refuse(stream_id, PROTOCOL_ERROR)
                return
        stream.remote_ended = ended
        table.open[stream_id] = stream
        self._handler.on_request(stream, block, ended)

    def _begin_response(self, stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
        if block.status < 200:
            if ended:
                self._faults.of_stream(stream, PROTOCOL_ERROR, "an informational head that ends its stream")
                return
            self._budgets.charge_nuisance()
            if stream.sink is not None:
                stream.sink.on_informational(stream, block)
            return
        stream.head_seen = True
        if block.content_length >= 0:
            stream.expected = block.content_length
        if ended:
            self._closing.end_remote(stream)
        if stream.sink is not None:
            stream.sink.on_head(stream, block, ended)

    def _end_with_trailers(self, stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
        if not ended:
            self._faults.of_stream(stream, PROTOCOL_ERROR, "trailers that do not end their stream")
        elif stream.is_short():
            self._faults.of_stream(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
        else:
            self._closing.end_remote(stream)
            if stream.sink is not None:
                stream.sink.on_trailers(stream, block)
