"""Steps are obeyed to the letter, and refused where a value would be invented, rounded away or dropped."""

import numpy as np
import pytest

from proxy.wire.arrays import tensor_of
from proxy.wire.mended import CannotApplyError, mended
from proxy.wire.tensors import array_of
from tests.judging import predict, tensor


def after(proto, *steps):
    return mended(predict(x=proto), [{"input": "x", **step} for step in steps]).inputs["x"]


def test_the_request_itself_is_left_as_it_is():
    request = predict(x=tensor("float32", (3,)))
    before = request.SerializeToString(deterministic=True)
    mended(request, [{"do": "expand_dims", "input": "x", "axis": 0}, {"do": "drop_input", "input": "x"}])
    assert request.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("dtype", ["float32", "uint8", "complex64"])
def test_a_transpose_moves_elements_in_either_encoding(dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    in_field = tensor_of(values)
    in_field.tensor_content = b""
    field = {"float32": "float_val", "uint8": "int_val", "complex64": "scomplex_val"}[dtype]
    parts = values.view("f4") if dtype == "complex64" else values
    getattr(in_field, field).extend(parts.ravel().tolist())
    for proto in (tensor_of(values), in_field):
        moved = after(proto, {"do": "transpose", "axes": [2, 0, 1]})
        np.testing.assert_array_equal(array_of(moved), values.transpose(2, 0, 1))
        assert bool(moved.tensor_content) == bool(proto.tensor_content)


def test_strings_are_transposed_too():
    values = np.array([[b"a", b"b"], [b"c", b"d"]], object)
    moved = after(tensor_of(values), {"do": "transpose", "axes": [1, 0]})
    assert list(moved.string_val) == [b"a", b"c", b"b", b"d"]


def test_one_value_that_stands_for_all_stays_one():
    moved = after(tensor("float32", (2, 3), float_val=[7]), {"do": "transpose", "axes": [1, 0]})
    assert list(moved.float_val) == [7]
    assert [dim.size for dim in moved.tensor_shape.dim] == [3, 2]


def test_two_inputs_can_exchange_their_names():
    request = predict(a=tensor("float32", (1,)), b=tensor("int64", (2,)))
    result = mended(request, [{"do": "rename_inputs", "names": {"a": "b", "b": "a"}}])
    assert result.inputs["a"] == request.inputs["b"]
    assert result.inputs["b"] == request.inputs["a"]


def test_outputs_are_counted_as_they_were_sent():
    request = predict("m", "", ["a", "b", "c", "a"])
    steps = [
        {"do": "drop_output", "index": 0},
        {"do": "rename_output", "index": 2, "to": "z"},
        {"do": "drop_output", "index": 1},
    ]
    assert list(mended(request, steps).output_filter) == ["z", "a"]


@pytest.mark.parametrize(
    ("values", "to"),
    [
        (np.array([300]), "uint8"),
        (np.array([-1]), "uint32"),
        (np.array([1.5]), "int64"),
        (np.array([np.nan]), "int64"),
        (np.array([1e300]), "float32"),
        (np.array([2**24 + 1]), "float32"),
        (np.array([2]), "bool"),
        (np.array([1.0]), "bfloat16"),
        (np.array([b"1"], object), "float32"),
    ],
)
def test_a_cast_that_loses_a_value_is_refused(values, to):
    with pytest.raises(CannotApplyError):
        after(tensor_of(values), {"do": "cast", "dtype": to})


def test_a_cast_between_floats_rounds_as_numpy_does():
    cast = after(tensor_of(np.array([0.1, np.inf])), {"do": "cast", "dtype": "float32"})
    np.testing.assert_array_equal(array_of(cast), np.array([0.1, np.inf], np.float32))


@pytest.mark.parametrize(
    ("proto", "target"),
    [
        (tensor("int32", (1,), int64_val=[2**40]), "int_val"),
        (tensor("bool", (1,), int_val=[2]), "bool_val"),
    ],
)
def test_values_that_another_field_cannot_hold_are_not_moved(proto, target):
    source = "int64_val" if proto.int64_val else "int_val"
    with pytest.raises(CannotApplyError):
        after(proto, {"do": "move_values", "source": source, "target": target})


@pytest.mark.parametrize(
    "step",
    [
        {"do": "resize", "input": "x", "height": 3, "width": 4},
        {"do": "split_batch", "size": 4},
        {"do": "something new", "input": "x"},
        {"do": "drop_input", "input": "y"},
        {"do": "reshape", "input": "x", "shape": [7]},
        {"do": "rename_inputs", "names": {"x": "other"}},
        {"do": "rename_inputs", "names": {"x": "z", "other": "z"}},
        {"do": "rename_inputs", "names": {"nobody": "z"}},
    ],
    ids=str,
)
def test_what_only_the_client_can_do_or_nobody_is_refused_in_words(step):
    request = predict(x=tensor("float32", (3,)), other=tensor("float32", (3,)))
    with pytest.raises(CannotApplyError, match=r"\w+"):
        mended(request, [step])


def test_strings_in_tensor_content_are_not_taken_apart():
    proto = tensor("string", (2, 1), tensor_content=b"\x01\x01ab")
    with pytest.raises(CannotApplyError, match="strings in tensor_content"):
        after(proto, {"do": "transpose", "axes": [1, 0]})
