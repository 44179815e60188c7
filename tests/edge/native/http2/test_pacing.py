"""Resets of a server's streams: at a pace that no server takes for an attack, each client in its turn."""

import struct

import pytest

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.pacing import AGE, MOST, SHARE, WORN, Pacing

OTHERS = 1000


def spent(pacing, owners, now, completed=0):
    return sum(pacing.may_go(owner, now, completed) for owner in owners)


def test_a_few_go_at_once():
    pacing = Pacing()
    assert spent(pacing, range(30), 0.0) == 20


def test_one_client_has_a_share_of_what_goes_at_once():
    pacing = Pacing()
    assert spent(pacing, [1] * 100, 0.0) == SHARE
    assert pacing.may_go(2, 0.0, 0)
    assert spent(pacing, [1] * 100, 1.0) == SHARE


def test_what_waits_goes_in_turns_of_the_clients_the_oldest_first():
    pacing = Pacing()
    spent(pacing, range(20), 0.0)
    for stream in range(1, 2001, 2):
        pacing.wait(stream, f.CANCEL, 1, 0.0)
    pacing.wait(OTHERS + 1001, f.CANCEL, 2, 0.1)
    assert list(pacing.due(0.5, 0)) == [], "too young, and nothing was earned"
    assert list(pacing.due(1.2, 0)) == [(1, f.CANCEL), (OTHERS + 1001, f.CANCEL), (3, f.CANCEL)]
    assert len(pacing) == 998


def test_a_client_whose_resets_wait_does_not_overtake_itself():
    pacing = Pacing()
    pacing.wait(1, f.CANCEL, 1, 0.0)
    assert not pacing.may_go(1, 0.0, 0)
    assert pacing.may_go(2, 0.0, 0)


def test_calls_that_end_well_earn_resets_and_too_many_earn_no_more_than_a_server_allows():
    pacing = Pacing()
    spent(pacing, range(20), 0.0)
    assert spent(pacing, range(100, 200), 1.0, completed=4) == 2
    assert spent(pacing, range(200, 300), 2.0, completed=10_000) == 3


@pytest.mark.parametrize("completed", [0, 1_000_000])
def test_no_known_server_takes_the_pace_for_an_attack(completed):
    """Netty has the lowest limit: 200 in 30 s."""
    pacing = Pacing()
    sent = []
    stream = 1
    for second in range(300):
        for owner in range(100):
            if pacing.may_go(owner, float(second), completed * second):
                sent.append(second)
            elif len(pacing) < WORN:
                pacing.wait(stream, f.CANCEL, owner, float(second))
                stream += 2
        sent += [second for _ in pacing.due(float(second), completed * second)]
    assert len(sent) > 800
    assert max(sum(start <= each < start + 30 for each in sent) for start in range(270)) <= 200


def test_no_more_than_so_many_wait():
    pacing = Pacing()
    for stream in range(MOST):
        pacing.wait(2 * stream + 1, f.CANCEL, 1, 0.0)
    assert pacing.may_go(1, 0.0, 0)


# On a connection.


def cancels(client, count, **options):
    streams = [client.opens(end=True) for _ in range(count)]
    client.raw()
    for stream in streams:
        client.connection.reset(stream, f.CANCEL, 7)
    return streams


def reset_ids(client):
    return [one[1] for one in client.says() if one[0] == "RST_STREAM"]


def test_a_stream_whose_reset_waits_is_drained_and_holds_nothing_of_the_call(client):
    streams = cancels(client, SHARE + 2)
    assert reset_ids(client) == [1, 3, 5, 7, 9]
    late = streams[-1]
    assert late.sink is not client
    client.hears(client.headers(late.id, [(b":status", b"200")]), client.data(late.id, bytes(16_000)))
    assert client.events == []
    assert late.held == 0
    client.connection.reset_due(client.now + AGE)
    assert reset_ids(client) == [11, 13]
    assert client.connection.streams == {}


def test_a_server_of_our_own_needs_no_pace(converse):
    client = converse(server=False, pace_resets=False)
    cancels(client, 100)
    assert len(reset_ids(client)) == 100


def test_a_stream_that_ends_by_itself_needs_no_reset(client):
    late = cancels(client, SHARE + 1)[-1]
    client.says()
    client.hears(
        client.headers(late.id, [(b":status", b"200")]), client.headers(late.id, [(b"a", b"b")], end=True)
    )
    assert client.events == [("drained",)]
    client.connection.reset_due(client.now + AGE)
    assert reset_ids(client) == []
    assert len(client.connection.closing.pacing) == 0


def test_a_half_open_one_is_reset_though_the_server_has_answered(client):
    cancels(client, SHARE)
    half = client.opens()
    client.connection.reset(half, f.CANCEL, 7)
    client.says()
    client.hears(client.headers(half.id, [(b":status", b"200")], end=True))
    client.connection.reset_due(client.now + AGE)
    assert reset_ids(client) == [half.id]
    assert client.connection.streams == {}
    assert len(client.connection.closing.pacing) == 0


def test_a_drained_stream_that_the_server_resets_or_breaks_is_over(client, frame):
    streams = cancels(client, SHARE + 2)
    client.says()
    client.hears(frame(f.RST_STREAM, 0, streams[-1].id, struct.pack(">I", f.CANCEL)))
    client.hears(client.data(streams[-2].id, b"before a head"))
    client.connection.reset_due(client.now + AGE)
    assert reset_ids(client) == [streams[-2].id]
    assert client.connection.streams == {}
    assert not client.connection.closed


def test_a_large_answer_that_nobody_wants_runs_dry(converse):
    """Windows stay open on a drained stream: else it, and the server's work, would never end."""
    client = converse(server=False, stream_window=65_535, share_connection_window=False)
    late = cancels(client, SHARE + 1)[-1]
    client.hears(client.headers(late.id, [(b":status", b"200")]))
    for _ in range(100):
        client.hears(client.data(late.id, bytes(16_384)))
    client.hears(client.headers(late.id, [(b"a", b"b")], end=True))
    assert client.events == [("drained",)]
    assert "RST_STREAM" not in [one[0] for one in client.says() if one[1] == late.id]


def test_a_connection_with_too_many_waiting_resets_is_worn(client):
    assert not client.connection.worn
    cancels(client, SHARE + WORN)
    assert client.connection.worn
    assert client.connection.idle


# Frames on streams that are over.


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
