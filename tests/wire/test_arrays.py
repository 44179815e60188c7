"""Arrays become the tensors that tf.make_tensor_proto would make of them."""

import ml_dtypes
import numpy as np
import pytest

from proxy.core.types import DTYPES, dtype_name
from proxy.wire.arrays import tensor_of
from proxy.wire.protos import types_pb2

NUMPY_KINDS = (
    *(np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64),
    *(np.float16, np.float32, np.float64, np.complex64, np.complex128),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4),
)


@pytest.mark.parametrize("kind", NUMPY_KINDS, ids=lambda kind: np.dtype(kind).name)
def test_numbers_travel_as_their_bytes_under_the_dtype_of_the_same_name(kind):
    array = np.arange(6).reshape(2, 3).astype(kind)
    proto = tensor_of(array)
    assert dtype_name(proto.dtype) == np.dtype(kind).name
    assert [dim.size for dim in proto.tensor_shape.dim] == [2, 3]
    assert proto.tensor_content == array.tobytes()
    assert len(proto.tensor_content) == 6 * DTYPES[proto.dtype].size


def test_a_transposed_array_is_written_in_c_order():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    assert tensor_of(array).tensor_content == bytes([0, 3, 1, 4, 2, 5])


def test_a_big_endian_array_is_written_little_endian():
    proto = tensor_of(np.array([1], dtype=">i4"))
    assert (proto.dtype, proto.tensor_content) == (types_pb2.DT_INT32, b"\1\0\0\0")


def test_a_scalar_has_a_shape_without_dimensions():
    proto = tensor_of(np.float32(0.5))
    assert proto.HasField("tensor_shape")
    assert not proto.tensor_shape.dim


@pytest.mark.parametrize("kind", ["S2", "U2", object])
def test_strings_go_into_string_val(kind):
    proto = tensor_of(np.array([["a", "bc"]]).astype(kind))
    assert (proto.dtype, list(proto.string_val)) == (types_pb2.DT_STRING, [b"a", b"bc"])
    assert [dim.size for dim in proto.tensor_shape.dim] == [1, 2]


def test_bytes_in_an_object_array_keep_their_zeros():
    assert list(tensor_of(np.array([b"a\0\0"], dtype=object)).string_val) == [b"a\0\0"]


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros(2, "M8[s]"), "datetime64"),
        (np.zeros(2, [("a", "f4")]), "no tensors of"),
        (np.array([None], dtype=object), "not NoneType"),
    ],
)
def test_what_tensorflow_has_no_tensor_for_is_said(array, problem):
    with pytest.raises(ValueError, match=problem):
        tensor_of(array)
