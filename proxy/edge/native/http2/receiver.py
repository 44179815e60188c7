"""
The peer's half of the connection: octets in, frames read where they lie (RFC 9113 §4).

Law: where frames begin and end, and which may follow which. DATA is passed on as it arrives; every other frame waits
until it is whole and goes to its reader (`headers`, `control`), after all DATA that came before it was told.
"""

from typing import Final, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.arrivals import Arrivals
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.control import ControlReader
from proxy.edge.native.http2.data import COPIED, DataReader
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.faults import NOT_AS_PROMISED, Faults
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    HEAD_LENGTH,
    HEADERS,
    PADDED,
    PROTOCOL_ERROR,
)
from proxy.edge.native.http2.handshake import Handshake
from proxy.edge.native.http2.headers import HeaderReader
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.table import StreamTable

_unpack_head: Final = frames.unpack_head


@final
class Receiver:
    __slots__ = (
        "_arrivals",
        "_budgets",
        "_closing",
        "_control",
        "_data",
        "_faults",
        "_flow",
        "_handshake",
        "_headers",
        "_largest_block",
        "_output",
        "_partial",
        "_since",
        "_table",
    )

    def __init__(
        self,
        limits: Limits,
        output: Output,
        flow: FlowControl,
        budgets: Budgets,
        table: StreamTable,
        closing: Closing,
        arrivals: Arrivals,
        faults: Faults,
        handshake: Handshake,
        headers: HeaderReader,
        control: ControlReader,
    ) -> None:
        self._output = output
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._closing = closing
        self._arrivals = arrivals
        self._faults = faults
        self._handshake = handshake
        self._headers = headers
        self._control = control
        self._data = DataReader(flow, budgets, table, arrivals, faults)
        self._largest_block = limits.header_list_size * 2
        # The start of a frame that is not all there yet, and when it came.
        self._partial = bytearray()
        self._since = 0.0

    @property
    def cut_since(self) -> float | None:
        """When a frame (other than DATA) or a header block began that has not come in full; None: there is none."""
        if self._headers.unfinished:
            return self._headers.since
        return self._since if self._partial else None

    def receive(self, data: bytes | memoryview) -> None:
        """Read a chunk, cut anywhere. Raises PeerFault."""
        position = 0
        try:
            if self._handshake.expected:
                position = self._handshake.read_preface(data)
            if self._partial:
                position = self._complete_partial(data, position)
            if position >= 0:
                self._read_frames(data, position)
        finally:
            # Also of what came before a mistake.
            if self._arrivals.streams:
                self._arrivals.tell()

    def _read_frames(self, data: bytes | memoryview, position: int) -> None:
        end = len(data)
        view: memoryview | None = None
        streams = self._table.open
        arrivals = self._arrivals
        flow = self._flow
        largest = flow.frame_size
        greeted = self._handshake.greeted
        headers = self._headers
        reader = self._data
        if reader.rest or reader.surplus:
            position = reader.go_on(data, position, end)
        # Declared, so that the compiler counts in machine words.
        word: int
        flags: int
        stream_id: int
        while position < end:
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
            if headers.unfinished or not greeted:
                self._check_order(kind, flags, stream_id)
                greeted = True
            if kind == DATA:
                stream = streams.get(stream_id)
                if (
                    stream is not None
                    and stop <= end
                    and 0 < length <= stream.recv_window
                    and length <= flow.recv_window
                    and not flags & PADDED
                    and length <= stream.expected
                    and length <= largest
                    and not stream.remote_ended
                    and stream.head_seen
                ):
                    # The common case in one place: a whole frame that breaks no rule. The windows move as in
                    # `FlowControl.arrive` and `hold`.
                    stream.recv_window -= length
                    flow.recv_window -= length
                    stream.held += length
                    stream.expected -= length
                    if not flow.shared:
                        flow.give_back(length)
                    payload: bytes | memoryview
                    if length < COPIED:
                        payload = _cut(data, start, stop)
                    else:
                        if view is None:
                            view = memoryview(data)
                        payload = view[start:stop]
                    position = stop
                    arrived = stream.arrived
                    if not flags & END_STREAM:
                        if arrived is None:
                            stream.arrived = [payload]
                            arrivals.streams.append(stream)
                        else:
                            arrived.append(payload)
                    elif stream.is_short():
                        self._faults.of_stream(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
                    elif arrived is None:
                        self._closing.end_remote(stream)
                        sink = stream.sink
                        if sink is not None:
                            sink.on_data(stream, [payload], length, True)
                    else:
                        arrived.append(payload)
                        arrivals.tell_end(stream)
                    continue
                begun = reader.begin(data, start, end, length, flags, stream_id)
                if begun < 0:
                    self._keep(data[position:])
                    return
                position = begun
                continue
            if arrivals.streams:
                arrivals.tell()
            if length > frames.DEFAULT_FRAME_SIZE:
                self._check_size(kind, length)
            if kind > CONTINUATION:
                # RFC 9113 §5.5: unknown types are skipped, without being collected.
                self._budgets.charge_nuisance()
                position = reader.skip(data, start, end, length)
                continue
            if stop > end:
                self._keep(data[position:])
                return
            position = stop
            if kind == HEADERS:
                if flags & 0x2C == END_HEADERS:
                    headers.read_block(stream_id, flags & END_STREAM != 0, _cut(data, start, stop))
                else:
                    headers.read(flags, stream_id, _cut(data, start, stop))
            elif kind == CONTINUATION:
                headers.read_continuation(flags, stream_id, _cut(data, start, stop))
            else:
                self._control.read(kind, flags, stream_id, _cut(data, start, stop))
            if self._output.closed:
                return

    def _keep(self, data: bytes | memoryview) -> None:
        """Keep the beginning of a frame until the rest has come."""
        self._partial += data
        self._since = self._budgets.now

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
        if self._headers.unfinished or not self._handshake.greeted:
            self._check_order(kind, flags, stream_id & 0x7FFF_FFFF)
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
        # A frame of DATA or of an unknown type is only its head here, and the data reader waits for the rest.
        self._read_frames(whole, 0)
        return position

    def _check_order(self, kind: int, flags: int, stream_id: int) -> None:
        """Check that SETTINGS come first, and within a header block only its CONTINUATION."""
        unfinished = self._headers.unfinished
        if not unfinished:
            self._handshake.check_first(kind, flags)
        elif kind != CONTINUATION or stream_id != unfinished:
            raise PeerFault(PROTOCOL_ERROR, "a header block was interrupted by another frame")

    def _check_size(self, kind: int, length: int) -> None:
        """Frames that are collected until they are whole may be no longer than is useful."""
        announced = self._flow.frame_size
        if length > announced:
            raise PeerFault(FRAME_SIZE_ERROR, f"frame of {length} octets, {announced} announced")
        if kind in {HEADERS, CONTINUATION} and length > self._largest_block:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, f"header block of {length} octets")
        if kind not in {HEADERS, CONTINUATION} and kind <= CONTINUATION:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, f"control frame of {length} octets")


def _cut(data: bytes | memoryview, start: int, stop: int) -> bytes:
    """Copy what is between two places."""
    # What little was read is octets already, and a slice of those is the compiler's own.
    return data[start:stop] if isinstance(data, bytes) else bytes(data[start:stop])
