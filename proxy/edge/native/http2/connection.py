"""
The door to an HTTP/2 connection, in either role.

    connection = Connection(handler, limits, server=True)
    connection.receive(octets, now)          # callbacks happen within
    transport.writelines(connection.take())  # and once more after pump()

Law: roles and the life of the connection as a whole; frames are read in `inbound` and written in `outbound`.
"""

from typing import Any, Final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import PeerFault
from proxy.edge.native.http2.faults import ConnectionHandler
from proxy.edge.native.http2.inbound import Inbound
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.pacing import WORN
from proxy.edge.native.http2.stream import Stream, StreamSink

_HTTP_1_METHODS: Final = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN")
_HTTP_1_TEXT: Final = b"This port speaks gRPC over HTTP/2 only.\n"
_HTTP_1_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_HTTP_1_TEXT), _HTTP_1_TEXT)
)


_FRESH_STREAM_IDS: Final = frames.LARGEST_STREAM_ID - (1 << 24)
"""From here on there are eight million calls left: minutes, at any rate that a proxy has seen."""


class Connection(Inbound):
    """One HTTP/2 connection without its socket."""

    def __init__(
        self,
        handler: ConnectionHandler,
        limits: Limits,
        *,
        server: bool,
        ready: list[Any] | None = None,
    ) -> None:
        super().__init__(handler, limits, [] if ready is None else ready, server=server)
        if not server:
            self._put(frames.PREFACE)
            self._greet()

    def __repr__(self) -> str:
        role = "server" if self.server else "client"
        state = "closed" if self.closed else "draining" if self.draining else "open"
        return f"<Connection {role} {state}, {len(self.streams)} streams>"

    @property
    def draining(self) -> bool:
        """No stream will be opened any more, by the peer's wish or ours."""
        return self.going_away is not None or self.last_accepted != frames.LARGEST_STREAM_ID

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take what the peer sent. Never raises for anything a peer can send."""
        if self.closed:
            return
        self.now = now
        greeting = self._preface
        try:
            self._feed(data)
        except PeerFault as fault:
            if greeting == frames.PREFACE and bytes(data[:4]) in _HTTP_1_METHODS:
                self._put(_HTTP_1_ANSWER)
                self.closed = True
                self.handler.on_fault(fault)
            else:
                self.fail(fault)

    def fail(self, fault: PeerFault) -> None:
        """End the connection for a fault of the peer (RFC 9113 §5.4.1)."""
        if self.closed:
            return
        self._put(frames.goaway(self.highest_peer_stream, fault.code, fault.text.encode()))
        self.lost(fault.text)
        self.handler.on_fault(fault)

    def lost(self, reason: str) -> None:
        """Tell every stream's sink that the connection is gone."""
        self.closed = True
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            self._forget(stream)
            if stream.sink is not None:
                stream.sink.on_reset(stream, frames.CONNECTION_LOST, reason, False)

    def can_open(self) -> bool:
        """Whether the client role may open one more stream here."""
        return (
            len(self.streams) < self.peer_concurrent_streams
            and not self.closed
            and self.going_away is None
            and self.next_stream <= frames.LARGEST_STREAM_ID
        )

    @property
    def worn(self) -> bool:
        """Whether another connection should take its place: its stream numbers, or its resets, run out."""
        waiting = len(self.pacing)
        return self.next_stream > _FRESH_STREAM_IDS or (
            waiting > 0 and waiting >= min(WORN, self.peer_concurrent_streams // 2)
        )

    @property
    def idle(self) -> bool:
        """Whether no stream is left that anybody wants."""
        return len(self.streams) <= len(self.pacing) and all(each in self.pacing for each in self.streams)

    def open(self, sink: StreamSink, block: bytes, *, end: bool = False) -> Stream:
        """Begin a request (client role). The caller has asked `can_open`."""
        stream = Stream(self.next_stream, self.peer_window, self.limits.stream_window)
        self.next_stream += 2
        stream.sink = sink
        self.streams[stream.id] = stream
        self._send_block(stream, block, end=end)
        return stream

    def send_ping(self, payload: bytes) -> None:
        """Ask for a sign of life; eight octets come back through the handler."""
        if not self.closed:
            self._put(frames.ping(payload))
