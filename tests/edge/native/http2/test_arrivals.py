"""DATA is told once for all that came together, and before whatever follows it."""

import struct

import pytest

from proxy.edge.native.http2 import frames as f
from tests.edge.native.http2.conftest import resets


def test_what_came_together_for_a_stream_is_told_at_once_and_before_what_follows(server, frame):
    server.hears(server.headers(1), server.headers(3))
    server.events.clear()
    server.hears(
        b"".join((
            server.data(1, b"a" * 600),
            server.data(3, b"A" * 600),
            server.data(1, b"b" * 600),
            frame(f.PING, 0, 0, bytes(8)),
            server.data(1, b"c" * 600),
            server.data(3, b"B" * 600, end=True),
            server.data(1, b"d" * 600),
        ))
    )  # fmt: skip
    assert [
        (kind, number, bytes(dict.fromkeys(payload)), ended) for kind, number, payload, ended in server.events
    ] == [
        ("data", 1, b"ab", False),
        ("data", 3, b"A", False),
        ("data", 3, b"B", True),
        ("data", 1, b"cd", False),
    ]


def test_data_is_told_before_the_trailers_or_the_reset_that_end_it(server, frame):
    trailers = server.encoder.encode(((b"grpc-status", b"0"),))
    reset = frame(f.RST_STREAM, 0, 3, struct.pack(">I", f.CANCEL))
    server.hears(server.headers(1), server.headers(3))
    server.hears(server.data(1, b"x") + frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, trailers))
    server.hears(server.data(3, b"y") + reset)
    assert [event[:2] for event in server.events[2:]] == [
        ("data", 1), ("trailers", 1), ("data", 3), ("reset", 3),
    ]  # fmt: skip


def test_many_short_frames_come_as_one_piece(server):
    pieces = []
    server.on_data = lambda _stream, told, _size, _ended: pieces.append(told)
    server.hears(server.headers(1))
    server.hears(b"".join(server.data(1, b"%d" % (number % 10)) for number in range(100)))
    assert pieces == [[b"0123456789" * 10]]


@pytest.mark.parametrize("together", [False, True])
def test_data_is_told_before_the_fault_that_follows_it_however_cut(server, request_fields, together):
    promised = (*request_fields, (b"content-length", b"9"))
    server.hears(server.headers(1), server.headers(3, promised), server.headers(5))
    server.events.clear()
    octets = [
        server.data(1, b"some"),
        server.data(1, bytes(16_384 + 1)),
        server.data(3, b"promised"),
        server.data(3, b"!?", end=True),
        server.data(5, b"last"),
        server.data(7, b"never opened"),
    ]
    server.hears(*([b"".join(octets)] if together else octets))
    assert server.events == [
        ("data", 1, b"some", False),
        ("reset", 1, f.FRAME_SIZE_ERROR, False),
        ("data", 3, b"promised", False),
        ("reset", 3, f.PROTOCOL_ERROR, False),
        ("data", 5, b"last", False),
        ("reset", 5, f.CONNECTION_LOST, False),
        ("fault", f.PROTOCOL_ERROR),
    ]


def test_a_stream_that_its_sink_resets_is_not_reset_again_for_the_fault_behind(server):
    server.hears(server.headers(1))
    server.raw()
    server.on_data = lambda stream, *_: server.connection.reset(stream, f.CANCEL)
    server.hears(server.data(1, b"some") + server.data(1, bytes(16_384 + 1)))
    assert resets(server, 1, f.CANCEL)
    assert [event[0] for event in server.events] == ["request"]
