"""The scanner and the protobuf parser are one reader: the same view, or both refuse, for any bytes."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.types import RequestView
from proxy.wire.fields import MalformedRequestError
from proxy.wire.request import parse_predict
from proxy.wire.unusual import read_predict
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


def assert_one_reader(data: bytes) -> None:
    expected = outcome(parse_fully, data)
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
