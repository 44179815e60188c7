"""Frames on streams that are over: of a server's for ever without consequence, of a client's as it ended them."""

import struct

import pytest

from proxy.edge.native.http2 import frames as f
from tests.edge.native.http2.conftest import ends_with, resets


def window_update(frame, stream_id, increment):
    return frame(f.WINDOW_UPDATE, 0, stream_id, struct.pack(">I", increment))


@pytest.mark.parametrize("ended", ["by us", "by both", "by the server"])
def test_frames_on_a_server_s_streams_that_are_over_are_ignored_for_ever(converse, frame, ended):
    client = converse(server=False, stream_window=1 << 17, share_connection_window=False)
    ids = []
    for _ in range(3000):
        stream = client.opens(end=True)
        ids.append(stream.id)
        if ended == "by us":
            client.connection.closing.abandon(stream, f.CANCEL)
        elif ended == "by both":
            client.hears(client.headers(stream.id, [(b":status", b"200")], end=True))
        else:
            client.hears(frame(f.RST_STREAM, 0, stream.id, bytes(4)))
    client.raw()
    client.events.clear()
    given_back = 0
    for number in ids:
        client.hears(
            client.headers(number, [(b":status", b"200")]),
            client.data(number, bytes(4000)),
            frame(f.WINDOW_UPDATE, 0, number, struct.pack(">I", 5)),
            frame(f.WINDOW_UPDATE, 0, number, bytes(4)),
            frame(f.PRIORITY, 0, number, struct.pack(">IB", number, 1)),
            frame(f.RST_STREAM, 0, number, bytes(4)),
            client.headers(number, [(b"grpc-status", b"0")], end=True),
        )
        given_back += sum(one[2] for one in client.says() if one[:2] == ("WINDOW_UPDATE", 0))
    assert not client.connection.closed
    assert client.events == []
    assert given_back > 3000 * 4000 - (8 << 20)
    stream = client.opens(end=True)
    client.hears(client.headers(stream.id, [(b":status", b"200")], end=True))
    assert client.events == [("head", stream.id, 200, True)]


def test_a_fault_of_compression_on_such_a_stream_still_ends_the_connection(client, frame):
    stream = client.opens(end=True)
    client.connection.reset(stream, f.CANCEL)
    client.hears(frame(f.HEADERS, 5, stream.id, b"\x80"))
    assert client.says()[-1][2] == f.COMPRESSION_ERROR


def test_a_fault_of_framing_on_such_a_stream_still_ends_the_connection(client, frame):
    stream = client.opens(end=True)
    client.connection.reset(stream, f.CANCEL)
    client.hears(frame(f.RST_STREAM, 0, stream.id, bytes(3)))
    assert client.says()[-1][2] == f.FRAME_SIZE_ERROR


def test_frames_on_their_way_to_a_stream_that_we_reset_are_ignored(server, frame):
    server.hears(server.headers(1), window_update(frame, 1, 0))
    server.says()
    server.hears(
        server.data(1, b"late"), server.headers(1, [(b"a", b"b")], end=True), window_update(frame, 1, 5)
    )
    assert server.says() == []
    assert not server.connection.closed


def test_frames_on_a_stream_that_the_peer_reset_are_a_stream_error(server, frame):
    server.hears(server.headers(1), frame(f.RST_STREAM, 0, 1, struct.pack(">I", f.CANCEL)))
    server.hears(server.data(1, b"late"))
    assert resets(server, 1, f.STREAM_CLOSED)


def test_data_for_nobody_still_moves_the_connection_window(converse, frame):
    server = converse(connection_window=65_535)
    server.hears(server.headers(1), frame(f.RST_STREAM, 0, 1, struct.pack(">I", f.CANCEL)))
    server.hears(*(server.data(1, bytes(16_384)) for _ in range(2)))
    assert ("WINDOW_UPDATE", 0, 32_768) in server.says()


def test_a_stream_number_must_grow(server):
    server.hears(server.headers(5, end=True))
    server.hears(server.headers(3, end=True))
    assert ends_with(server, f.STREAM_CLOSED)
