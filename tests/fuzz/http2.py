"""One HTTP/2 connection of ours, an application that answers in several ways, and what must be so after every octet.

Law: drives the core by its door alone (`Connection`), and reads its parts only to check that their sums are right.
"""

from collections import defaultdict
from collections.abc import Iterator

from hpack import Decoder

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream

LIMITS = Limits(
    stream_window=65_535, connection_window=131_072, concurrent_streams=8, nuisance_burst=60, reset_burst=30
)
_HEAD = encode_fields(((b":status", b"200"), (b"content-type", b"application/grpc")))
_TRAILERS = encode_fields(((b"grpc-status", b"0"),))
REQUEST = encode_fields(
    (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/p.S/M"),
        (b":authority", b"here"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)
_LARGE = 66_000
_CONTROL = 40
"""Octets that one octet of a peer may make us say, beside what an application sends."""


class Peer:
    """`active`: the application answers, each stream in the way of its number; else it only takes what comes."""

    def __init__(self, *, server: bool, active: bool) -> None:
        self.server = server
        self.active = active
        self.told: dict[int, list[object]] = defaultdict(list)
        self.faults: list[int] = []
        self.heard = self.said = self.sent = 0
        self._decoder = Decoder()
        self._over = False
        self._known: set[Stream] = set()
        self._over_early: set[Stream] = set()
        self.connection = Connection(self, LIMITS, server=server)
        if not server:
            for number in range(3):
                stream = self.connection.open(self, REQUEST, end=number == 1)
                if active and number == 2:
                    self._send(stream, _LARGE, end=True)

    def hear(self, octets: bytes) -> None:
        self.connection.receive(octets, 0.0)
        self.heard += len(octets)
        self._speak()
        self._check()

    def end(self) -> None:
        """The socket is gone: every stream is told, once."""
        self.connection.lost("gone")
        assert not self.connection.streams
        for stream_id, told in self.told.items():
            assert sum(each[0] == "reset" for each in told if isinstance(each, tuple)) <= 1, stream_id

    # What comes out is a sequence of frames that a peer can read.

    def _speak(self) -> None:
        out = bytearray()
        while self.connection.output.pieces:
            for piece in self.connection.take():
                out += piece
            self.connection.pump()
        self.said += len(out)
        assert self.said <= self.sent * 2 + _CONTROL * self.heard + 4096, "it says too much"
        for kind, flags, stream_id, payload in _frames(bytes(out).removeprefix(frames.PREFACE)):
            assert not self._over, "something is said after GOAWAY with an error"
            if kind == frames.HEADERS:
                assert flags & frames.END_HEADERS
                self._decoder.decode(payload, raw=True)
            elif kind == frames.DATA:
                assert len(payload) <= self.connection.sender.peer_frame_size
                assert stream_id
            elif kind == frames.WINDOW_UPDATE:
                assert 0 < int.from_bytes(payload) <= frames.LARGEST_WINDOW
            elif kind == frames.GOAWAY and int.from_bytes(payload[4:8]):
                self._over = True

    def _check(self) -> None:
        connection = self.connection
        flow = connection.flow
        assert flow.recv_window >= 0
        assert flow.send_window >= 0
        assert flow.owed >= 0
        assert len(connection.receiver._partial) <= frames.DEFAULT_FRAME_SIZE + frames.HEAD_LENGTH
        if connection.closed:
            assert not connection.streams
            return
        for stream in self._known.difference(connection.streams.values()):
            # Of an answer that has come in full, the application may still have something to consume.
            if self.server or stream in self._over_early:
                assert not stream.held, "what a stream held that is over is not given back"
        held = sum(stream.held - stream.lent for stream in self._known.union(connection.streams.values()))
        for stream_id, stream in connection.streams.items():
            assert stream.id == stream_id
            assert stream.recv_window >= 0
            assert stream.send_window <= frames.LARGEST_WINDOW
            assert 0 <= stream.lent <= stream.held
            if not stream.remote_ended:
                assert stream.recv_window + stream.held + stream.owed == LIMITS.stream_window
            assert not stream.arrived
        assert len(connection.streams) <= LIMITS.concurrent_streams
        assert flow.recv_window + flow.owed + held == LIMITS.connection_window

    # The application.

    def on_request(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        assert self.server
        stream.sink = self
        self._tell(stream, ("request", tuple(block.fields), ended, block.oversized))
        if not self.active:
            return
        if stream.id % 8 == 7:
            self._reset(stream)
        elif ended:
            self._answer(stream)

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        self._tell(stream, ("head", tuple(block.fields), ended))

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        self._tell(stream, ("informational", block.status))

    def on_data(self, stream: Stream, pieces: list, size: int, ended: bool) -> None:
        octets = b"".join(pieces)
        assert len(octets) == size
        assert size or ended
        self._known.add(stream)
        told = self.told[stream.id]
        if told and isinstance(told[-1], bytes):
            told[-1] += octets
        elif octets:
            told.append(octets)
        if ended:
            self._tell(stream, ("ended",))
        way = stream.id % 8
        if not self.active or way == 1:
            self.connection.consume(stream, size)
        if self.active and way == 5 and size:
            self._reset(stream)
        elif self.active and ended:
            self._answer(stream)
        elif self.active and way == 3:
            self.connection.lend(stream, size)

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        self._tell(stream, ("trailers", tuple(block.fields)))
        if self.active:
            self._answer(stream)

    def on_reset(self, stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        assert reason
        self._over_early.add(stream)
        self._tell(stream, ("reset", code, unprocessed))

    def on_sent(self, stream: Stream, count: int) -> None:
        assert count > 0

    def _reset(self, stream: Stream) -> None:
        self._over_early.add(stream)
        self.connection.reset(stream, frames.CANCEL)

    def _tell(self, stream: Stream, what: object) -> None:
        self._known.add(stream)
        told = self.told[stream.id]
        assert not (told and isinstance(told[-1], tuple) and told[-1][0] == "reset"), (
            "told of a stream that is over"
        )
        told.append(what)

    def _answer(self, stream: Stream) -> None:
        if self.server and not stream.local_ended:
            self.connection.send_head(stream, _HEAD)
            self._send(stream, _LARGE if stream.id % 8 == 3 else 5, end=False)
            self.connection.send_trailers(stream, _TRAILERS)

    def _send(self, stream: Stream, size: int, *, end: bool) -> None:
        self.sent += size
        self.connection.send_data(stream, [bytes(size)], size, end)

    def on_settings(self) -> None: ...

    def on_ping_ack(self, payload: bytes) -> None:
        assert len(payload) == 8

    def on_goaway(self, last_stream: int, code: int, debug: bytes) -> None: ...

    def on_reset_waits(self) -> None: ...

    def on_drained(self) -> None: ...

    def on_fault(self, fault: PeerFault) -> None:
        assert fault.text
        assert fault.text.isprintable()
        self.faults.append(fault.code)

    def write(self) -> None: ...


def _frames(octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    pos = 0
    while pos < len(octets):
        word, flags, stream_id = frames.unpack_head(octets, pos)
        stop = pos + frames.HEAD_LENGTH + (word >> 8)
        assert stop <= len(octets), "half a frame is said"
        yield word & 0xFF, flags, stream_id, octets[pos + frames.HEAD_LENGTH : stop]
        pos = stop


# A head that says how to go about it: bit 0 without greeting, and how long the pieces are.


def check(data: bytes, *, server: bool) -> None:
    """An application that answers; and one that does not, told the same of the whole and of pieces."""
    if not data:
        return
    greeting = b"" if data[0] & 1 else (frames.PREFACE if server else b"") + frames.settings({})
    octets = data[1:]
    step = 1 + (data[0] >> 1) % 40
    answering = Peer(server=server, active=True)
    answering.hear(greeting)
    for start in range(0, len(octets), step * 4):
        answering.hear(octets[start : start + step * 4])
    answering.end()
    whole, cut = Peer(server=server, active=False), Peer(server=server, active=False)
    whole.hear(greeting + octets)
    cut.hear(greeting)
    for start in range(0, len(octets), step):
        cut.hear(octets[start : start + step])
    # Of a frame that is cut off one of them may know more: an octet of padding, before it looks at the length.
    for peer in (whole, cut):
        peer.hear(bytes(frames.HEAD_LENGTH))
    assert whole.told == cut.told
    assert whole.faults == cut.faults


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frames.pack_head(len(payload) << 8 | kind, flags, stream_id) + payload
