"""The end of a connection in good order: asked for, then held to."""

import struct

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.go_away import GoAway
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.table import StreamTable


def parts():
    output, table = Output(None, []), StreamTable(Limits(), server=True)
    return output, table, GoAway(output, table)


def test_a_first_goaway_names_no_limit_and_the_second_the_last_stream_taken():
    output, table, go_away = parts()
    go_away.drain()
    assert output.take() == [f.goaway(f.LARGEST_STREAM_ID, f.NO_ERROR), f.ping(f.DRAIN_PING)]
    assert not go_away.draining
    table.highest_peer_stream = 7
    go_away.stop_accepting()
    assert output.take() == [f.goaway(7, f.NO_ERROR)]
    assert go_away.draining
    table.highest_peer_stream = 9
    go_away.stop_accepting()
    go_away.drain()
    assert output.take() == []
    assert go_away.last_accepted == 7


def test_nothing_is_said_on_a_connection_that_is_closed():
    output, _, go_away = parts()
    output.close()
    go_away.drain()
    go_away.stop_accepting()
    assert output.take() == []


def test_a_connection_drains_by_the_peer_s_wish_too(client, frame):
    client.hears(frame(f.GOAWAY, 0, 0, struct.pack(">II", 0, f.NO_ERROR)))
    assert client.connection.draining
    assert not client.connection.can_open()
