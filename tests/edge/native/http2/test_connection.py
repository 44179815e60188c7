"""The life of a connection: opening, draining, ending."""

import struct

from proxy.edge.native.http2 import frames as f


def test_a_client_opens_odd_streams_up_to_the_peer_s_limit(client, frame):
    client.hears(frame(f.SETTINGS, 0, 0, struct.pack(">HI", f.MAX_CONCURRENT_STREAMS, 2)))
    assert [client.opens().id, client.opens(end=True).id] == [1, 3]
    assert not client.connection.can_open()
    client.hears(client.headers(3, [(b":status", b"200")], end=True))
    assert client.connection.can_open()


def test_stream_numbers_run_out(client):
    client.connection.table.next_stream = 2**31 - 1
    client.opens()
    assert not client.connection.can_open()


def test_a_response_in_full_ends_a_request_in_part(client):
    stream = client.opens()
    client.sends(stream, bytes(70_000))
    client.raw()
    client.hears(client.headers(1, [(b":status", b"200")], end=True))
    assert client.says() == [("RST_STREAM", 1, f.NO_ERROR)]
    assert client.events == [("head", 1, 200, True)]
    assert stream.queue is None


def test_draining_lets_streams_on_their_way_in_and_then_no_more(server, frame):
    server.hears(server.headers(1))
    server.connection.drain()
    assert server.says() == [("GOAWAY", 2**31 - 1, f.NO_ERROR), ("PING", "", b"draining")]
    server.hears(server.headers(3), frame(f.PING, 1, 0, b"draining"))
    assert server.says() == [("GOAWAY", 3, f.NO_ERROR)]
    assert server.connection.draining
    server.hears(server.headers(5))
    assert server.says() == [("RST_STREAM", 5, f.REFUSED_STREAM)]
    server.connection.drain()
    assert server.says() == []


def test_a_ping_of_ours_comes_back_to_the_application(client, frame):
    client.connection.send_ping(b"are you?")
    assert client.says() == [("PING", "", b"are you?")]
    client.hears(frame(f.PING, 1, 0, b"are you?"))
    assert client.events == [("pong", b"are you?")]


def test_a_lost_connection_is_told_to_every_stream(server):
    server.hears(server.headers(1), server.headers(3))
    server.connection.lost("gone")
    assert server.events[2:] == [("reset", n, f.CONNECTION_LOST, False) for n in (1, 3)]
    assert repr(server.connection) == "<Connection server closed, 0 streams>"
    server.connection.reset(server.streams[1], f.CANCEL)
    assert server.says() == []


def test_a_fault_is_told_to_every_stream_before_the_application_closes(server, frame):
    server.hears(server.headers(1), frame(f.PING, 0, 1, bytes(8)))
    assert server.events[1:] == [("reset", 1, f.CONNECTION_LOST, False), ("fault", f.PROTOCOL_ERROR)]
