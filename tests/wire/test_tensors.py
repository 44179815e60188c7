"""A TensorProto becomes the array that TensorFlow would make of it."""

import numpy as np
import pytest

from proxy.core.types import DTYPES
from proxy.wire.arrays import tensor_of
from proxy.wire.protos import tensor_pb2
from proxy.wire.tensors import array_of


def proto(dtype, dims, **fields):
    made = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in dims:
        made.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize(
    "dtype",
    [
        *("float32", "float64", "float16", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "complex64", "complex128", "bool"),
    ],
)
def test_content_comes_back_as_it_was(dtype):
    array = np.arange(-3, 3).reshape(2, 3).astype(dtype)
    back = array_of(tensor_of(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


NUMBERS = {kind.name: kind.number for kind in DTYPES.values()}


@pytest.mark.parametrize(
    ("dtype", "fields", "values"),
    [
        ("float32", {"float_val": [1.5, -2.0]}, [1.5, -2.0]),
        ("float64", {"double_val": [1.5, -2.0]}, [1.5, -2.0]),
        ("int8", {"int_val": [1, -2]}, [1, -2]),
        ("uint8", {"int_val": [1, 255]}, [1, 255]),
        ("int64", {"int64_val": [1, -(2**63)]}, [1, -(2**63)]),
        ("uint64", {"uint64_val": [1, 2**64 - 1]}, [1, 2**64 - 1]),
        ("bool", {"bool_val": [True, False]}, [True, False]),
        ("float16", {"half_val": [0x3C00, 0xC000]}, [1.0, -2.0]),
        ("bfloat16", {"half_val": [0x3F80, 0xC000]}, [1.0, -2.0]),
        ("bfloat16", {"tensor_content": b"\x80\x3f\x00\xc0"}, [1.0, -2.0]),
        ("complex64", {"scomplex_val": [1, 2, 3, -4]}, [1 + 2j, 3 - 4j]),
        ("complex128", {"dcomplex_val": [1, 2, 3, -4]}, [1 + 2j, 3 - 4j]),
        ("string", {"string_val": [b"a", b"b\0"]}, [b"a", b"b\0"]),
    ],
)
def test_values_come_back(dtype, fields, values):
    assert array_of(proto(NUMBERS[dtype], (2,), **fields)).tolist() == values


def test_one_value_fills_the_tensor_and_none_is_zero():
    assert array_of(proto(1, (2, 2), float_val=[3])).tolist() == [[3, 3], [3, 3]]
    assert array_of(proto(1, (3,), float_val=[1, 2])).tolist() == [1, 2, 2]
    assert array_of(proto(3, (2,))).tolist() == [0, 0]
    assert array_of(proto(7, (2,), string_val=[b"x"])).tolist() == [b"x", b"x"]
    assert array_of(proto(1, (), float_val=[3])).shape == ()
    assert array_of(proto(1, (0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    "broken",
    [
        proto(0, (1,)),
        proto(1, (-1,)),
        proto(1, (1,), float_val=[1, 2]),
        proto(1, (1,), tensor_content=b"123"),
        proto(7, (1,), tensor_content=b"\1a"),
        proto(24, (1,), tensor_content=b"1"),
    ],
)
def test_what_is_no_array_is_a_value_error(broken):
    with pytest.raises(ValueError):
        array_of(broken)
