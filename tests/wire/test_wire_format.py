"""What is known of the wire format is what protobuf's own descriptors say, and varints are those of protobuf."""

import pytest
from google.protobuf import wrappers_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.types import DTYPES
from proxy.wire import wire_format as wire
from proxy.wire.protos import classification_pb2, model_pb2, predict_pb2, regression_pb2, tensor_pb2

REQUEST = predict_pb2.PredictRequest.DESCRIPTOR
ENTRY = REQUEST.fields_by_name["inputs"].message_type
TENSOR = tensor_pb2.TensorProto.DESCRIPTOR

FIXED32 = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32}
FIXED64 = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64}
LENGTH = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE}

OTHER_FIELDS = {
    "tensor_shape",
    "tensor_content",
    "dtype",
    "version_number",
    "string_val",
    "resource_handle_val",
    "variant_val",
    "float8_val",
}


def wire_type(field) -> int:
    if field.type in FIXED32:
        return wire.FIXED32
    if field.type in FIXED64:
        return wire.FIXED64
    return wire.LENGTH if field.type in LENGTH else wire.VARINT


@pytest.mark.parametrize(
    ("message", "name", "number", "tag"),
    [
        (REQUEST, "model_spec", wire.MODEL_SPEC, wire.MODEL_SPEC_TAG),
        (REQUEST, "inputs", wire.INPUTS, wire.INPUTS_TAG),
        (REQUEST, "output_filter", wire.OUTPUT_FILTER, wire.OUTPUT_FILTER_TAG),
        (ENTRY, "key", wire.ALIAS, wire.ALIAS_TAG),
        (ENTRY, "value", wire.TENSOR, wire.TENSOR_TAG),
        (TENSOR, "dtype", wire.DTYPE, wire.DTYPE_TAG),
        (TENSOR, "tensor_shape", wire.SHAPE, wire.SHAPE_TAG),
        (TENSOR, "version_number", wire.VERSION_NUMBER, wire.VERSION_NUMBER_TAG),
        (TENSOR, "tensor_content", wire.CONTENT, wire.CONTENT_TAG),
        (TENSOR, "string_val", wire.STRING_VAL, wire.STRING_VAL_TAG),
        (TENSOR, "float_val", wire.FLOAT_VAL, None),
        (TENSOR, "double_val", wire.DOUBLE_VAL, None),
        (TENSOR, "int_val", wire.INT_VAL, None),
        (TENSOR, "half_val", wire.HALF_VAL, None),
        (TENSOR, "resource_handle_val", wire.RESOURCE_HANDLE_VAL, None),
        (TENSOR, "variant_val", wire.VARIANT_VAL, None),
        (TENSOR, "float8_val", wire.FLOAT8_VAL, None),
        (predict_pb2.PredictResponse.DESCRIPTOR, "model_spec", None, wire.RESPONSE_SPEC_TAG),
        (classification_pb2.ClassificationResponse.DESCRIPTOR, "model_spec", None, wire.RESPONSE_SPEC_TAG),
        (regression_pb2.RegressionResponse.DESCRIPTOR, "model_spec", None, wire.RESPONSE_SPEC_TAG),
        (model_pb2.ModelSpec.DESCRIPTOR, "version", None, wire.VERSION_TAG),
        (model_pb2.ModelSpec.DESCRIPTOR, "version_label", None, wire.VERSION_LABEL_TAG),
        (wrappers_pb2.Int64Value.DESCRIPTOR, "value", None, wire.VERSION_VALUE_TAG),
    ],
)
def test_numbers_and_tags_are_those_of_the_descriptor(message, name, number, tag):
    field = message.fields_by_name[name]
    assert number in {None, field.number}
    assert tag in {None, field.number << 3 | wire_type(field)}


def test_every_field_of_a_tensor_is_known():
    known = {name for name, _, _ in wire.VALUES.values()} | OTHER_FIELDS
    assert {field.name for field in TENSOR.fields} == known


@pytest.mark.parametrize("number", wire.VALUES)
def test_a_field_of_values_holds_them_as_the_descriptor_says(number):
    name, single, width = wire.VALUES[number]
    field = TENSOR.fields_by_number[number]
    assert (field.name, wire_type(field)) == (name, single)
    assert {wire.VARINT: 0, wire.FIXED32: 4, wire.FIXED64: 8}[single] == width


def packed(name: str) -> bytes:
    """A tensor with two values in this field, as protobuf packs them."""
    values = b"\1\1" if name == "float8_val" else [1, 1]
    return bytes(tensor_pb2.TensorProto(**{name: values}).SerializeToString())


@pytest.mark.parametrize(("octet", "field"), wire.PACKED.items())
def test_a_packed_field_begins_as_protobuf_writes_it(octet, field):
    name, width = field
    data = packed(name)
    assert data[0] == octet
    assert octet < wire.CONTINUED or data[1] == wire.SECOND_OCTET
    assert data.endswith(bytes([2 * (width or 1)]) + data[-2 * (width or 1) :])


def test_opaque_are_the_packed_fields_of_fixed_width_that_hold_one_whole_element_each():
    # A complex number is two values.
    fields = {kind.field for kind in DTYPES.values() if kind.low is None and kind.per_element == 1}
    fixed = {tag for tag, (name, width) in wire.PACKED.items() if width > 1 and name in fields}
    assert fixed == wire.OPAQUE_TAGS


@pytest.mark.parametrize("kind", DTYPES.values(), ids=lambda kind: kind.name)
def test_the_values_of_every_dtype_lie_in_a_field_that_is_known(kind):
    assert kind.field in {name for name, _ in wire.PACKED.values()} | OTHER_FIELDS


@given(st.integers(0, 2**64 - 1))
def test_varints_are_those_of_protobuf(value):
    data = wrappers_pb2.UInt64Value(value=value or 1).SerializeToString()[1:]
    assert wire.write_varint(value or 1) == data
    assert wire.read_uint64(data, 0) == (value or 1)
    assert wire.behind_varint(data, 0) == len(data)
    if len(data) <= wire.LONGEST_LENGTH:
        assert wire.read_varint(data, 0) == (value or 1, len(data))


@given(st.integers(-(2**31), 2**31 - 1).filter(bool))
def test_an_int32_keeps_its_sign(value):
    data = wrappers_pb2.Int32Value(value=value).SerializeToString()[1:]
    assert wire.read_int32(data, 0) == value


@pytest.mark.parametrize(
    ("read", "octets"),
    [
        (wire.read_varint, wire.LONGEST_LENGTH),
        (wire.read_uint64, wire.LONGEST),
        (wire.read_int32, wire.LONGEST),
        (wire.behind_varint, wire.LONGEST),
    ],
)
def test_what_is_longer_than_it_may_be_is_not_read(read, octets):
    read(b"\x80" * (octets - 1) + b"\x00", 0)
    with pytest.raises(wire.UnusualError):
        read(b"\x80" * octets + b"\x00", 0)


@pytest.mark.parametrize("length", [0, 127, 128, 16_383, 16_384])
def test_fields_that_follow_each_other_are_stepped_over(length):
    one = wire.write_head(wire.STRING_VAL, length) + bytes(length)
    data = 3 * one + b"\x08\x01"
    assert wire.behind_contents(data, 0, len(data), wire.STRING_VAL_TAG, 9) == (3 * len(one), 3)
    assert wire.behind_contents(data, 0, len(data), wire.STRING_VAL_TAG, 2) == (2 * len(one), 2)
    assert wire.behind_contents(data, 0, len(data), wire.CONTENT_TAG, 9) == (0, 0)
