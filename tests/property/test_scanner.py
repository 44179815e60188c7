"""The scanner and the protobuf parser are one reader: the same view, or both refuse, for any bytes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import bounds
from proxy.core.types import RequestView
from proxy.wire import request
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.request import parse_predict
from proxy.wire.unusual import read_predict
from tests.conftest import interpreted_only
from tests.property import wire
from tests.property.reference import parse_fully


def outcome(parse, data: bytes):
    """The view with its inputs in order of alias (a protobuf map has none), or the error's type."""
    try:
        view: RequestView = parse(data)
    except MalformedRequestError:
        return MalformedRequestError
    assert len({tensor.alias for tensor in view.inputs}) == len(view.inputs)
    return view.key, view.signature, sorted(view.inputs, key=lambda tensor: tensor.alias), view.outputs


LONG_TAG = re.compile(rb"[\x80-\xff]{4}[\x10-\x7f]")
"""What may be a tag of more than 32 bits, which protobuf in Python cannot read and the server can."""

ZERO_IN_A_GROUP = re.compile(
    b"[%s].*(?:[\x00-\x07]|[\x80-\x87]\x80*\x00)" % re.escape(bytes(range(3, 256, 8))), re.DOTALL
)
"""What may be a field of number 0 in a group, which protobuf in Python reads and the server does not."""


def expected_of(data: bytes):
    """What the server reads, as far as protobuf in Python tells; where it may not, what we read."""
    expected = outcome(parse_fully, data)
    if expected is MalformedRequestError:
        return outcome(read_predict, data) if LONG_TAG.search(data) else expected
    if ZERO_IN_A_GROUP.search(data) and outcome(read_predict, data) is MalformedRequestError:
        return MalformedRequestError
    return expected


def assert_one_reader(data: bytes) -> None:
    expected = expected_of(data)
    assert outcome(read_predict, data) == expected
    assert outcome(parse_predict, data) == expected


@given(wire.requests)
def test_any_encoding_of_a_request_is_read_alike(data):
    assert_one_reader(data)


@given(wire.mutated())
def test_any_damaged_request_is_read_alike(data):
    assert_one_reader(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_alike(data):
    assert_one_reader(data)


class Small:
    """Bounds that generated requests go beyond, and a scanner that counts in short messages too."""

    def __enter__(self):
        self._patch = pytest.MonkeyPatch()
        for name, limit in (("INPUTS", 2), ("STRINGS", 2), ("DIMS", 3), ("NAMES", 20)):
            self._patch.setattr(bounds, f"MAX_{name}", limit)
        self._patch.setattr(request, "AT_ONCE", 0)

    def __exit__(self, *_):
        self._patch.undo()


def bounded(parse, data: bytes):
    try:
        return outcome(parse, data)
    except TooComplexError:
        return MalformedRequestError


@interpreted_only
@given(wire.requests | wire.mutated())
def test_a_request_within_the_bounds_is_read_alike_and_one_beyond_them_by_nobody(data):
    with Small():
        scanned, read = bounded(parse_predict, data), bounded(read_predict, data)
    assert scanned == read
    if read is not MalformedRequestError:
        assert read == expected_of(data)


def entry(*tensor_fields: bytes) -> bytes:
    return wire.length_delimited(
        2, wire.length_delimited(1, b"x") + wire.length_delimited(2, b"".join(tensor_fields))
    )


def test_a_value_that_is_cut_by_the_end_of_its_tensor_is_malformed():
    data = entry(wire.tag(1, wire.VARINT)) + entry()
    assert_one_reader(data)
    assert outcome(parse_predict, data) is MalformedRequestError


def test_a_length_of_more_than_five_bytes_is_malformed():
    data = wire.length_delimited(1, b"", padding=5)
    assert_one_reader(data)
    assert outcome(parse_predict, data) is MalformedRequestError


@pytest.mark.parametrize("beyond", [b"\x10", b"\x40", b"\x70"])
def test_of_a_tag_the_lower_32_bits_count_as_in_the_server(beyond):
    """Protobuf in Python cannot read it: then nobody here would judge what the server runs."""
    dtype, unknown = b"\x88\x80\x80\x80", b"\x98\x86\x80\x80"
    data = entry(wire.varint_field(1, 1), dtype + beyond + wire.varint(9)) + unknown + beyond + wire.varint(1)
    assert [view.dtype for view in parse_predict(data).inputs] == [9]


def test_the_last_of_two_float8_fields_counts_even_if_empty():
    data = entry(wire.length_delimited(wire.FLOAT8_VAL, b"abc"), wire.length_delimited(wire.FLOAT8_VAL, b""))
    assert_one_reader(data)
    assert parse_predict(data).inputs[0].counts == {}


def test_only_the_field_of_the_dtype_is_searched_for_values_outside_of_it():
    bfloat16 = wire.varint_field(1, 14)
    inside = wire.length_delimited(13, wire.varint(65535))
    outside = wire.length_delimited(7, wire.varint(65536))
    for data in (entry(bfloat16, inside, outside), entry(bfloat16, outside, inside)):
        assert_one_reader(data)
        assert not parse_predict(data).inputs[0].wraps


def test_an_entry_with_a_field_that_nobody_knows_counts_as_in_the_server():
    """Protobuf in Python drops it: then another entry of the alias would be judged, and this one run."""
    first = entry(wire.varint_field(1, 1))
    alias, tensor = wire.length_delimited(1, b"x"), wire.length_delimited(2, wire.varint_field(1, 9))
    for last in (alias + tensor + wire.varint_field(4, 1), wire.varint_field(9, 1) + tensor + alias):
        data = first + wire.length_delimited(2, last)
        assert_one_reader(data)
        assert [view.dtype for view in parse_predict(data).inputs] == [9]


@given(st.lists(st.tuples(wire.numbers, wire.paddings), min_size=1, max_size=6), st.integers(0, 2))
def test_narrow_values_are_told_from_wide_ones_in_any_encoding(values, form):
    for dtype in (4, 5, 6, 14, 29, 30, 31, 32):
        number = 13 if dtype == 14 else 7
        chunks = [wire.varint(value, padding) for value, padding in values]
        if form == 0:
            written = wire.length_delimited(number, b"".join(chunks))
        elif form == 1:
            written = b"".join(wire.tag(number, wire.VARINT) + each for each in chunks)
        else:
            written = b"".join(wire.length_delimited(number, each) for each in chunks)
        assert_one_reader(entry(wire.varint_field(1, dtype), written))
