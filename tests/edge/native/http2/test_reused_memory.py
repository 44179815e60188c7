"""
Octets that lie in memory which is used again: what a connection is told of, keeps and sends stays as it arrived.

`slabs` overwrites what nobody looks at any more with the next read; here that is done at once, after every chunk.
"""

import random
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import keep_all
from tests.edge.native.http2.conftest import REQUEST, SLAB, Memory, frame

WIDE = Limits(stream_window=1 << 24, connection_window=1 << 26, nuisance_burst=1_000_000)


class Relay:
    """Passes requests on to a second connection, as a proxy does, and keeps what it has heard."""

    def __init__(self):
        self.connection = Connection(self, WIDE, server=True)
        # As once a larger frame has been announced.
        self.connection.flow.frame_size = WIDE.frame_size
        self.up = Connection(self, WIDE, server=False)
        self.up.receive(frame(f.SETTINGS, 0, 0), 0.0)
        self.written = []
        self.streams = {}
        self.heard = {}
        self.kept = {}
        self.ends = {}
        # Octets that the second connection says it has sent. Its streams have the same numbers.
        self.sent = {}

    def write(self):
        """As a transport that takes little at a time: what it was given lies in its buffer."""
        self.written += self.up.take()
        self.up.pump()
        self.written += self.up.take()
        self.connection.take()

    def on_request(self, stream, block, ended):
        stream.sink = self
        self.heard[stream.id], self.kept[stream.id], self.sent[stream.id] = [], [], 0
        self.streams[stream.id] = self.up.open(self, encode_fields(block.fields), end=ended)

    def on_data(self, stream, pieces, size, ended):
        assert sum(map(len, pieces)) == size
        assert size or ended
        self.heard[stream.id] += pieces
        keep_all(self.kept[stream.id], pieces, size)
        self.sent[stream.id] += self.up.send_data(self.streams[stream.id], pieces, size, ended)
        self.connection.consume(stream, size)
        if ended:
            self.ends[stream.id] = "data"

    def on_trailers(self, stream, block):
        self.ends[stream.id] = block.fields
        self.up.send_trailers(self.streams[stream.id], encode_fields(block.fields))

    def on_reset(self, stream, code, reason, unprocessed):
        self.ends[stream.id] = code
        self.up.reset(self.streams[stream.id], code)

    def on_sent(self, stream, count):
        assert count
        self.sent[stream.id] += count

    def on_settings(self):
        pass

    def on_ping_ack(self, payload):
        self.ends["ping"] = payload

    def bodies(self):
        assert {n: b"".join(p) for n, p in self.heard.items()} == {
            n: b"".join(p) for n, p in self.kept.items()
        }
        return {number: b"".join(pieces) for number, pieces in self.heard.items()}

    def passed_on(self):
        """What the second connection's peer gets: octets of DATA by stream, and how each stream ended."""
        octets = b"".join(self.written).removeprefix(f.PREFACE)
        bodies, ends = {}, {}
        position = 0
        while position < len(octets):
            word, flags, number = f.unpack_head(octets, position)
            start, position = position + 9, position + 9 + (word >> 8)
            assert position <= len(octets)
            assert word >> 8 <= self.up.sender.peer_frame_size
            kind = word & 0xFF
            if kind == f.DATA:
                assert number not in ends
                bodies[number] = bodies.get(number, b"") + octets[start:position]
            if kind in {f.DATA, f.HEADERS} and flags & f.END_STREAM:
                ends[number] = kind
        return bodies, ends


class Script:
    """A client's frames: a few requests, their frames in any order, other frames between them."""

    def __init__(self, steps):
        self.octets = f.PREFACE + frame(f.SETTINGS, 0, 0)
        self.bodies = {}
        self.ends = {}
        self.random = random.Random(1)
        open_at, opened = {}, 0
        for place, kind, size, padding in steps:
            if place not in open_at:
                open_at[place] = 2 * opened + 1
                opened += 1
                self._head(open_at[place], cut=padding)
            number = open_at[place]
            getattr(self, f"_{kind}")(number, size, padding)
            if number in self.ends:
                del open_at[place]

    def _head(self, number, cut):
        block = encode_fields((*REQUEST, (b"x-number", b"%d" % number)))
        self.octets += frame(f.HEADERS, 0, number, block[:cut])
        self.octets += frame(f.CONTINUATION, f.END_HEADERS, number, block[cut:])
        self.bodies[number] = b""

    def _data(self, number, size, padding, flags=0):
        payload = self.random.randbytes(size)
        self.bodies[number] += payload
        if padding % 3 == 0:
            flags |= f.PADDED
            payload = bytes((padding,)) + payload + bytes(padding)
        self.octets += frame(f.DATA, flags, number, payload)

    def _end(self, number, size, padding):
        self._data(number, size, padding, f.END_STREAM)
        self.ends[number] = "data"

    def _trailers(self, number, _size, _padding):
        fields = ((b"x-last", b"%d" % number),)
        self.octets += frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, number, encode_fields(fields))
        self.ends[number] = fields

    def _reset(self, number, _size, _padding):
        self.octets += frame(f.RST_STREAM, 0, number, struct.pack(">I", f.CANCEL))
        self.ends[number] = f.CANCEL

    def _ping(self, _number, _size, padding):
        self.octets += frame(f.PING, f.ACK, 0, bytes((padding,)) * 8)
        self.ends["ping"] = bytes((padding,)) * 8

    def _unknown(self, number, size, _padding):
        self.octets += frame(0x77, 0xFF, number, b"\xaa" * size)


sizes = st.one_of(st.integers(0, 40), st.integers(400, 1100), st.integers(1, 16_000), st.integers(1, 90_000))
kinds = st.sampled_from(["data"] * 12 + ["end", "end", "trailers", "reset", "ping", "unknown"])
scripts = st.lists(
    st.tuples(st.integers(0, 3), kinds, sizes, st.integers(0, 255)), min_size=1, max_size=30
).map(Script)
cuts = st.lists(st.one_of(st.integers(1, 30), st.integers(1, SLAB), st.just(SLAB)), min_size=1, max_size=12)
# What the second connection's peer does after a chunk: opens its windows so far, or reads nothing for a while.
turns = st.lists(st.one_of(st.integers(1, 50_000), st.just(0)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(scripts, cuts, turns, st.sampled_from([16_384, 20_000, 1 << 18]))
def test_nothing_changes_after_it_was_heard_however_cut_and_however_late_it_is_sent(
    script, cuts, turns, frame_size
):
    memory, relay = Memory(), Relay()
    relay.up.receive(frame(f.SETTINGS, 0, 0, struct.pack(">HIHI", 5, frame_size, 4, 1000)), 0.0)
    relay.up.receive(frame(f.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 28)), 0.0)
    position = turn = 0
    while position < len(script.octets):
        chunk = script.octets[position : position + cuts[turn % len(cuts)]]
        position += len(chunk)
        relay.connection.receive(memory.read(chunk), 0.0)
        memory.spoil()
        increment = turns[turn % len(turns)]
        turn += 1
        if increment:
            relay.up.resume()
            for number in list(relay.up.streams):
                relay.up.receive(frame(f.WINDOW_UPDATE, 0, number, struct.pack(">I", increment)), 0.0)
        else:
            relay.up.pause()
        relay.write()
        memory.spoil()
    assert not relay.connection.closed
    assert relay.bodies() == script.bodies
    assert relay.ends == script.ends
    relay.up.resume()
    for number in list(relay.up.streams):
        relay.up.receive(frame(f.WINDOW_UPDATE, 0, number, struct.pack(">I", 1 << 27)), 0.0)
    while relay.up.output.pieces:
        relay.write()
    passed, ends = relay.passed_on()
    for number, body in script.bodies.items():
        end = script.ends.get(number)
        if end == f.CANCEL:
            assert body.startswith(passed.get(number, b""))
            assert number not in ends
        else:
            assert passed.get(number, b"") == body
            assert relay.sent[number] == len(body)
            assert ends.get(number) == {None: None, "data": f.DATA}.get(end, f.HEADERS)


@settings(max_examples=40, deadline=None)
@given(scripts, cuts)
def test_the_same_is_heard_as_of_the_whole_in_one_piece(script, cuts):
    whole, cut, memory = Relay(), Relay(), Memory()
    whole.connection.receive(script.octets, 0.0)
    position = turn = 0
    while position < len(script.octets):
        chunk = script.octets[position : position + cuts[turn % len(cuts)]]
        position += len(chunk)
        turn += 1
        cut.connection.receive(memory.read(chunk), 0.0)
        memory.spoil()
    assert (cut.bodies(), cut.ends) == (whole.bodies(), whole.ends) == (script.bodies, script.ends)
    assert sum(stream.held for stream in cut.connection.streams.values()) == 0
    assert cut.connection.flow.recv_window + cut.connection.flow.owed == WIDE.connection_window


@settings(max_examples=40, deadline=None)
@given(scripts, cuts)
def test_a_connection_that_keeps_nothing_keeps_no_memory(script, cuts):
    """…not of frames that are not all there, of header blocks, of calls that are over."""
    memory, relay = Memory(), Relay()
    relay.on_data = lambda stream, pieces, size, ended: None
    position = turn = 0
    while position < len(script.octets):
        chunk = script.octets[position : position + cuts[turn % len(cuts)]]
        position += len(chunk)
        turn += 1
        relay.connection.receive(memory.read(chunk), 0.0)
        del chunk
        assert memory.spoil() == 0
    assert len(memory) == 1
