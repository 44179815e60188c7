"""Peers that mean harm: each attack ends its connection, or is ignored, in bounded memory."""

import random
import struct
import tracemalloc

import pytest

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.compression import encode_fields
from tests.edge.native.http2.conftest import Memory

CALM = f.ENHANCE_YOUR_CALM


def ended_by(server, octets, most):
    """How often the peer may send this before the connection ends; the test fails when it never does."""
    for count in range(most):
        server.hears(octets(count) if callable(octets) else octets)
        if server.connection.closed:
            assert server.says()[-1][2] == CALM
            return count
    pytest.fail(f"{most} times and still open")


FLOODS = {
    "ping": lambda fr, c: fr(f.PING, 0, 0, bytes(8)),
    "ping acknowledgement": lambda fr, c: fr(f.PING, 1, 0, bytes(8)),
    "settings": lambda fr, c: fr(f.SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)),
    "settings acknowledgement": lambda fr, c: fr(f.SETTINGS, 1, 0),
    "priority": lambda fr, c: fr(f.PRIORITY, 0, 99, bytes(5)),
    "unknown": lambda fr, c: fr(0xCC, 0, 0, b"?"),
    "empty data": lambda fr, c: fr(f.DATA, 0, 1),
    "data that is all padding": lambda fr, c: fr(f.DATA, 8, 1, b"\x03" + bytes(3)),
    "window_update of the connection": lambda fr, c: fr(f.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
    "window_update of the stream": lambda fr, c: fr(f.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)),
    "goaway": lambda fr, c: fr(f.GOAWAY, 0, 0, bytes(8)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames_that_carry_nothing_ends_the_connection(server, frame, name):
    server.hears(server.headers(1))
    assert ended_by(server, FLOODS[name](frame, server), 3000) <= 2000


def test_the_same_frames_at_an_honest_rate_do_not(server, frame):
    for second in range(100):
        server.now = float(second)
        server.hears(*[frame(f.PING, 0, 0, bytes(8))] * 100)
        server.says()
    assert not server.connection.closed


def test_a_peer_that_measures_while_it_receives_is_honest(server, frame):
    """gRPC clients ping for every bandwidth estimate, as often as DATA comes back to them."""
    server.hears(server.headers(1), frame(f.WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
    server.hears(frame(f.WINDOW_UPDATE, 0, 1, struct.pack(">I", 2**30)))
    for _ in range(10_000):
        server.sends(server.streams[1], b"some data")
        server.hears(frame(f.PING, 0, 0, bytes(8)))
        server.raw()
    assert not server.connection.closed


def test_rapid_reset(server, frame):
    """CVE-2023-44487: open, reset, open, reset."""

    def once(count):
        number = 2 * count + 1
        return server.headers(number) + frame(f.RST_STREAM, 0, number, struct.pack(">I", f.CANCEL))

    assert ended_by(server, once, 2000) <= 1001


def test_made_you_reset(server, frame):
    """CVE-2025-8671: open a stream and have the server reset it, by a fault of one's own."""

    def once(count):
        number = 2 * count + 1
        return server.headers(number) + frame(f.WINDOW_UPDATE, 0, number, bytes(4))

    assert ended_by(server, once, 2000) <= 1001


@pytest.mark.parametrize("fields", [[(b"Upper", b"")], None])
def test_malformed_and_refused_requests_are_resets_too(converse, request_fields, fields):
    server = converse(concurrent_streams=1)
    server.hears(server.headers(1))
    assert ended_by(server, lambda n: server.headers(2 * n + 3, fields or request_fields), 2000) <= 1001


def test_cancelling_calls_among_others_that_finish_is_honest(server, frame):
    for number in range(1, 20_001, 4):
        server.hears(server.headers(number, end=True), server.headers(number + 2))
        server.sends(server.streams.pop(number), end=True)
        server.hears(frame(f.RST_STREAM, 0, number + 2, struct.pack(">I", f.CANCEL)))
        server.raw()
    assert not server.connection.closed


def test_the_client_role_does_not_blame_a_server_that_refuses(client, frame):
    for number in range(1, 5001, 2):
        client.opens()
        client.hears(frame(f.RST_STREAM, 0, number, struct.pack(">I", f.REFUSED_STREAM)))
    assert not client.connection.closed


def test_a_flood_of_empty_continuations(server, frame, request_fields):
    server.hears(frame(f.HEADERS, 0, 1, server.encoder.encode(request_fields)))
    assert ended_by(server, frame(f.CONTINUATION, 0, 1), 1000) <= 64


def test_a_header_block_without_end(server, frame):
    server.hears(frame(f.HEADERS, 0, 1, bytes(10_000)))
    assert ended_by(server, frame(f.CONTINUATION, 0, 1, bytes(10_000)), 1000) <= 13


def test_a_header_section_larger_than_announced_costs_its_stream_only(converse, request_fields):
    server = converse(header_list_size=2000)
    told = []
    server.on_request = lambda _stream, block, _ended: told.append(block.oversized)
    server.hears(server.headers(1), server.headers(3, (*request_fields, (b"x", b"v" * 2000))))
    assert told == [False, True], "the application refuses it in words"
    server.hears(server.headers(1, [(b"x", b"v" * 2000)], end=True))
    assert server.says() == [("RST_STREAM", 1, CALM)]
    assert not server.connection.closed


def test_acknowledgements_do_not_pile_up_for_a_peer_that_does_not_read(server, frame):
    server.connection.pause()
    ended_by(server, frame(f.PING, 0, 0, bytes(8)), 1500)
    assert len(server.connection.output.pieces) < 1100


def test_open_streams_that_nobody_ends_are_bounded(converse):
    server = converse(concurrent_streams=10)
    server.hears(*(server.headers(2 * number + 1) for number in range(100)))
    assert len(server.connection.streams) == 10


def test_memory_stays_bounded_when_octets_come_one_by_one_and_nothing_is_taken(converse, frame):
    """One octet per frame, queued for a peer that does not read: what the octets weigh, not 200 times it."""
    server = converse()
    server.consuming = False
    server.hears(server.headers(1))
    client = converse(server=False)
    stream = client.opens()
    client.connection.pause()

    def pass_on(_stream, pieces, _size, _ended):
        client.sends(stream, *pieces)

    server.on_data = pass_on
    chunk = frame(f.DATA, 0, 1, b"x") * 1000
    tracemalloc.start()
    server.hears(*[chunk] * 200)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 2 * 200_000 + 100_000


def test_a_settings_frame_full_of_windows_visits_the_streams_once(server, frame):
    server.hears(*(server.headers(2 * number + 1) for number in range(100)))
    server.hears(frame(f.SETTINGS, 0, 0, b"".join(struct.pack(">HI", 4, n) for n in range(2000))))
    assert {stream.send_window for stream in server.streams.values()} == {1999}


def test_a_control_frame_longer_than_useful_is_not_collected(converse, frame):
    server = converse(connection_window=65_535)
    server.hears(server.headers(1), *(server.data(1, bytes(16_384)) for _ in range(2)))
    server.says()
    server.hears(frame(f.GOAWAY, 0, 0, bytes(20_000))[:100])
    assert server.says()[-1][2] == CALM


def test_an_interim_response_flood_ends_the_connection(client):
    client.opens()
    informational = encode_fields(((b":status", b"103"),))
    octets = f.pack_head(len(informational) << 8 | f.HEADERS, 4, 1) + informational
    client.hears(*[octets] * 3000)
    assert client.connection.closed


@pytest.mark.parametrize("role", [True, False], ids=["server", "client"])
def test_garbage_never_raises_and_is_not_collected(converse, role):
    """Octets at random behind a good beginning, in memory that is used again: up to 20 MB, on 500 connections."""
    chance, memory = random.Random(1), Memory()
    tracemalloc.start()
    for _ in range(500):
        one = converse(server=role)
        opened = [one.headers(1)] if role else [one.opens() and one.headers(1, [(b":status", b"200")])]
        one.hears(*opened)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            head = f.pack_head(
                chance.choice((9, 70_000, 2**24 - 1)) << 8 | chance.randrange(11), chance.randrange(256), 1
            )
            one.hears(memory.read(head[: chance.randrange(10)] + chance.randbytes(chance.randrange(8000))))
        one.streams.clear()
        one.events.clear()
        assert sum(map(len, one.connection.output.pieces)) < 10_000
        assert tracemalloc.get_traced_memory()[0] - before < 300_000
    del one
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory.spoil() == 0
    assert grown < 1_000_000
