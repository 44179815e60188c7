"""
DATA frames that are not the common case: padded, cut over several chunks, unwanted or wrong (RFC 9113 §6.1).

Law: what a DATA frame may say and what it takes from the windows. The common case, a whole frame that breaks no rule, is
the frame loop's own (`receiver`), by the same rules.
"""

from typing import Final, final

from proxy.edge.native.http2.arrivals import Arrivals
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.faults import NOT_AS_PROMISED, Faults
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.frames import (
    DATA,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PADDED,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.http2.table import StreamTable

COPIED: Final = 1024
"""Below this a copy is cheaper than a view, and does not keep the received chunk alive."""


@final
class DataReader:
    """`rest` is what is still to come of a frame's payload, `surplus` of what nobody wants: padding, unknown frames."""

    __slots__ = ("_arrivals", "_budgets", "_ends", "_faults", "_flow", "_stream", "_table", "rest", "surplus")

    def __init__(
        self, flow: FlowControl, budgets: Budgets, table: StreamTable, arrivals: Arrivals, faults: Faults
    ) -> None:
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._arrivals = arrivals
        self._faults = faults
        self.rest = 0
        self.surplus = 0
        # Whose the rest is, and whether that ends it.
        self._stream: Stream | None = None
        self._ends = False

    def begin(
        self, data: bytes | memoryview, start: int, end: int, length: int, flags: int, stream_id: int
    ) -> int:
        """
        Read what there is of a frame whose payload starts at `start`; return where reading goes on.

        -1: the pad length comes with the next chunk, and without it nothing is known.
        """
        flow = self._flow
        if length > flow.recv_window:
            raise PeerFault(FLOW_CONTROL_ERROR, "more DATA than the connection's window allows")
        padding = 0
        payload = length
        if flags & PADDED:
            if length == 0:
                raise PeerFault(FRAME_SIZE_ERROR, "a padded DATA frame without a pad length")
            if start >= end:
                return -1
            padding = data[start]
            start += 1
            payload = length - 1 - padding
            if payload < 0:
                raise PeerFault(PROTOCOL_ERROR, "padding longer than its frame")
        flow.arrive(length)
        stream = self._wanted(stream_id, length, payload, ends=flags & END_STREAM != 0)
        if stream is None:
            flow.give_back(length)
            return self.skip(data, start, end, payload + padding)
        flow.hold(stream, length)
        # Padding is consumed as it comes.
        flow.consume(stream, length - payload)
        if payload == 0:
            if flags & END_STREAM:
                self._arrivals.tell_end(stream)
            else:
                self._budgets.charge_nuisance()
        self.rest = payload
        self.surplus = padding
        self._stream = stream
        self._ends = flags & END_STREAM != 0
        return self.go_on(data, start, end)

    def _wanted(self, stream_id: int, length: int, payload: int, *, ends: bool) -> Stream | None:
        """Return the stream if the frame breaks no rule on it."""
        stream = self._table.open.get(stream_id)
        if stream is None:
            self._faults.absent(DATA, stream_id)
            return None
        if length > self._flow.frame_size:
            self._faults.of_stream(stream, FRAME_SIZE_ERROR, f"DATA frame of {length} octets")
        elif stream.remote_ended:
            self._faults.of_stream(stream, STREAM_CLOSED, "DATA after the end of the stream")
        elif not stream.head_seen:
            self._faults.of_stream(stream, PROTOCOL_ERROR, "DATA before a response head")
        elif length > stream.recv_window:
            self._faults.of_stream(stream, FLOW_CONTROL_ERROR, "more DATA than the stream's window allows")
        elif payload > stream.expected:
            self._faults.of_stream(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
        else:
            stream.expected -= payload
            if not ends or not stream.is_short():
                return stream
            self._faults.of_stream(stream, PROTOCOL_ERROR, NOT_AS_PROMISED)
        return None

    def skip(self, data: bytes | memoryview, start: int, end: int, length: int) -> int:
        """Pass over a payload of which nothing is needed; return where reading goes on."""
        self.surplus = length
        return self.go_on(data, start, end)

    def go_on(self, data: bytes | memoryview, position: int, end: int) -> int:
        """Pass on what has arrived of a frame, skip what nobody wants; return where reading goes on."""
        if self.rest and position < end:
            stop = min(position + self.rest, end)
            size = stop - position
            self.rest -= size
            stream = self._stream
            assert stream is not None
            if self._table.open.get(stream.id) is stream:
                piece = bytes(data[position:stop]) if size < COPIED else memoryview(data)[position:stop]
                self._arrivals.add(stream, piece)
                if self._ends and self.rest == 0:
                    self._arrivals.tell_end(stream)
            position = stop
        if self.surplus:
            stop = min(position + self.surplus, end)
            self.surplus -= stop - position
            position = stop
        return position
