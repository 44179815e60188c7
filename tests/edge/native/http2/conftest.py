"""A peer made of plain frames: what the connection is told, and what it says."""

import struct
import sys

import pytest
from hpack import Decoder, Encoder

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.limits import Limits

NAMES = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"),
    *("PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
)
REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/p.S/M"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)

SLAB = 100_000
# References to a slab without a view: the list, the name and the argument of `getrefcount`.
UNSEEN = 3


class Memory:
    """What chunks are read into: memory that is used again, as in `slabs`, but overwritten at once."""

    def __init__(self):
        self.slabs = []

    def __len__(self):
        return len(self.slabs)

    def read(self, octets):
        self.spoil()
        for slab in self.slabs:
            if sys.getrefcount(slab) <= UNSEEN:
                break
        else:
            slab = bytearray(SLAB)
            self.slabs.append(slab)
        slab[: len(octets)] = octets
        return memoryview(slab)[: len(octets)]

    def spoil(self):
        """Overwrite what nobody looks at; return in how many slabs somebody does."""
        seen = 0
        for slab in self.slabs:
            if sys.getrefcount(slab) <= UNSEEN:
                slab[:] = b"\xee" * SLAB
            else:
                seen += 1
        return seen


def frame(kind, flags, stream_id, payload=b""):
    return frames.pack_head(len(payload) << 8 | kind, flags, stream_id) + payload


class Conversation:
    """
    One connection under test and its scripted peer.

    `hears(...)` feeds octets; `says()` returns what it answered since, one tuple per frame:
    ("RST_STREAM", stream, code), ("DATA", stream, payload, ended), ("HEADERS", stream, fields, ended), …
    `events` is what the application was told, in order.
    """

    def __init__(self, limits, *, server):
        self.events = []
        self.consuming = True
        self.streams = {}
        self.connection = Connection(self, limits, server=server)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.now = 0.0
        if server:
            self.hears(frames.PREFACE, frame(frames.SETTINGS, 0, 0))
        else:
            self.hears(frame(frames.SETTINGS, 0, 0))
        self.greeting = self.says()

    def hears(self, *pieces):
        for piece in pieces:
            self.connection.receive(piece, self.now)

    def raw(self):
        out = []
        while self.connection.output.pieces:
            out += self.connection.take()
            self.connection.pump()
        return b"".join(out)

    def says(self):
        octets = self.raw().removeprefix(frames.PREFACE)
        said = []
        while octets:
            word, flags, stream_id = frames.unpack_head(octets, 0)
            payload = octets[9 : 9 + (word >> 8)]
            octets = octets[9 + (word >> 8) :]
            said.append(self._read(NAMES[word & 0xFF], flags, stream_id, payload))
        return said

    def _read(self, name, flags, stream_id, payload):
        if name == "HEADERS":
            assert flags & frames.END_HEADERS
            fields = tuple((bytes(k), bytes(v)) for k, v in self.decoder.decode(payload, raw=True))
            return name, stream_id, fields, flags & 1 == 1
        if name == "DATA":
            return name, stream_id, payload, flags & 1 == 1
        if name in {"RST_STREAM", "WINDOW_UPDATE"}:
            return name, stream_id, int.from_bytes(payload, "big")
        if name == "GOAWAY":
            last, code = struct.unpack(">II", payload[:8])
            return name, last, code
        if name == "SETTINGS":
            return (name, "ack") if flags & 1 else (name, dict(frames.unpack_settings(payload)))
        if name == "PING":
            return name, "ack" if flags & 1 else "", payload
        return name, flags, stream_id, payload

    def headers(self, stream_id, fields=REQUEST, *, end=False, flags=frames.END_HEADERS):
        block = self.encoder.encode(fields)
        return frame(frames.HEADERS, flags | end, stream_id, block)

    def data(self, stream_id, payload=b"", *, end=False):
        return frame(frames.DATA, int(end), stream_id, payload)

    def opens(self, fields=REQUEST, *, end=False):
        """The application opens a stream (client role)."""
        return self.connection.open(self, encode_fields(fields), end=end)

    def sends(self, stream, *pieces, end=False):
        """The application sends DATA."""
        return self.connection.send_data(stream, list(pieces), sum(map(len, pieces)), end)

    # What the connection tells its application.

    def on_request(self, stream, block, ended):
        self.streams[stream.id] = stream
        stream.sink = self
        self.events.append(("request", stream.id, tuple(block.fields), ended))

    def on_head(self, stream, block, ended):
        self.events.append(("head", stream.id, block.status, ended))

    def on_informational(self, stream, block):
        self.events.append(("informational", stream.id, block.status))

    def on_data(self, stream, pieces, size, ended):
        self.events.append(("data", stream.id, b"".join(pieces), ended))
        assert sum(map(len, pieces)) == size
        if self.consuming:
            self.connection.consume(stream, size)

    def on_trailers(self, stream, block):
        self.events.append(("trailers", stream.id, tuple(block.fields)))

    def on_reset(self, stream, code, reason, unprocessed):
        self.events.append(("reset", stream.id, code, unprocessed))

    def on_sent(self, stream, count):
        self.events.append(("sent", stream.id, count))

    def on_settings(self):
        pass

    def on_ping_ack(self, payload):
        self.events.append(("pong", payload))

    def on_goaway(self, last_stream, code, debug):
        self.events.append(("goaway", last_stream, code))

    def on_reset_waits(self):
        pass

    def on_drained(self):
        self.events.append(("drained",))

    def on_fault(self, fault):
        self.events.append(("fault", fault.code))


def ends_with(conversation, code):
    """The connection says GOAWAY with that code, once, and listens no more."""
    said = conversation.says()
    assert said[-1][0] == "GOAWAY", said
    assert frames.error_name(said[-1][2]) == frames.error_name(code)
    assert conversation.events[-1] == ("fault", code)
    conversation.hears(conversation.headers(101))
    assert conversation.says() == []
    return True


def resets(conversation, stream_id, code):
    """Only the stream ends; the connection goes on."""
    said = [one for one in conversation.says() if one[0] in {"RST_STREAM", "GOAWAY"}]
    assert said == [("RST_STREAM", stream_id, code)]
    assert not conversation.connection.closed
    return True


@pytest.fixture
def converse():
    """Start a conversation: `converse(server=False, concurrent_streams=2)`."""

    def start(*, server=True, **limits):
        return Conversation(Limits(**limits), server=server)

    return start


@pytest.fixture
def server(converse):
    return converse()


@pytest.fixture
def client(converse):
    return converse(server=False)


@pytest.fixture(name="frame")
def frame_fixture():
    return frame


@pytest.fixture
def request_fields():
    return REQUEST
