"""Who is there, and what is known of those who are not."""

from collections import deque

import pytest

from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.http2.table import StreamTable


@pytest.fixture
def table():
    return StreamTable(Limits(remembered_resets=3), server=True)


def test_a_client_s_stream_is_idle_until_one_as_high_was_opened(table):
    table.highest_peer_stream = 5
    assert [number for number in range(1, 10) if not table.is_idle(number)] == [1, 3, 5]


def test_a_stream_of_ours_is_idle_until_its_number_was_given():
    table = StreamTable(Limits(), server=False)
    table.next_stream = 5
    assert [number for number in range(1, 10) if not table.is_idle(number)] == [1, 3]


def test_a_stream_that_is_over_is_forgotten_with_what_it_had(table):
    stream = Stream(1, 10, 10)
    stream.queue, stream.arrived = deque([b"queued"]), [b"arrived"]
    table.open[1] = table.waiting[1] = stream
    table.forget(stream)
    assert (table.open, table.waiting) == ({}, {})
    assert (stream.queue, stream.arrived) == (None, None)
    assert repr(stream) == "<Stream 1 closed>"


def test_so_many_resets_of_a_client_s_streams_are_remembered_and_whose_they_were(table):
    for number in (1, 3, 5, 7):
        table.remember_reset(number, ours=number != 5)
    assert [table.reset_by_us(number) for number in (1, 3, 5, 7, 9)] == [None, True, False, True, None]


def test_of_a_server_s_streams_none_is_remembered():
    table = StreamTable(Limits(), server=False)
    table.remember_reset(1, ours=True)
    assert table.reset_by_us(1) is None
