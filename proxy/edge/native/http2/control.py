"""
The frames that steer: PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE (RFC 9113 §6).

Law: one method per frame type, given whole frames; what each must look like and what it changes.
"""

from typing import Any

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import PeerFault
from proxy.edge.native.http2.faults import ConnectionHandler, Faults
from proxy.edge.native.http2.frames import FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, RST_STREAM
from proxy.edge.native.http2.limits import Limits


class Control(Faults):
    """The receiving side's control frames; see `connection` for the whole."""

    def __init__(self, handler: ConnectionHandler, limits: Limits, ready: list[Any], *, server: bool) -> None:
        super().__init__(handler, limits, ready, server=server)
        self.peer_concurrent_streams = 2**32 - 1
        self.going_away: int | None = None

    def _read_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Priorities are deprecated and ignored (RFC 9113 §5.3.2), as far as they are well-formed."""
        if stream_id == 0:
            raise PeerFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        stream = self.streams.get(stream_id)
        if stream is None and not self.server and not self._is_idle(stream_id):
            return
        self._charge_nuisance()
        if len(payload) != 5:
            code, text = FRAME_SIZE_ERROR, "PRIORITY is not 5 octets long"
        elif int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF == stream_id:
            code, text = PROTOCOL_ERROR, "a stream that depends on itself"
        else:
            return
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
        stream = self.streams.get(stream_id)
        if stream is None and stream_id:
            if self.server:
                self._charge_nuisance()
            self._absent(frames.WINDOW_UPDATE, stream_id)
            return
        self._charge_nuisance()
        increment = int.from_bytes(payload, "big") & 0x7FFF_FFFF
        if stream is None:
            if increment == 0:
                raise PeerFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.send_window += increment
            if self.send_window > frames.LARGEST_WINDOW:
                raise PeerFault(FLOW_CONTROL_ERROR, "the connection's window exceeds 2^31-1")
            self.pump()
            return
        if increment == 0:
            self._stream_fault(stream, PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        elif stream.send_window + increment > frames.LARGEST_WINDOW:
            self._stream_fault(stream, FLOW_CONTROL_ERROR, "the stream's window exceeds 2^31-1")
        else:
            stream.send_window += increment
            if stream.queue:
                self.waiting[stream_id] = stream
                self.pump()
