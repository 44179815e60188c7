"""Dtypes, shapes and names as TensorFlow has them."""

import pytest

from proxy.core.types import (
    DTYPES,
    MAX_RANK,
    ModelKey,
    Servable,
    dtype_name,
    element_count,
    fits,
    shape_text,
)
from proxy.wire.protos import tensor_pb2, types_pb2
from tests.judging import servable, signature, spec


def test_every_dtype_of_tensorflow_is_known_by_its_number():
    numbers = {value for name, value in types_pb2.DataType.items() if not name.endswith("_REF")}
    assert set(DTYPES) == numbers - {types_pb2.DT_INVALID}


def test_every_dtype_has_the_name_that_tensorflow_gives_it():
    renamed = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
    for name, number in types_pb2.DataType.items():
        if number in DTYPES:
            assert DTYPES[number].name == renamed.get(name, name.removeprefix("DT_").lower())


def test_every_value_field_exists_in_a_tensor_proto():
    fields = set(tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name)
    assert {kind.field for kind in DTYPES.values()} <= fields


def test_only_complex_dtypes_take_two_values_for_one_element():
    assert {kind.name for kind in DTYPES.values() if kind.per_element == 2} == {"complex64", "complex128"}


def test_a_dtype_narrower_than_its_field_has_bounds():
    bounded = {kind.name: (kind.low, kind.high) for kind in DTYPES.values() if kind.low is not None}
    assert bounded == {
        "uint8": (0, 255),
        "int8": (-128, 127),
        "uint16": (0, 65535),
        "int16": (-32768, 32767),
        "quint8": (0, 255),
        "qint8": (-128, 127),
        "quint16": (0, 65535),
        "qint16": (-32768, 32767),
        "float16": (-32768, 65535),
        "bfloat16": (-32768, 65535),
        "int4": (-8, 7),
        "uint4": (0, 15),
        "int2": (-2, 1),
        "uint2": (0, 3),
    }


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "float32"),
        (0, "DT_INVALID (dtype not set)"),
        (101, "float32 reference (dtype 101)"),
        (999, "unknown dtype 999"),
        (-1, "unknown dtype -1"),
    ],
)
def test_a_dtype_number_reads_as_a_name_or_as_what_is_wrong_with_it(number, name):
    assert dtype_name(number) == name


@pytest.mark.parametrize(
    ("shape", "text"), [((-1, 300, 300, 3), "[?,300,300,3]"), ((), "[]"), (None, "<any rank>")]
)
def test_a_shape_reads_with_a_question_mark_for_any_size(shape, text):
    assert shape_text(shape) == text


@pytest.mark.parametrize(
    ("dims", "count"),
    [
        ((), 1),
        ((2, 3), 6),
        ((0, 2**62, 4), 0),
        ((2**62,), 2**62),
        ((1,) * MAX_RANK, 1),
        ((1,) * (MAX_RANK + 1), None),
        ((2**62, 4), None),
        ((2**62, 4, 0), None),
        ((2**32, 2**31), None),
        ((-1,), None),
        ((3, -5), None),
    ],
)
def test_elements_are_counted_as_tensorflow_counts_them(dims, count):
    assert element_count(dims) == count


def test_a_signature_reads_in_one_line_with_sorted_aliases():
    one = signature(
        {"x": ("float32", (-1, 4)), "b": ("string", None)}, {"z": ("int64", ()), "a": ("bool", ())}
    )
    assert str(one) == "serving_default(b: string, x: float32[?,4]) -> a, z"


def test_a_tensor_of_a_composite_input_reads_as_having_no_dtype():
    assert str(spec("x", "", None)) == "x: DT_INVALID (dtype not set)"


def test_an_empty_signature_name_asks_for_the_default_one():
    one = servable(signature({"x": ("float32", ())}), signature({"x": ("float32", ())}, name="other"))
    assert one.signature("").name == "serving_default"
    assert one.signature("other").name == "other"
    assert one.signature("OTHER") is None
    assert Servable("m", 1, {}).signature("") is None


@pytest.mark.parametrize(
    ("key", "text"),
    [(ModelKey("m"), "m"), (ModelKey("m", 0), "m:0"), (ModelKey("m", None, "stable"), "m:'stable'")],
)
def test_a_model_key_reads_as_what_it_asks_for(key, text):
    assert str(key) == text


@pytest.mark.parametrize(
    ("dims", "shape", "expected"),
    [
        ((1, 2), None, True),
        ((), (), True),
        ((0, 4), (-1, 4), True),
        ((2,), (), False),
        ((), (-1,), False),
        ((3, 4), (2, -1), False),
    ],
)
def test_a_shape_fits_where_every_fixed_size_is_met(dims, shape, expected):
    assert fits(dims, shape) is expected
