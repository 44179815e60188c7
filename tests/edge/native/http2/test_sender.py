"""What we send, how far the peer's windows let it go, and how much waits meanwhile."""

import struct

import pytest

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.budgets import Budgets
from proxy.edge.native.http2.closing import Closing
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.sender import Sender
from proxy.edge.native.http2.table import StreamTable

HEAD = encode_fields(((b":status", b"200"),))
TRAILERS = encode_fields(((b"grpc-status", b"0"),))


def settings(frame, **values):
    names = {"window": f.INITIAL_WINDOW_SIZE, "frame_size": f.MAX_FRAME_SIZE, "table": f.HEADER_TABLE_SIZE}
    return frame(f.SETTINGS, 0, 0, b"".join(struct.pack(">HI", names[name], v) for name, v in values.items()))


def widen(frame, stream_id, size):
    return frame(f.WINDOW_UPDATE, 0, stream_id, struct.pack(">I", size))


def data_sizes(said):
    return [len(one[2]) for one in said if one[0] == "DATA"]


@pytest.fixture
def stream(server):
    server.hears(server.headers(1))
    return server.streams[1]


def test_an_answer_is_a_head_data_and_trailers(server):
    server.hears(server.headers(1, end=True))
    stream = server.streams[1]
    connection = server.connection
    connection.send_head(stream, HEAD)
    assert server.sends(stream, memoryview(b"message")) == 7
    connection.send_trailers(stream, TRAILERS)
    assert server.says() == [
        ("HEADERS", 1, ((b":status", b"200"),), False),
        ("DATA", 1, b"message", False),
        ("HEADERS", 1, ((b"grpc-status", b"0"),), True),
    ]
    assert connection.streams == {}


def test_an_answer_before_the_end_of_the_request_releases_the_client(server, stream):
    server.consuming = False
    server.hears(server.data(1, bytes(1000)))
    server.connection.send_head(stream, HEAD, end=True)
    assert server.says()[-1] == ("RST_STREAM", 1, f.NO_ERROR)
    assert server.connection.streams == {}
    assert stream.held == 0
    server.hears(server.data(1, bytes(1000)))
    assert server.says() == []


def test_payloads_are_handed_on_as_they_are(server, stream):
    payload = memoryview(bytes(10_000))
    server.sends(stream, payload)
    assert server.connection.output.pieces[-1] is payload


def test_a_long_piece_goes_in_frames_of_the_peer_s_size(server, stream, frame):
    server.sends(stream, bytes(40_000))
    assert data_sizes(server.says()) == [16_384, 16_384, 7232]
    server.hears(settings(frame, frame_size=20_000))
    server.sends(stream, bytes(20_001))
    assert data_sizes(server.says()) == [20_000, 1]


def test_data_stops_at_the_stream_s_window_and_goes_on_with_it(server, stream, frame):
    server.hears(widen(frame, 0, 1 << 20))
    assert server.sends(stream, bytes(70_000), end=True) == 65_535
    assert sum(data_sizes(server.says())) == 65_535
    server.hears(widen(frame, 1, 4000))
    assert data_sizes(server.says()) == [4000]
    assert server.events[-1] == ("sent", 1, 4000)
    server.hears(widen(frame, 1, 4000))
    assert server.says() == [("DATA", 1, bytes(465), True), ("RST_STREAM", 1, f.NO_ERROR)]


def test_data_stops_at_the_connection_s_window_and_streams_take_turns(server, frame):
    server.hears(*(server.headers(number) for number in (1, 3)), settings(frame, window=1 << 20))
    for number in (1, 3):
        server.sends(server.streams[number], bytes(200_000))
    assert sum(data_sizes(server.says())) == 65_535
    server.hears(widen(frame, 0, 300_000))
    order = [one[1] for one in server.says() if one[0] == "DATA"]
    assert order.index(3) < len(order) - 1 - order[::-1].index(1), "streams do not take turns"


def test_a_smaller_initial_window_takes_open_streams_below_zero(server, stream, frame):
    server.sends(stream, bytes(65_000))
    server.says()
    server.hears(settings(frame, window=100))
    assert stream.send_window == 100 - 65_000
    assert server.sends(stream, b"x") == 0
    server.hears(widen(frame, 1, 64_900))
    assert data_sizes(server.says()) == []
    server.hears(widen(frame, 1, 1))
    assert data_sizes(server.says()) == [1]


def test_a_larger_initial_window_lets_waiting_data_go(server, stream, frame):
    server.hears(settings(frame, window=0))
    assert server.sends(stream, b"waits") == 0
    server.says()
    server.hears(settings(frame, window=5))
    assert server.says() == [("SETTINGS", "ack"), ("DATA", 1, b"waits", False)]


def test_an_initial_window_that_overflows_a_stream_is_a_flow_control_error(server, stream, frame):
    server.hears(widen(frame, 1, 2**31 - 1 - 65_535), settings(frame, window=65_536))
    assert server.says()[-1] == ("GOAWAY", 1, f.FLOW_CONTROL_ERROR)


def test_trailers_wait_behind_data_that_waits(server, stream, frame):
    server.hears(settings(frame, window=3))
    server.connection.send_head(stream, HEAD)
    server.sends(stream, b"abcdef")
    server.connection.send_trailers(stream, TRAILERS)
    assert server.says()[-1] == ("DATA", 1, b"abc", False)
    server.hears(widen(frame, 1, 10))
    assert server.says()[:2] == [("DATA", 1, b"def", False), ("HEADERS", 1, ((b"grpc-status", b"0"),), True)]


def test_an_empty_end_needs_no_window(server, stream, frame):
    server.hears(settings(frame, window=0))
    server.sends(stream, end=True)
    assert ("DATA", 1, b"", True) in server.says()


def test_a_full_transport_holds_data_back_but_not_control_frames(server, stream, frame):
    server.connection.pause()
    assert server.sends(stream, b"later") == 0
    server.hears(frame(f.PING, 0, 0, b"12345678"))
    assert server.says() == [("PING", "ack", b"12345678")]
    server.connection.resume()
    assert server.says() == [("DATA", 1, b"later", False)]


def test_the_transport_gets_a_bounded_amount_at_once(server, stream, frame):
    server.hears(settings(frame, window=2**31 - 1), widen(frame, 0, 2**31 - 1 - 65_535))
    server.sends(stream, bytes(4_000_000))
    assert sum(map(len, server.connection.take())) < 1_100_000
    server.connection.pump()
    assert 1_000_000 < sum(map(len, server.connection.take())) < 1_100_000


def test_nothing_is_sent_on_a_stream_that_has_ended(server, stream, frame):
    server.hears(frame(f.RST_STREAM, 0, 1, struct.pack(">I", f.CANCEL)))
    server.connection.send_head(stream, HEAD)
    assert server.sends(stream, b"gone") == 4
    server.connection.send_trailers(stream, TRAILERS)
    server.connection.reset(stream, f.CANCEL)
    assert server.says() == []


def test_a_long_block_goes_on_in_continuations(server, stream):
    fields = ((b":status", b"200"), *((b"x-%d" % number, bytes([97 + number]) * 9000) for number in range(5)))
    server.connection.send_head(stream, encode_fields(fields))
    octets = server.raw()
    kinds, block = [], b""
    while octets:
        word, flags, _ = f.unpack_head(octets, 0)
        kinds.append((word & 0xFF, flags))
        block += octets[9 : 9 + (word >> 8)]
        octets = octets[9 + (word >> 8) :]
    assert kinds == [(f.HEADERS, 0), (f.CONTINUATION, 0), (f.CONTINUATION, 4)]
    assert tuple((bytes(k), bytes(v)) for k, v in server.decoder.decode(block, raw=True)) == fields


def test_a_peer_without_a_header_table_is_told_that_none_is_used(server, stream, frame):
    server.hears(settings(frame, table=0))
    server.says()
    server.decoder.max_allowed_table_size = 0
    server.connection.send_head(stream, HEAD)
    assert server.raw()[9:10] == b"\x20"


# By itself, without anyone who receives.


def test_a_sender_needs_windows_an_output_and_streams_and_nothing_of_what_is_received():
    told = []

    class Sink:
        def on_sent(self, stream, count):
            told.append((stream.id, count))

    limits = Limits()
    output, table, budgets = (
        Output(None, []),
        StreamTable(limits, server=False),
        Budgets(limits, server=False),
    )
    flow = FlowControl(limits, output)
    sender = Sender(
        output, flow, budgets, table, Closing(None, limits, output, flow, budgets, table, server=False)
    )
    streams = [flow.begin(number) for number in (1, 3)]
    for stream in streams:
        stream.sink = Sink()
        table.open[stream.id] = stream
        stream.send_window = 100_000
        sender.send_data(stream, [bytes(60_000)], 60_000, True)
    assert flow.send_window == 0
    assert told == []
    output.take()
    flow.widen(1 << 20)
    sender.pump()
    assert told == [(3, 120_000 - f.DEFAULT_WINDOW)]
    assert [stream.local_ended for stream in streams] == [True, True]
    assert table.waiting == {}
    # Each frame was useful work.
    assert budgets.sent_frames == 9
