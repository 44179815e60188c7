"""S3, S4, S7: what a request is made of decides neither whether it is judged nor how long others wait."""

import grpc
import pytest

from tests.edge.conftest import ask, predict
from tests.property.wire import LENGTH, length_delimited, tag, varint, varint_field
from tests.safety.clients import (
    BAD,
    GOOD,
    LONGEST_WAIT,
    ask_predict,
    bystanding,
    channel_to,
    forget_peak,
    peak,
)

MOST_HELD = 300 << 20
"""What one request may make the proxy hold beyond what it holds already."""
SIZE = 12_000_000
MULTI_INFERENCE = "/tensorflow.serving.PredictionService/MultiInference"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"

SPEC, INPUTS, FILTER, UNKNOWN = 1, 2, 3, 101
KEY, VALUE = 1, 2
DTYPE, SHAPE, FLOATS, STRINGS, INT64S = 1, 2, 5, 8, 10
FLOAT, STRING = varint_field(DTYPE, 1), varint_field(DTYPE, 7)


def _spec(model="m"):
    return length_delimited(SPEC, length_delimited(1, model.encode()))


def _input(alias, *fields):
    return length_delimited(INPUTS, length_delimited(KEY, alias) + length_delimited(VALUE, b"".join(fields)))


def _many(piece):
    return piece * (SIZE // len(piece))


def _shape(*sizes):
    return length_delimited(SHAPE, b"".join(length_delimited(2, varint_field(1, size)) for size in sizes))


WRONG = _input(b"x", FLOAT, _shape(3), length_delimited(4, bytes(12)))
RIGHT = _input(b"x", FLOAT, _shape(2, 3), length_delimited(4, bytes(24)))


def _different_inputs():
    return b"".join(length_delimited(INPUTS, length_delimited(KEY, b"%d" % n)) for n in range(500_000))


HEAVY = {
    "empty entries": lambda: _spec() + _many(b"\x12\x00") + WRONG,
    "entries of the same name": lambda: _spec() + _many(_input(b"x")) + WRONG,
    "different inputs": lambda: _spec() + _different_inputs() + WRONG,
    "an input twice, strings first": lambda: _spec() + _input(b"x", STRING, _many(b"\x42\x01a")) + WRONG,
    "an input twice, values first": lambda: _spec() + _input(b"x", FLOAT, _many(b"\x2d\0\0\0\0")) + WRONG,
    "output filters": lambda: _spec() + _many(b"\x1a\x01y") + WRONG,
    "empty output filters": lambda: _spec() + _many(b"\x1a\x00") + WRONG,
    "specs": lambda: _many(b"\x0a\x00") + _spec() + WRONG,
    "names of a spec": lambda: length_delimited(SPEC, _many(b"\x0a\x01m")) + WRONG,
    "keys of an entry": lambda: _spec() + length_delimited(INPUTS, _many(b"\x0a\x01x") + WRONG[2:]),
    "tensors of an entry": lambda: _spec() + length_delimited(INPUTS, b"\x0a\x01x" + _many(b"\x12\x00")),
    "dtypes": lambda: _spec() + _input(b"x", _many(b"\x08\x01"), _shape(3), b""),
    "shapes": lambda: _spec() + _input(b"x", FLOAT, _many(b"\x12\x00")),
    "dims": lambda: _spec() + _input(b"x", FLOAT, length_delimited(SHAPE, _many(b"\x12\x02\x08\x01"))),
    "empty dims": lambda: _spec() + _input(b"x", FLOAT, length_delimited(SHAPE, _many(b"\x12\x00"))),
    "sizes of a dim": lambda: (
        _spec() + _input(b"x", FLOAT, length_delimited(SHAPE, length_delimited(2, _many(b"\x08\x01"))))
    ),
    "empty strings": lambda: _spec("text") + _input(b"words", STRING, _shape(1, 2), _many(b"\x42\x00")),
    "strings": lambda: _spec("text") + _input(b"words", STRING, _shape(1, 2), _many(b"\x42\x01a")),
    "strings with long lengths": lambda: (
        _spec("text") + _input(b"words", STRING, _shape(1, 2), _many(b"\x42\x80\x00"))
    ),
    "single values": lambda: _spec() + _input(b"x", FLOAT, _shape(3), _many(b"\x2d\0\0\0\0")),
    "single integers": lambda: _spec() + _input(b"x", FLOAT, _shape(3), _many(b"\x50\x01")),
    "packed in small packs": lambda: _spec() + _input(b"x", FLOAT, _shape(3), _many(b"\x2a\x04\0\0\0\0")),
    "empty packs": lambda: _spec() + _input(b"x", FLOAT, _shape(3), _many(b"\x2a\x00")),
    "contents": lambda: _spec() + _input(b"x", FLOAT, _shape(3), _many(b"\x22\x00")),
    "long varints": lambda: (
        _spec() + _input(b"x", FLOAT, _shape(3), length_delimited(INT64S, _many(b"\xff" * 9 + b"\x01")))
    ),
    "unknown fields": lambda: _spec() + _many(varint_field(UNKNOWN, 0)) + WRONG,
    "unknown fields of a tensor": lambda: _spec() + _input(b"x", _many(varint_field(UNKNOWN, 0)), _shape(3)),
    "unknown groups": lambda: _spec() + _many(tag(UNKNOWN, 3) + tag(UNKNOWN, 4)) + WRONG,
    "groups in groups": lambda: _spec() + _many(tag(UNKNOWN, 3)) + WRONG,
    "a long unknown field": lambda: _spec() + length_delimited(UNKNOWN, bytes(SIZE)) + WRONG,
    "a long name of a model": lambda: _spec("m" * SIZE) + WRONG,
    "a long name of an input": lambda: _spec() + _input(b"x" * SIZE, FLOAT),
    "a long name of a dim": lambda: (
        _spec() + _input(b"x", length_delimited(SHAPE, length_delimited(2, length_delimited(2, b"n" * SIZE))))
    ),
    "a long output filter": lambda: _spec() + length_delimited(FILTER, b"y" * SIZE) + WRONG,
    "nothing that can be read": lambda: b"\xff" * SIZE,
}


@pytest.mark.parametrize("kind", HEAVY)
async def test_a_heavy_request_is_refused_while_others_are_served(proxy, server, kind):
    message = HEAVY[kind]()
    forget_peak(proxy)
    held = peak(proxy)
    async with channel_to(proxy.target) as channel:
        await ask_predict(channel, GOOD)
        with server.spared():
            async with bystanding(proxy) as bystander:
                answer = await ask_predict(channel, message, timeout=60)
    assert answer.code is not grpc.StatusCode.OK
    assert answer.reason
    assert bystander.was_served, bystander.answers
    assert bystander.longest < LONGEST_WAIT
    assert peak(proxy) - held < MOST_HELD


_TASK = length_delimited(
    1, length_delimited(1, _spec()) + length_delimited(2, b"tensorflow/serving/classify")
)
OTHERS = {
    "tasks": (MULTI_INFERENCE, lambda: _many(_TASK)),
    "empty tasks": (MULTI_INFERENCE, lambda: _many(b"\x0a\x00")),
    "examples": (CLASSIFY, lambda: _spec() + length_delimited(2, length_delimited(1, _many(b"\x0a\x00")))),
    "inputs of a classification": (CLASSIFY, lambda: _spec() + _many(b"\x12\x00")),
}


@pytest.mark.parametrize("kind", OTHERS)
async def test_other_heavy_requests_keep_nobody_waiting(proxy, kind):
    method, made = OTHERS[kind]
    message = made()
    forget_peak(proxy)
    held = peak(proxy)
    async with channel_to(proxy.target) as channel, bystanding(proxy) as bystander:
        answer = await ask(channel, method, message, timeout=60)
    assert answer.code is not grpc.StatusCode.OK
    assert bystander.was_served, bystander.answers
    assert bystander.longest < LONGEST_WAIT
    assert peak(proxy) - held < MOST_HELD


@pytest.mark.parametrize("kind", ["empty entries", "an input twice, strings first", "strings"])
async def test_what_takes_long_to_read_is_judged_by_one_who_has_little_time(proxy, server, kind):
    """S3: patience for metadata does not run while a request is read."""
    message = HEAVY[kind]()
    with server.spared():
        async with channel_to(proxy.target) as channel:
            for timeout in (0.05, 0.5, 3):
                answer = await ask_predict(channel, message, timeout=timeout)
                assert answer.code is not grpc.StatusCode.OK
            assert (await ask_predict(channel, BAD)).reason == "RANK_MISMATCH"


@pytest.mark.parametrize(
    "message",
    [
        _spec() + RIGHT * 50,
        _spec() + RIGHT + varint_field(UNKNOWN, 1) * 1000,
        predict("m", (1_600_000, 3)),
        _spec("text")
        + _input(b"words", STRING, _shape(200_000), length_delimited(STRINGS, b"a" * 20) * 200_000),
        _spec() + _input(b"x", FLOAT, _shape(50_000, 3), (varint(FLOATS << 3 | 5) + bytes(4)) * 150_000),
        _spec()
        + _input(
            b"x", FLOAT, _shape(1_000_000, 3), tag(FLOATS, LENGTH), varint(12_000_000), bytes(12_000_000)
        ),
    ],
    ids=["one input often", "unknown fields", "long", "many strings", "single values", "packed"],
)
async def test_what_real_clients_send_stays_good(proxy, message):
    async with channel_to(proxy.target) as channel, bystanding(proxy) as bystander:
        assert (await ask_predict(channel, message)).code is grpc.StatusCode.OK
    assert bystander.longest < LONGEST_WAIT


def _filled(model, sizes, *, aliases=(b"x",), strings=False):
    value = length_delimited(STRINGS, b"a") if strings else length_delimited(FLOATS, bytes(4))
    dtype = STRING if strings else FLOAT
    return _spec(model) + b"".join(_input(alias, dtype, _shape(*sizes), value) for alias in aliases)


MANY = [b"x%d" % number for number in range(8)]
FILLS = {
    "strings, 2^27": _filled("text", (1 << 27,), aliases=(b"words",), strings=True),
    "strings, 2^62": _filled("text", (1 << 62,), aliases=(b"words",), strings=True),
    "strings, 2^24": _filled("text", (1 << 24,), aliases=(b"words",), strings=True),
    "floats, 2^27": _filled("m", (1 << 27, 3)),
    "floats, 2^25 three times": _filled("m", (1 << 25, 3)),
    "eight inputs, each small enough": _filled("many", (1 << 24,), aliases=MANY),
}


@pytest.mark.parametrize("kind", FILLS)
async def test_one_value_does_not_fill_the_server(proxy, server, kind):
    async with channel_to(proxy.target) as channel:
        with server.spared():
            answer = await ask_predict(channel, FILLS[kind])
    assert answer.code is not grpc.StatusCode.OK
    assert answer.reason


async def test_what_may_be_filled_is_a_setting(start_proxy):
    proxy = start_proxy("--max-fill-bytes", "1MiB")
    async with channel_to(proxy.target) as channel:
        for message in (
            _filled("m", (100_000, 3)),
            _filled("text", (50_000,), aliases=(b"words",), strings=True),
            _filled("many", (40_000,), aliases=MANY),
        ):
            assert (await ask_predict(channel, message)).code is not grpc.StatusCode.OK
        for message in (
            _filled("m", (50_000, 3)),
            _filled("text", (10_000,), aliases=(b"words",), strings=True),
            _filled("many", (20_000,), aliases=MANY),
            predict("m", (1_000_000, 3)),
        ):
            assert (await ask_predict(channel, message)).code is grpc.StatusCode.OK
