"""What RFC 9113 demands of whoever receives: each rule with the answer it names."""

import struct

import pytest

from proxy.edge.native.http2 import frames as f
from tests.edge.native.http2.conftest import ends_with, resets

PRIORITY = struct.Struct(">IB").pack


def setting(name, value):
    return struct.pack(">HI", name, value)


def window_update(frame, stream_id, increment):
    return frame(f.WINDOW_UPDATE, 0, stream_id, struct.pack(">I", increment))


# Connection errors: one script each.

CONNECTION_FAULTS = {
    "data on stream 0": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.DATA, 0, 0, b"x")]),
    "headers on stream 0": (f.PROTOCOL_ERROR, lambda c, fr: [c.headers(0)]),
    "headers on an even stream": (f.PROTOCOL_ERROR, lambda c, fr: [c.headers(2)]),
    "data on an idle stream": (f.PROTOCOL_ERROR, lambda c, fr: [c.data(1, b"x")]),
    "rst_stream on an idle stream": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.RST_STREAM, 0, 1, bytes(4))]),
    "window_update on an idle stream": (f.PROTOCOL_ERROR, lambda c, fr: [window_update(fr, 1, 1)]),
    "continuation without headers": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.CONTINUATION, 4, 1)]),
    "continuation on stream 0": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.CONTINUATION, 4, 0)]),
    "priority on stream 0": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.PRIORITY, 0, 0, PRIORITY(1, 1))]),
    "priority of a wrong length, idle": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.PRIORITY, 0, 1, bytes(4))]),
    "rst_stream on stream 0": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.RST_STREAM, 0, 0, bytes(4))]),
    "rst_stream of a wrong length": (
        f.FRAME_SIZE_ERROR,
        lambda c, fr: [c.headers(1), fr(f.RST_STREAM, 0, 1, bytes(3))],
    ),
    "settings on a stream": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.SETTINGS, 0, 1)]),
    "settings acknowledgement with payload": (
        f.FRAME_SIZE_ERROR,
        lambda c, fr: [fr(f.SETTINGS, 1, 0, bytes(6))],
    ),
    "settings of a wrong length": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.SETTINGS, 0, 0, bytes(7))]),
    "enable_push 2": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.SETTINGS, 0, 0, setting(2, 2))]),
    "initial_window_size 2^31": (
        f.FLOW_CONTROL_ERROR,
        lambda c, fr: [fr(f.SETTINGS, 0, 0, setting(4, 2**31))],
    ),
    "max_frame_size 16383": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.SETTINGS, 0, 0, setting(5, 2**14 - 1))]),
    "max_frame_size 2^24": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.SETTINGS, 0, 0, setting(5, 2**24))]),
    "push_promise": (f.PROTOCOL_ERROR, lambda c, fr: [c.headers(1), fr(f.PUSH_PROMISE, 4, 1, bytes(4))]),
    "ping on a stream": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.PING, 0, 1, bytes(8))]),
    "ping of a wrong length": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.PING, 0, 0, bytes(7))]),
    "goaway on a stream": (f.PROTOCOL_ERROR, lambda c, fr: [fr(f.GOAWAY, 0, 1, bytes(8))]),
    "goaway too short": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.GOAWAY, 0, 0, bytes(7))]),
    "window_update of a wrong length": (
        f.FRAME_SIZE_ERROR,
        lambda c, fr: [fr(f.WINDOW_UPDATE, 0, 0, bytes(3))],
    ),
    "window_update of 0 on the connection": (f.PROTOCOL_ERROR, lambda c, fr: [window_update(fr, 0, 0)]),
    "window overflow on the connection": (
        f.FLOW_CONTROL_ERROR,
        lambda c, fr: [window_update(fr, 0, 2**31 - 1)],
    ),
    "headers too large a frame": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.HEADERS, 4, 1, bytes(16_385))]),
    "unknown frame too large": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(0xBB, 0, 1, bytes(16_385))]),
    "headers shorter than their padding": (
        f.PROTOCOL_ERROR,
        lambda c, fr: [fr(f.HEADERS, 12, 1, b"\x05abc")],
    ),
    "padded headers without a pad length": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.HEADERS, 12, 1)]),
    "headers too short for a priority": (f.FRAME_SIZE_ERROR, lambda c, fr: [fr(f.HEADERS, 0x24, 1, b"abc")]),
    "data shorter than its padding": (
        f.PROTOCOL_ERROR,
        lambda c, fr: [c.headers(1), fr(f.DATA, 8, 1, b"\x05abc")],
    ),
    "padded data without a pad length": (f.FRAME_SIZE_ERROR, lambda c, fr: [c.headers(1), fr(f.DATA, 8, 1)]),
    "data after the stream ended": (
        f.STREAM_CLOSED,
        lambda c, fr: [c.headers(1, end=True), c.answer(1), c.data(1, b"x")],
    ),
    "headers after the stream ended": (
        f.STREAM_CLOSED,
        lambda c, fr: [c.headers(1, end=True), c.answer(1), c.headers(1, end=True)],
    ),
    "a frame inside a header block": (
        f.PROTOCOL_ERROR,
        lambda c, fr: [c.headers(1, flags=0), fr(f.PING, 0, 0, bytes(8))],
    ),
    "an unknown frame inside a header block": (
        f.PROTOCOL_ERROR,
        lambda c, fr: [c.headers(1, flags=0), fr(0xBB, 0, 1)],
    ),
    "a continuation of another stream": (
        f.PROTOCOL_ERROR,
        lambda c, fr: [c.headers(1, flags=0), fr(f.CONTINUATION, 4, 3)],
    ),
    "an index that does not exist": (
        f.COMPRESSION_ERROR,
        lambda c, fr: [fr(f.HEADERS, 5, 1, b"\xff\x80\x01")],
    ),
    "index 0": (f.COMPRESSION_ERROR, lambda c, fr: [fr(f.HEADERS, 5, 1, b"\x80")]),
    "a table size above the limit": (
        f.COMPRESSION_ERROR,
        lambda c, fr: [fr(f.HEADERS, 5, 1, b"\x3f\xe2\x1f")],
    ),
    "a table size after a field": (f.COMPRESSION_ERROR, lambda c, fr: [fr(f.HEADERS, 5, 1, b"\x82\x20")]),
    "a block cut short": (f.COMPRESSION_ERROR, lambda c, fr: [fr(f.HEADERS, 5, 1, b"\x40\x05ab")]),
    "compression lost on a closed stream": (
        f.COMPRESSION_ERROR,
        lambda c, fr: [c.headers(1), fr(f.RST_STREAM, 0, 1, bytes(4)), fr(f.HEADERS, 5, 1, b"\x80")],
    ),
}


class Answering:
    """Adds to the script that the application answers a stream in full."""

    def __init__(self, conversation):
        self.conversation = conversation

    def __getattr__(self, name):
        return getattr(self.conversation, name)

    def answer(self, stream_id):
        def act():
            stream = self.conversation.streams[stream_id]
            self.conversation.sends(stream, end=True)

        return act


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
@pytest.mark.parametrize("size", [None, 1, 10])
def test_a_connection_error_is_answered_with_its_code(server, frame, name, size):
    """…and however the octets are cut into chunks."""
    code, script = CONNECTION_FAULTS[name]
    for step in script(Answering(server), frame):
        if callable(step):
            step()
        elif size is None:
            server.hears(step)
        else:
            server.hears(*(step[start : start + size] for start in range(0, len(step), size)))
    assert ends_with(server, code)


# Stream errors: the connection goes on.


def with_fields(*fields):
    return lambda c, fr, req: [c.headers(1, fields, end=True)]


def request_with(*more, **replaced):
    def script(c, fr, req):
        fields = [(k, replaced.get(k.decode().strip(":"), v)) for k, v in req]
        return [c.headers(1, [*((k, v) for k, v in fields if v is not None), *more])]

    return script


STREAM_FAULTS = {
    "window_update of 0": (f.PROTOCOL_ERROR, lambda c, fr, req: [c.headers(1), window_update(fr, 1, 0)]),
    "window overflow": (
        f.FLOW_CONTROL_ERROR,
        lambda c, fr, req: [c.headers(1), window_update(fr, 1, 2**31 - 1)],
    ),
    "data after END_STREAM": (f.STREAM_CLOSED, lambda c, fr, req: [c.headers(1, end=True), c.data(1, b"x")]),
    "headers after END_STREAM": (
        f.STREAM_CLOSED,
        lambda c, fr, req: [c.headers(1, end=True), c.headers(1, end=True)],
    ),
    "trailers that do not end": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [c.headers(1), c.headers(1, [(b"a", b"b")])],
    ),
    "pseudo-header in trailers": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [c.headers(1), c.headers(1, [(b":method", b"POST")], end=True)],
    ),
    "data too large a frame": (
        f.FRAME_SIZE_ERROR,
        lambda c, fr, req: [c.headers(1), c.data(1, bytes(16_385))],
    ),
    "priority of a wrong length": (
        f.FRAME_SIZE_ERROR,
        lambda c, fr, req: [c.headers(1), fr(f.PRIORITY, 0, 1, bytes(4))],
    ),
    "priority on itself": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [c.headers(1), fr(f.PRIORITY, 0, 1, PRIORITY(1, 9))],
    ),
    "headers on itself": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [fr(f.HEADERS, 0x24, 1, PRIORITY(1, 9) + c.encoder.encode(req))],
    ),
    "upper-case name": (f.PROTOCOL_ERROR, request_with((b"X-Name", b"v"))),
    "empty name": (f.PROTOCOL_ERROR, request_with((b"", b"v"))),
    "line feed in a value": (f.PROTOCOL_ERROR, request_with((b"x", b"a\nb"))),
    "connection": (f.PROTOCOL_ERROR, request_with((b"connection", b"keep-alive"))),
    "transfer-encoding": (f.PROTOCOL_ERROR, request_with((b"transfer-encoding", b"chunked"))),
    "upgrade": (f.PROTOCOL_ERROR, request_with((b"upgrade", b"h2c"))),
    "te other than trailers": (f.PROTOCOL_ERROR, request_with((b"te", b"gzip"))),
    "unknown pseudo-header": (f.PROTOCOL_ERROR, with_fields((b":test", b"x"), (b":method", b"GET"))),
    "response pseudo-header": (f.PROTOCOL_ERROR, with_fields((b":status", b"200"), (b":method", b"GET"))),
    "pseudo-header after a field": (
        f.PROTOCOL_ERROR,
        with_fields((b":method", b"GET"), (b":scheme", b"http"), (b"a", b"b"), (b":path", b"/")),
    ),
    "duplicate pseudo-header": (
        f.PROTOCOL_ERROR,
        with_fields((b":method", b"GET"), (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")),
    ),
    "no :method": (f.PROTOCOL_ERROR, with_fields((b":scheme", b"http"), (b":path", b"/"))),
    "no :scheme": (f.PROTOCOL_ERROR, with_fields((b":method", b"GET"), (b":path", b"/"))),
    "no :path": (f.PROTOCOL_ERROR, with_fields((b":method", b"GET"), (b":scheme", b"http"))),
    "empty :path": (f.PROTOCOL_ERROR, request_with(path=b"")),
    ":path without a slash": (f.PROTOCOL_ERROR, request_with(path=b"p")),
    "CONNECT with a path": (f.PROTOCOL_ERROR, request_with(method=b"CONNECT")),
    "content-length that is no number": (f.PROTOCOL_ERROR, request_with((b"content-length", b"+1"))),
    "two content-lengths": (
        f.PROTOCOL_ERROR,
        request_with((b"content-length", b"1"), (b"content-length", b"2")),
    ),
    "content-length without DATA": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [c.headers(1, (*req, (b"content-length", b"1")), end=True)],
    ),
    "more DATA than content-length": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [c.headers(1, (*req, (b"content-length", b"1"))), c.data(1, b"ab")],
    ),
    "less DATA than content-length": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [c.headers(1, (*req, (b"content-length", b"3"))), c.data(1, b"ab", end=True)],
    ),
    "trailers before content-length is reached": (
        f.PROTOCOL_ERROR,
        lambda c, fr, req: [
            c.headers(1, (*req, (b"content-length", b"3"))),
            c.data(1, b"ab"),
            c.headers(1, [(b"a", b"b")], end=True),
        ],
    ),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
@pytest.mark.parametrize("size", [None, 1, 10])
def test_a_stream_error_ends_only_its_stream(server, frame, request_fields, name, size):
    code, script = STREAM_FAULTS[name]
    for step in script(server, frame, request_fields):
        if size is None:
            server.hears(step)
        else:
            server.hears(*(step[start : start + size] for start in range(0, len(step), size)))
    assert resets(server, 1, code)
    server.hears(server.headers(3, end=True))
    assert server.events[-1][:2] == ("request", 3)


def test_one_stream_too_many_is_refused_and_may_be_tried_again(converse):
    server = converse(concurrent_streams=2)
    server.hears(*(server.headers(number) for number in (1, 3, 5)))
    assert resets(server, 5, f.REFUSED_STREAM)
    assert [event[1] for event in server.events] == [1, 3]


def test_the_header_table_survives_a_refused_stream(converse, request_fields):
    server = converse(concurrent_streams=1)
    server.hears(server.headers(1), server.headers(3, (*request_fields, (b"kept", b"in the table"))))
    server.hears(server.data(1, b"", end=True))
    server.sends(server.streams[1], end=True)
    server.hears(server.headers(5, (*request_fields, (b"kept", b"in the table"))))
    assert (b"kept", b"in the table") in server.events[-1][2]


# What must be accepted.


def test_padding_and_priority_are_taken_off(server, frame, request_fields):
    block = server.encoder.encode(request_fields)
    server.hears(frame(f.HEADERS, 0x2C, 1, b"\x03" + PRIORITY(0, 15) + block + bytes(3)))
    server.hears(frame(f.DATA, 9, 1, b"\x04body" + bytes(4)))
    assert server.events == [("request", 1, request_fields, False), ("data", 1, b"body", True)]


def test_padding_counts_in_both_windows_and_is_given_back_at_once(server, frame):
    server.hears(server.headers(1))
    stream = server.streams[1]
    server.consuming = False
    server.hears(frame(f.DATA, 8, 1, b"\x09x" + bytes(9)))
    assert (stream.recv_window, stream.held, stream.owed) == ((1 << 20) - 11, 1, 10)


def test_a_block_in_pieces_is_one_block(server, frame, request_fields):
    block = server.encoder.encode(request_fields)
    server.hears(frame(f.HEADERS, 1, 1, block[:3]), frame(f.CONTINUATION, 0, 1, block[3:9]))
    server.hears(frame(f.CONTINUATION, 4, 1, block[9:]))
    assert server.events == [("request", 1, request_fields, True)]


def test_unknown_frames_flags_and_settings_are_ignored(server, frame):
    server.hears(frame(0xBB, 0xFF, 1, b"anything"), frame(0xBB, 0, 0))
    server.hears(frame(f.SETTINGS, 0xFE, 0, setting(0x99, 7)), frame(f.PING, 0xFE, 0, b"12345678"))
    server.hears(frame(f.PRIORITY, 0xFF, 7, PRIORITY(3, 1)))
    assert server.says() == [("SETTINGS", "ack"), ("PING", "ack", b"12345678")]


def test_the_reserved_bit_of_a_stream_number_is_ignored(server, frame):
    server.hears(server.headers(1), frame(f.DATA, 1, 1 | 1 << 31, b"x"))
    assert server.events[-1] == ("data", 1, b"x", True)


def test_trailers_end_a_request(server):
    server.hears(server.headers(1), server.data(1, b"x"), server.headers(1, [(b"checksum", b"1")], end=True))
    assert server.events[-1] == ("trailers", 1, ((b"checksum", b"1"),))


def test_informational_heads_come_before_the_response(client):
    stream = client.opens(end=True)
    client.hears(client.headers(1, [(b":status", b"103")]), client.headers(1, [(b":status", b"200")]))
    client.hears(client.data(1, b"x"), client.headers(1, [(b"grpc-status", b"0")], end=True))
    assert [event[0] for event in client.events] == ["informational", "head", "data", "trailers"]
    assert client.connection.streams == {}
    assert repr(stream) == "<Stream 1 closed>"


@pytest.mark.parametrize(
    "script",
    [
        lambda c: [c.data(1, b"x")],
        lambda c: [c.headers(1, [(b":status", b"20")])],
        lambda c: [c.headers(1, [(b"content-type", b"x")])],
        lambda c: [c.headers(1, [(b":status", b"101")])],
        lambda c: [c.headers(1, [(b":status", b"100")], end=True)],
        lambda c: [c.headers(1, [(b":status", b"200"), (b":path", b"/")])],
        lambda c: [
            c.headers(1, [(b":status", b"200"), (b"content-length", b"2")]),
            c.data(1, b"x", end=True),
        ],
    ],
)
def test_a_malformed_response_resets_its_stream(client, script):
    client.opens()
    client.raw()
    client.hears(*script(client))
    assert resets(client, 1, f.PROTOCOL_ERROR)
    assert client.events[-1] == ("reset", 1, f.PROTOCOL_ERROR, False)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (lambda c, fr: [fr(f.SETTINGS, 0, 0, setting(f.ENABLE_PUSH, 1))], f.PROTOCOL_ERROR),
        (lambda c, fr: [fr(f.PUSH_PROMISE, 4, 1, struct.pack(">I", 2))], f.PROTOCOL_ERROR),
        (lambda c, fr: [c.headers(2)], f.PROTOCOL_ERROR),
        (lambda c, fr: [c.headers(3)], f.PROTOCOL_ERROR),
    ],
)
def test_what_a_server_may_never_do(client, frame, script, code):
    client.opens()
    client.raw()
    client.hears(*script(client, frame))
    assert ends_with(client, code)


def test_a_refused_stream_is_known_to_be_unprocessed(client, frame):
    client.opens()
    client.hears(frame(f.RST_STREAM, 0, 1, struct.pack(">I", f.REFUSED_STREAM)))
    assert client.events == [("reset", 1, f.REFUSED_STREAM, True)]


def test_goaway_tells_which_streams_were_not_processed(client, frame):
    for _ in range(3):
        client.opens()
    client.hears(frame(f.GOAWAY, 0, 0, struct.pack(">II", 1, f.NO_ERROR) + b"bye"))
    assert client.events == [
        ("reset", 3, f.NO_ERROR, True),
        ("reset", 5, f.NO_ERROR, True),
        ("goaway", 1, f.NO_ERROR),
    ]
    assert not client.connection.can_open()
    client.hears(client.headers(1, [(b":status", b"200")], end=True))
    assert client.events[-1] == ("head", 1, 200, True)
