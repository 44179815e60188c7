"""
The door to an HTTP/2 connection, in either role.

    connection = Connection(handler, limits, server=True)
    connection.receive(octets, now)          # callbacks happen within
    transport.writelines(connection.take())  # and once more after pump()

Law: puts the parts together, and is the life of the connection as a whole; each part has its own law.
"""

from typing import Final, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.arrivals import Arrivals
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.control import ControlReader
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.faults import Faults
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.go_away import GoAway
from proxy.edge.native.http2.handler import ConnectionHandler, Writer
from proxy.edge.native.http2.handshake import HTTP_1_ANSWER, Handshake, is_http_1
from proxy.edge.native.http2.headers import HeaderReader
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.pacing import WORN
from proxy.edge.native.http2.receiver import Receiver
from proxy.edge.native.http2.sender import Sender
from proxy.edge.native.http2.stream import Buffer, Stream, StreamSink
from proxy.edge.native.http2.table import StreamTable

_FRESH_STREAM_IDS: Final = frames.LARGEST_STREAM_ID - (1 << 24)
"""From here on there are eight million calls left: minutes, at any rate that a proxy has seen."""


@final
class Connection:
    """One HTTP/2 connection without its socket."""

    __slots__ = (
        "_handshake",
        "budgets",
        "closing",
        "flow",
        "go_away",
        "handler",
        "limits",
        "output",
        "receiver",
        "sender",
        "server",
        "table",
    )

    def __init__(
        self,
        handler: ConnectionHandler,
        limits: Limits,
        *,
        server: bool,
        ready: list[Writer] | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.server = server
        self.output = output = Output(handler, [] if ready is None else ready)
        self.flow = flow = FlowControl(limits, output)
        self.budgets = budgets = Budgets(limits, server=server)
        self.table = table = StreamTable(limits, server=server)
        self.closing = closing = Closing(handler, limits, output, flow, budgets, table, server=server)
        self.go_away = go_away = GoAway(output, table)
        self.sender = sender = Sender(output, flow, budgets, table, closing)
        arrivals = Arrivals(closing)
        faults = Faults(output, flow, budgets, table, closing, arrivals, server=server)
        self._handshake = handshake = Handshake(limits, output, server=server)
        headers = HeaderReader(handler, limits, flow, budgets, table, closing, go_away, faults, server=server)
        control = ControlReader(handler, flow, budgets, table, go_away, sender, faults, server=server)
        self.receiver = Receiver(
            limits, output, flow, budgets, table, closing, arrivals, faults, handshake, headers, control
        )

    def __repr__(self) -> str:
        role = "server" if self.server else "client"
        state = "closed" if self.closed else "draining" if self.draining else "open"
        return f"<Connection {role} {state}, {len(self.streams)} streams>"

    # What is so.

    @property
    def streams(self) -> dict[int, Stream]:
        """The open streams by their numbers."""
        return self.table.open

    @property
    def closed(self) -> bool:
        """Nothing more is received or sent."""
        return self.output.closed

    @property
    def draining(self) -> bool:
        """No stream will be opened any more, by the peer's wish or ours."""
        return self.go_away.draining

    @property
    def cut_since(self) -> float | None:
        """When something began that has not come in full (see `Receiver`)."""
        return self.receiver.cut_since

    @property
    def worn(self) -> bool:
        """Whether another connection should take its place: its stream numbers, or its resets, run out."""
        waiting = len(self.closing.pacing)
        return self.table.next_stream > _FRESH_STREAM_IDS or (
            waiting > 0 and waiting >= min(WORN, self.table.peer_concurrent_streams // 2)
        )

    @property
    def idle(self) -> bool:
        """Whether no stream is left that anybody wants."""
        streams = self.table.open
        pacing = self.closing.pacing
        return len(streams) <= len(pacing) and all(each in pacing for each in streams)

    def can_open(self) -> bool:
        """Whether the client role may open one more stream here."""
        table = self.table
        return (
            len(table.open) < table.peer_concurrent_streams
            and not self.output.closed
            and self.go_away.received is None
            and table.next_stream <= frames.LARGEST_STREAM_ID
        )

    # What the socket brings and takes.

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take what the peer sent. Never raises for anything a peer can send."""
        if self.output.closed:
            return
        self.budgets.now = now
        expected = self._handshake.expected
        try:
            self.receiver.receive(data)
        except PeerFault as fault:
            if expected == frames.PREFACE and is_http_1(data):
                self.output.put(HTTP_1_ANSWER)
                self.output.close()
                self.handler.on_fault(fault)
            else:
                self.fail(fault)

    def take(self) -> list[Buffer]:
        """Hand out what is to be written now; the caller then calls `pump` for what was held back."""
        return self.output.take()

    def pump(self) -> None:
        """Send what waits, as far as windows and room allow, each stream in its turn."""
        self.sender.pump()

    def pause(self) -> None:
        """Hold DATA back until `resume`: the transport has enough."""
        self.output.pause()

    def resume(self) -> None:
        """Send what was held back."""
        self.output.resume()
        self.sender.pump()

    def fail(self, fault: PeerFault) -> None:
        """End the connection for a fault of the peer (RFC 9113 §5.4.1)."""
        if self.closed:
            return
        self.output.put(frames.goaway(self.table.highest_peer_stream, fault.code, fault.text.encode()))
        self.lost(frames.mistake(fault.code, fault.text))
        self.handler.on_fault(fault)

    def lost(self, reason: str) -> None:
        """Tell every stream's sink that the connection is gone."""
        self.output.close()
        streams = list(self.table.open.values())
        self.table.open.clear()
        for stream in streams:
            self.table.forget(stream)
            if stream.sink is not None:
                stream.sink.on_reset(stream, frames.CONNECTION_LOST, reason, False)

    # What the application sends.

    def open(self, sink: StreamSink, block: bytes, *, end: bool = False) -> Stream:
        """Begin a request (client role). The caller has asked `can_open`."""
        table = self.table
        stream = self.flow.begin(table.next_stream)
        table.next_stream += 2
        stream.sink = sink
        table.open[stream.id] = stream
        self.sender.send_block(stream, block, end=end)
        return stream

    def send_head(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """Send a request's or response's head (or a 1xx) that `encode_fields` made."""
        self.sender.send_head(stream, block, end=end)

    def send_data(self, stream: Stream, pieces: list[Buffer], size: int, end: bool = False) -> int:
        """
        Send DATA of `size` octets, now as far as it may go and later the rest.

        Returns the octets that went at once; the others are reported to the stream's sink.
        """
        return self.sender.send_data(stream, pieces, size, end)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """End our half with trailers, after whatever DATA still waits."""
        self.sender.send_trailers(stream, block)

    def reset(self, stream: Stream, code: int, owner: int = 0) -> None:
        """End a stream at once; `owner` is a number for the client on whose behalf (see `Closing`)."""
        self.closing.reset(stream, code, owner)

    def reset_due(self, now: float) -> None:
        """Reset the streams whose turn has come."""
        self.budgets.now = now
        self.closing.reset_due()

    def send_ping(self, payload: bytes) -> None:
        """Ask for a sign of life; eight octets come back through the handler."""
        if not self.closed:
            self.output.put(frames.ping(payload))

    def drain(self) -> None:
        """Ask a client to open no more streams, without failing those on their way."""
        self.go_away.drain()

    def stop_accepting(self) -> None:
        """Name the last stream taken; what comes after it is refused, which is safe to retry."""
        self.go_away.stop_accepting()

    # What the application has done with what it was given.

    def consume(self, stream: Stream, count: int) -> None:
        """Let the peer send as many octets again: the application has passed them on."""
        self.flow.consume(stream, count)

    def lend(self, stream: Stream, count: int) -> None:
        """Let the peer send as many octets on other streams, though the application still holds them."""
        self.flow.lend(stream, count)
