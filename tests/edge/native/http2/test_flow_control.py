"""The windows both ways: no octet is lost, none is counted twice, and no window is exceeded."""

import struct

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output


class Ledger(RuleBasedStateMachine):
    """A peer that sends what it may, as far as it was told, and an application that takes its time."""

    def __init__(self):
        super().__init__()
        self.streams = {}
        # What the peer may send as far as it knows: of the connection (0), and of each stream.
        self.told = {}
        self.largest = f.DEFAULT_FRAME_SIZE

    @initialize(shared=st.booleans(), stream=st.sampled_from([65_535, 200_000]), factor=st.integers(1, 4))
    def start(self, shared, stream, factor):
        self.limits = Limits(
            stream_window=stream, connection_window=stream * factor, share_connection_window=shared
        )
        self.output = Output(None, [])
        self.flow = FlowControl(self.limits, self.output)
        self.told[0] = self.limits.connection_window

    def hear(self):
        """Let the peer read what was said."""
        for frame in self.output.take():
            word, _, number = f.unpack_head(frame, 0)
            if word & 0xFF == f.WINDOW_UPDATE:
                (increment,) = struct.unpack(">I", frame[9:])
                assert increment > 0
                if number in self.told:
                    self.told[number] += increment
            else:
                assert dict(f.unpack_settings(frame[9:])) == {f.MAX_FRAME_SIZE: self.limits.frame_size}
                self.largest = self.limits.frame_size

    def some(self, data):
        return self.streams[data.draw(st.sampled_from(sorted(self.streams)))]

    @rule()
    def open(self):
        number = 2 * len(self.told) + 1
        self.streams[number] = self.flow.begin(number)
        self.told[number] = self.limits.stream_window

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def arrive(self, data):
        stream = self.some(data)
        for _ in range(data.draw(st.integers(1, 12))):
            most = min(self.told[0], self.told[stream.id], self.largest)
            if not most or stream.remote_ended:
                return
            length = data.draw(st.one_of(st.just(most), st.integers(1, most)))
            self.told[0] -= length
            self.told[stream.id] -= length
            assert self.flow.recv_window >= length
            assert stream.recv_window >= length
            self.flow.arrive(length)
            self.flow.hold(stream, length)

    @precondition(lambda self: self.told.get(0))
    @rule(data=st.data())
    def arrive_for_nobody(self, data):
        length = data.draw(st.integers(1, min(self.told[0], self.largest)))
        self.told[0] -= length
        self.flow.arrive(length)
        self.flow.give_back(length)

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), count=st.one_of(st.just(1 << 30), st.integers(0, 40_000)))
    def consume(self, data, count):
        """…also more than is held, which counts for as much as is."""
        self.flow.consume(self.some(data), count)

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), count=st.one_of(st.just(1 << 30), st.integers(0, 40_000)))
    def lend(self, data, count):
        self.flow.lend(self.some(data), count)

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def end(self, data):
        """The peer has said all; what it sent may still be held."""
        self.some(data).remote_ended = True

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def release(self, data):
        stream = self.some(data)
        self.flow.release(stream)
        del self.streams[stream.id], self.told[stream.id]
        self.told[-stream.id] = 0

    @invariant()
    def the_peer_knows_what_it_may_send(self):
        if self.told:
            self.hear()
            assert self.flow.recv_window == self.told[0]
            for stream in self.streams.values():
                assert stream.recv_window == self.told[stream.id]

    @invariant()
    def every_octet_is_in_one_place(self):
        if not self.told:
            return
        held = sum(stream.held - stream.lent for stream in self.streams.values()) if self.flow.shared else 0
        assert self.flow.recv_window + self.flow.owed + held == self.limits.connection_window
        for stream in self.streams.values():
            assert 0 <= stream.lent <= stream.held
            there = stream.recv_window + stream.held + stream.owed
            assert there <= self.limits.stream_window
            assert stream.remote_ended or there == self.limits.stream_window

    @invariant()
    def what_is_owed_is_less_than_half(self):
        if self.told:
            assert self.flow.owed * 2 < self.limits.connection_window
            assert all(stream.owed * 2 < self.limits.stream_window for stream in self.streams.values())

    def teardown(self):
        if not self.told:
            return
        for number, stream in self.streams.items():
            if number % 4 == 1:
                self.flow.consume(stream, stream.held)
            else:
                self.flow.release(stream)
            assert (stream.held, stream.lent) == (0, 0)
        assert self.flow.recv_window + self.flow.owed == self.limits.connection_window


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# What we may send.


@pytest.fixture
def flow():
    return FlowControl(Limits(), Output(None, []))


def test_a_window_of_the_connection_has_a_largest_size(flow):
    flow.widen(f.LARGEST_WINDOW - f.DEFAULT_WINDOW)
    assert flow.send_window == f.LARGEST_WINDOW
    with pytest.raises(PeerFault) as raised:
        flow.widen(1)
    assert raised.value.code == f.FLOW_CONTROL_ERROR


def test_a_stream_s_window_has_one_too_and_stays_as_it_was(flow):
    stream = flow.begin(1)
    assert flow.widen_stream(stream, f.LARGEST_WINDOW - f.DEFAULT_WINDOW)
    assert not flow.widen_stream(stream, 1)
    assert stream.send_window == f.LARGEST_WINDOW


def test_another_initial_window_moves_open_streams_and_those_to_come(flow):
    stream = flow.begin(1)
    stream.send_window -= 60_000
    assert flow.change_initial_window(100, [stream])
    assert stream.send_window == 100 - 60_000
    assert flow.begin(3).send_window == 100
    assert not flow.change_initial_window(100, [stream])


def test_nothing_is_announced_on_a_connection_that_is_closed(flow):
    stream = flow.begin(1)
    flow.arrive(1 << 20)
    flow.hold(stream, 1 << 20)
    flow._output.close()
    flow.consume(stream, 1 << 20)
    flow.give_back(8 << 20)
    assert flow._output.take() == []


# On a connection.


def test_windows_open_again_only_when_the_application_has_consumed(converse):
    server = converse(stream_window=65_535, connection_window=65_535)
    server.consuming = False
    server.hears(server.headers(1), *(server.data(1, bytes(16_000)) for _ in range(4)))
    assert server.says() == []
    stream = server.streams[1]
    server.connection.consume(stream, 30_000)
    assert server.says() == []
    server.connection.consume(stream, 10_000)
    assert server.says()[:2] == [("WINDOW_UPDATE", 0, 40_000), ("SETTINGS", {f.MAX_FRAME_SIZE: 1 << 18})]
    assert stream.recv_window == 65_535 - 64_000 + 40_000


def test_more_than_the_stream_s_window_is_a_flow_control_error(converse):
    server = converse(stream_window=65_535)
    server.consuming = False
    server.hears(server.headers(1), *(server.data(1, bytes(16_384)) for _ in range(4)))
    assert server.says() == [("RST_STREAM", 1, f.FLOW_CONTROL_ERROR)]


def test_more_than_the_connection_s_window_ends_the_connection(converse):
    server = converse(connection_window=65_535)
    server.consuming = False
    server.hears(server.headers(1), *(server.data(1, bytes(16_384)) for _ in range(4)))
    assert server.says()[-1] == ("GOAWAY", 1, f.FLOW_CONTROL_ERROR)


def test_streams_that_nobody_takes_from_leave_the_others_alone(converse):
    """…where the connection's window is not shared; their own windows still hold."""
    server = converse(stream_window=65_535, connection_window=65_535, share_connection_window=False)
    server.consuming = False
    for number in (1, 3, 5):
        server.hears(server.headers(number), *(server.data(number, bytes(16_000)) for _ in range(4)))
    said = server.says()
    assert sum(one[2] for one in said if one[:2] == ("WINDOW_UPDATE", 0)) >= 3 * 64_000 - 32_768
    assert not [one for one in said if one[0] == "WINDOW_UPDATE" and one[1]]
    server.hears(server.data(1, bytes(1536)))
    assert server.says()[-1] == ("RST_STREAM", 1, f.FLOW_CONTROL_ERROR)


def test_a_reset_gives_back_what_the_application_still_held(converse):
    server = converse(connection_window=65_535)
    server.consuming = False
    server.hears(server.headers(1), *(server.data(1, bytes(16_000)) for _ in range(3)))
    server.connection.reset(server.streams[1], f.CANCEL)
    assert ("WINDOW_UPDATE", 0, 48_000) in server.says()
    server.connection.consume(server.streams[1], 48_000)
    assert server.connection.flow.recv_window == 65_535, "consumed twice"


def test_larger_frames_are_accepted_once_they_were_announced(converse):
    server = converse(stream_window=1 << 20, connection_window=65_535)
    server.hears(server.headers(1), *(server.data(1, bytes(16_384)) for _ in range(2)))
    assert ("SETTINGS", {f.MAX_FRAME_SIZE: 1 << 18}) in server.says()
    server.hears(server.data(1, bytes(60_000)))
    assert len(server.events[-1][2]) == 60_000
