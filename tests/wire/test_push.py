"""A request read while it arrives shows what the whole one shows."""

import tracemalloc

import pytest

from proxy.wire.fields import MalformedRequestError
from proxy.wire.push import MAX_BONES, PushScanner
from proxy.wire.request import parse_predict
from proxy.wire.wire_format import UnusualError
from tests.judging import predict, tensor

IMAGE = ("float32", (1, 300, 300, 3))


def fed(data, upto=None):
    scanner = PushScanner(len(data))
    scanner.feed(data[:upto])
    return scanner


def test_the_headers_tell_the_request_before_its_payload_is_there():
    data = predict(x=tensor(*IMAGE)).SerializeToString()
    scanner = PushScanner(len(data))
    assert scanner.feed(data[:100])
    assert scanner.tail == 0
    assert scanner.view() == parse_predict(data)


def test_there_is_nothing_to_judge_until_the_header_is_whole():
    data = predict(x=tensor(*IMAGE)).SerializeToString()
    header = len(data) - 300 * 300 * 3 * 4
    scanner = PushScanner(len(data))
    assert not any(scanner.feed(data[at : at + 1]) for at in range(header - 1))
    assert scanner.feed(data[header - 1 : header])
    assert not scanner.feed(data[header:-1])
    assert scanner.view() == parse_predict(data)


def test_a_payload_behind_which_much_is_still_to_come_is_not_judged_on():
    data = predict(x=tensor(*IMAGE), y=tensor(*IMAGE)).SerializeToString()
    scanner = PushScanner(len(data))
    assert not scanner.feed(data[:100])
    assert not scanner.feed(data[100 : len(data) // 2 - 100])
    assert scanner.feed(data[len(data) // 2 - 100 : -5000])
    assert scanner.view() == parse_predict(data)


def test_what_follows_the_last_payload_shows_at_the_end():
    data = predict(x=tensor(*IMAGE), outputs=["scores"]).SerializeToString()
    scanner = PushScanner(len(data))
    assert scanner.feed(data[:100])
    assert scanner.tail == len(b"\x1a\x06scores")
    assert scanner.view().outputs == ()
    scanner.feed(data[100:])
    assert scanner.view() == parse_predict(data)


@pytest.mark.parametrize("tail", [b"\x7a\x03abc", b"\x0a\x03\x0a\x01n", b"\x12\x00"], ids=repr)
def test_a_tail_out_of_the_ordinary_is_read_by_the_parser(tail):
    data = predict(x=tensor(*IMAGE)).SerializeToString() + tail
    scanner = fed(data, 100)
    scanner.feed(data[100:])
    assert not scanner.gave_up
    assert scanner.view() == parse_predict(data)


@pytest.mark.parametrize("tail", [b"\x0a", b"\x12\x7f", b"\x1a\x80\x80\x80\x80\x80\x01", b"\0"], ids=repr)
def test_a_tail_that_cannot_be_read_is_malformed(tail):
    data = predict(x=tensor(*IMAGE)).SerializeToString() + tail
    scanner = PushScanner(len(data))
    assert scanner.feed(data[:100])
    scanner.feed(data[100:])
    assert not scanner.gave_up
    with pytest.raises(MalformedRequestError):
        scanner.view()


@pytest.mark.parametrize(
    "proto",
    [
        tensor("bool", (100_000,)),
        tensor("string", (100_000,), tensor_content=b"\0" * 100_000),
        tensor("uint8", (100_000,), int_val=[1] * 100_000),
        tensor("float16", (100_000,), half_val=[1] * 100_000),
        tensor("string", (20_000,), string_val=[b"text"] * 20_000),
    ],
    ids=["bools", "encoded strings", "narrow integers", "halves", "strings"],
)
def test_a_payload_that_the_parser_looks_into_is_given_up(proto):
    data = predict(x=proto).SerializeToString()
    scanner = PushScanner(len(data))
    assert not any(scanner.feed(data[at : at + 1000]) for at in range(0, len(data), 1000))
    assert scanner.gave_up


def test_a_tensor_that_goes_on_behind_its_payload_is_given_up():
    proto = tensor(*IMAGE).SerializeToString() + b"\x08\x0a"  # a bool, after all
    entry = b"\x0a\x01x\x12" + varint(len(proto)) + proto
    data = b"\x12" + varint(len(entry)) + entry
    assert not PushScanner(len(data)).feed(data)
    assert fed(data).gave_up


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def test_a_payload_of_no_whole_number_of_values_is_unusual_and_then_malformed():
    entry = b"\x0a\x01x\x12" + varint(70_006) + b"\x08\x01" + b"\x2a" + varint(70_000 + 1)
    data = b"\x12" + varint(len(entry) + 70_001) + entry + bytes(70_001)
    data = data.replace(varint(70_006), varint(70_001 + 2 + 1 + 3), 1)
    scanner = PushScanner(len(data))
    assert scanner.feed(data[:100])
    with pytest.raises(UnusualError):
        scanner.view()
    scanner.feed(data[100:])
    with pytest.raises(MalformedRequestError):
        scanner.view()


def test_what_is_kept_does_not_grow_with_the_payload():
    data = predict(x=tensor("float32", (1_000_000,))).SerializeToString()
    view = memoryview(data)
    tracemalloc.start()
    scanner = PushScanner(len(data))
    for at in range(0, len(data), 10_000):
        scanner.feed(view[at : at + 10_000])
    assert scanner.view().inputs[0].content_length == 4_000_000
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_a_message_that_is_all_header_is_given_up():
    data = predict(outputs=["y" * 100] * 1000).SerializeToString()
    scanner = fed(data)
    assert scanner.gave_up
    assert scanner._kept <= MAX_BONES + 512
