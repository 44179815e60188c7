"""
The frames that steer: PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE (RFC 9113 §6).

Law: one method per frame type, given whole frames; what each must look like and what it changes.
"""

from typing import final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.faults import Faults
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.frames import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from proxy.edge.native.http2.go_away import GoAway
from proxy.edge.native.http2.handler import ConnectionHandler
from proxy.edge.native.http2.sender import Sender
from proxy.edge.native.http2.table import StreamTable


@final
class ControlReader:
    __slots__ = ("_budgets", "_faults", "_flow", "_go_away", "_handler", "_sender", "_server", "_table")

    def __init__(
        self,
        handler: ConnectionHandler,
        flow: FlowControl,
        budgets: Budgets,
        table: StreamTable,
        go_away: GoAway,
        sender: Sender,
        faults: Faults,
        *,
        server: bool,
    ) -> None:
        self._handler = handler
        self._flow = flow
        self._budgets = budgets
        self._table = table
        self._go_away = go_away
        self._sender = sender
        self._faults = faults
        self._server = server

    def read(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Read a frame that is neither of DATA nor of a header block; the most frequent ones come first."""
        if kind == WINDOW_UPDATE:
            self._read_window_update(stream_id, payload)
        elif kind == PING:
            self._read_ping(flags, stream_id, payload)
        elif kind == RST_STREAM:
            self._read_rst_stream(stream_id, payload)
        elif kind == SETTINGS:
            self._read_settings(flags, stream_id, payload)
        elif kind == GOAWAY:
            self._read_goaway(stream_id, payload)
        elif kind == PRIORITY:
            self._read_priority(stream_id, payload)
        else:
            raise PeerFault(PROTOCOL_ERROR, "PUSH_PROMISE, which was never allowed")

    def _read_priority(self, stream_id: int, payload: bytes) -> None:
        """Priorities are deprecated and ignored (RFC 9113 §5.3.2), as far as they are well-formed."""
        if stream_id == 0:
            raise PeerFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        stream = self._table.open.get(stream_id)
        if stream is None and not self._server and not self._table.is_idle(stream_id):
            return
        self._budgets.charge_nuisance()
        if len(payload) != 5:
            code, text = FRAME_SIZE_ERROR, "PRIORITY is not 5 octets long"
        elif int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF == stream_id:
            code, text = PROTOCOL_ERROR, "a stream that depends on itself"
        else:
            return
        if stream is not None:
            self._faults.of_stream(stream, code, text)
        elif self._table.is_idle(stream_id):
            # RST_STREAM must not be sent on an idle stream.
            raise PeerFault(code, text)
        else:
            self._faults.refuse(stream_id, code)

    def _read_rst_stream(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise PeerFault(FRAME_SIZE_ERROR, "RST_STREAM is not 4 octets long")
        stream = self._table.open.get(stream_id)
        if stream is None:
            self._faults.absent(RST_STREAM, stream_id)
            return
        code = int.from_bytes(payload, "big")
        self._flow.release(stream)
        self._table.forget(stream)
        self._table.remember_reset(stream_id, ours=False)
        if stream.sink is not None:
            reason = f"reset by peer: {frames.error_name(code)}"
            stream.sink.on_reset(stream, code, reason, code == frames.REFUSED_STREAM)
        self._budgets.charge_reset()

    def _read_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise PeerFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise PeerFault(FRAME_SIZE_ERROR, "SETTINGS acknowledgement with a payload")
            self._budgets.charge_nuisance()
            return
        if len(payload) % 6:
            raise PeerFault(FRAME_SIZE_ERROR, "SETTINGS length is not a multiple of 6")
        self._budgets.charge_nuisance()
        window = self._flow.initial_window
        for name, value in frames.unpack_settings(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise PeerFault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1")
                window = value
            else:
                self._apply_setting(name, value)
        # Once a frame, not once an entry: it visits every stream.
        if self._flow.change_initial_window(window, self._table.open.values()):
            for stream in self._table.open.values():
                if stream.send_window > 0:
                    self._sender.wait(stream)
        self._faults.answer(frames.SETTINGS_ACK)
        self._handler.on_settings()
        self._sender.pump()

    def _apply_setting(self, name: int, value: int) -> None:
        if name == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_SIZE <= value <= frames.LARGEST_FRAME_SIZE:
                raise PeerFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE outside 2^14 to 2^24-1")
            self._sender.peer_frame_size = value
        elif name == frames.ENABLE_PUSH:
            if value > 1 or (value and not self._server):
                raise PeerFault(PROTOCOL_ERROR, "ENABLE_PUSH has no such value")
        elif name == frames.HEADER_TABLE_SIZE:
            self._sender.shrink_table(value)
        elif name == frames.MAX_CONCURRENT_STREAMS:
            self._table.peer_concurrent_streams = value

    def _read_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise PeerFault(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise PeerFault(FRAME_SIZE_ERROR, "PING is not 8 octets long")
        self._budgets.charge_nuisance()
        if flags & frames.ACK:
            if payload == frames.DRAIN_PING:
                self._go_away.stop_accepting()
            else:
                self._handler.on_ping_ack(payload)
        else:
            self._faults.answer(frames.ping(payload, ack=True))

    def _read_goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise PeerFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise PeerFault(FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 octets")
        self._budgets.charge_nuisance()
        last_stream = int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF
        code = int.from_bytes(payload[4:8], "big")
        self._go_away.received = last_stream
        if not self._server:
            reason = f"the peer went away: {frames.error_name(code)}"
            for stream in [stream for stream in self._table.open.values() if stream.id > last_stream]:
                self._table.forget(stream)
                if stream.sink is not None:
                    stream.sink.on_reset(stream, code, reason, True)
        self._handler.on_goaway(last_stream, code, payload[8:])

    def _read_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise PeerFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 octets long")
        stream = self._table.open.get(stream_id)
        if stream is None and stream_id:
            if self._server:
                self._budgets.charge_nuisance()
            self._faults.absent(WINDOW_UPDATE, stream_id)
            return
        self._budgets.charge_nuisance()
        increment = int.from_bytes(payload, "big") & 0x7FFF_FFFF
        if stream is None:
            if increment == 0:
                raise PeerFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._flow.widen(increment)
            self._sender.pump()
            return
        if increment == 0:
            self._faults.of_stream(stream, PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        elif not self._flow.widen_stream(stream, increment):
            self._faults.of_stream(stream, FLOW_CONTROL_ERROR, "the stream's window exceeds 2^31-1")
        elif stream.queue:
            self._sender.wait(stream)
            self._sender.pump()
