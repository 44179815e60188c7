"""A message that fits a skeleton is read as the message that the skeleton was made of."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.types import DTYPES
from proxy.wire.pieces import Pieces
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict
from proxy.wire.skeleton import key_of, skeleton_of

NUMBERS = [kind for kind in DTYPES.values() if kind.size and kind.name != "bool"]


@st.composite
def requests(draw) -> predict_pb2.PredictRequest:
    """Requests with up to three tensors of numbers, whose payloads are in tensor_content or in *_val."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw(st.sampled_from(["m", "a longer name"]))
    if draw(st.booleans()):
        request.model_spec.version.value = draw(st.integers(0, 300))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["y", "z"]), max_size=2)))
    for alias in draw(st.lists(st.sampled_from(["x", "image", "ids"]), min_size=1, max_size=3, unique=True)):
        tensor = request.inputs[alias]
        kind = draw(st.sampled_from(NUMBERS))
        tensor.dtype = kind.number
        count = draw(st.integers(0, 40))
        tensor.tensor_shape.dim.add(size=count)
        if kind.name == "float32" and draw(st.booleans()):
            tensor.float_val.extend([draw(st.floats(width=32, allow_nan=False))] * count)
        else:
            tensor.tensor_content = draw(st.binary(min_size=count * kind.size, max_size=count * kind.size))
    return request


@given(requests(), st.data())
def test_what_fits_has_the_same_view(request, data):
    message = request.SerializeToString()
    skeleton = skeleton_of(message)
    assert skeleton is not None
    assert skeleton.fits(message)
    position = data.draw(st.integers(0, len(message) - 1))
    changed = bytearray(message)
    changed[position] ^= data.draw(st.integers(1, 255))
    if skeleton.fits(bytes(changed)):
        assert parse_predict(bytes(changed)) == parse_predict(message)


@given(requests(), st.data())
def test_a_message_in_pieces_fits_as_the_whole_does(request, data):
    message = request.SerializeToString()
    skeleton = skeleton_of(message)
    changed = bytearray(message)
    if data.draw(st.booleans()):
        changed[data.draw(st.integers(0, len(message) - 1))] ^= 1
    cuts = sorted(data.draw(st.sets(st.integers(1, len(message) - 1), max_size=8)))
    pieces = [bytes(changed[first:last]) for first, last in pairwise([0, *cuts, len(message)])]
    cut = Pieces(pieces, 0, len(message))
    assert key_of(cut) == key_of(bytes(changed))
    assert skeleton.fits(cut) == skeleton.fits(bytes(changed))


@given(requests(), st.data())
def test_inputs_in_any_order_fit_each_once(request, data):
    aliases = list(request.inputs)
    order = data.draw(st.permutations(aliases))
    again = data.draw(st.lists(st.sampled_from(aliases), min_size=len(aliases), max_size=len(aliases)))

    def with_inputs(names):
        head = predict_pb2.PredictRequest(model_spec=request.model_spec).SerializeToString()
        tail = predict_pb2.PredictRequest(output_filter=request.output_filter).SerializeToString()
        entries = [predict_pb2.PredictRequest(inputs={name: request.inputs[name]}) for name in names]
        return head + b"".join(entry.SerializeToString() for entry in entries) + tail

    skeleton = skeleton_of(request.SerializeToString())
    assert skeleton.fits(with_inputs(order))
    assert skeleton.fits(with_inputs(again)) == (sorted(again) == sorted(aliases))


@given(requests(), st.data())
def test_other_payload_bytes_fit_and_everything_else_does_not(request, data):
    message = request.SerializeToString(deterministic=True)
    skeleton = skeleton_of(message)
    alias = data.draw(st.sampled_from(sorted(request.inputs)))
    tensor = request.inputs[alias]
    assume(tensor.tensor_content)
    tensor.tensor_content = bytes(byte ^ 0xFF for byte in tensor.tensor_content)
    assert skeleton.fits(request.SerializeToString(deterministic=True))
    tensor.tensor_shape.dim[0].size += 1
    assert not skeleton.fits(request.SerializeToString(deterministic=True))


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        (7, lambda tensor: tensor.string_val.append(b"text")),
        (7, lambda tensor: setattr(tensor, "tensor_content", b"\x02ab")),
        (10, lambda tensor: setattr(tensor, "tensor_content", b"\x01")),
        (3, lambda tensor: tensor.int_val.append(300)),
        (19, lambda tensor: tensor.half_val.append(300)),
        (99, lambda tensor: setattr(tensor, "tensor_content", b"1234")),
    ],
    ids=["strings", "encoded strings", "bools", "varints", "halves", "unknown dtype"],
)
def test_a_payload_that_is_looked_into_leaves_no_skeleton(dtype, fill):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = dtype
    fill(request.inputs["x"])
    assert skeleton_of(request.SerializeToString()) is None


@given(st.binary(max_size=100))
def test_no_bytes_make_it_raise(data):
    skeleton = skeleton_of(data)
    assert skeleton is None or skeleton.fits(data)
    key_of(data)
    if len(data) > 2:
        key_of(b"\x0a" + data)


def test_what_is_remembered_is_small_and_holds_no_payload():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_content = bytes(1_000_000)
    skeleton = skeleton_of(request.SerializeToString())
    assert skeleton.octets < 100
    request.output_filter.append("y" * 9000)
    assert skeleton_of(request.SerializeToString()) is None


def test_a_request_of_a_hundred_inputs_is_known_again():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    for number in range(100):
        request.inputs[f"feature_{number}"].dtype = 1
        request.inputs[f"feature_{number}"].tensor_shape.dim.add(size=1)
        request.inputs[f"feature_{number}"].tensor_content = bytes(4)
    assert skeleton_of(request.SerializeToString()) is not None


def test_what_would_not_be_found_again_has_no_skeleton():
    """The name's length is written in two octets where one would do."""
    message = bytes.fromhex("0a030a016d")
    tensor = b"\x08\x01\x12\x04\x12\x02\x08\x01\x22\x04" + bytes(4)
    for alias, known in ((b"\x0a\x01x", True), (b"\x0a\x81\x00x", False)):
        entry = alias + bytes((0x12, len(tensor))) + tensor
        skeleton = skeleton_of(message + bytes((0x12, len(entry))) + entry)
        assert (skeleton is not None) is known
