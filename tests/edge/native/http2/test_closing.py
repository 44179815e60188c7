"""How streams end: by themselves, or by resets that wait for their turn while what still comes is drained."""

import struct

import pytest

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.pacing import AGE, SHARE, WORN
from proxy.edge.native.http2.table import StreamTable


class Parts:
    """What ends streams, with one stream that is open, and nobody who sends or receives."""

    def __init__(self, *, server):
        limits = Limits()
        self.output = Output(None, [])
        self.flow = FlowControl(limits, self.output)
        self.budgets = Budgets(limits, server=server)
        self.table = StreamTable(limits, server=server)
        self.closing = Closing(None, limits, self.output, self.flow, self.budgets, self.table, server=server)
        self.stream = self.table.open[1] = self.flow.begin(1)


@pytest.mark.parametrize("server", [True, False])
@pytest.mark.parametrize("first", ["end_local", "end_remote"])
def test_a_stream_is_over_with_both_its_halves_or_with_the_answer(server, first):
    parts = Parts(server=server)
    getattr(parts.closing, first)(parts.stream)
    answered = server == (first == "end_local")
    assert parts.output.take() == ([f.rst_stream(1, f.NO_ERROR)] if answered else [])
    if not answered:
        assert parts.table.open
        getattr(parts.closing, "end_remote" if first == "end_local" else "end_local")(parts.stream)
        assert parts.output.take() == []
    assert parts.table.open == {}
    assert parts.budgets.completed == 1


def test_a_reset_gives_back_what_is_held_and_is_said_once():
    parts = Parts(server=True)
    parts.flow.arrive(1000)
    parts.flow.hold(parts.stream, 1000)
    for _ in range(2):
        parts.closing.reset(parts.stream, f.CANCEL, 0)
    assert parts.output.take() == [f.rst_stream(1, f.CANCEL)]
    assert parts.flow.owed == 1000
    assert parts.table.reset_by_us(1)
    assert parts.budgets.completed == 0


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
