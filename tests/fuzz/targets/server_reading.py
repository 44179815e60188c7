"""What TensorFlow's own C++ reads in a PredictRequest, which is what TF Serving runs, and what our readers see of it.

The op DecodeProtoV2 with `sanitize` parses a message by protobuf in C++ and serialises it again. The generated class of
PredictRequest is in no TensorFlow wheel; its descriptor is, and by it a DynamicMessage of the same library is made.
What comes out is plain: each input once more or the last of its name, merged, known fields first. Then TensorFlow
makes a tensor of each input (`Tensor::FromProto`), as its server does.

They may differ in this, and for a reason:
- Tags of more than 32 bits in a model_spec or a shape, and a field of number 0 in a group there: those messages are read by
  protobuf in Python, which takes these two otherwise. C++ cuts such tags, and the request is refused as malformed here;
  it refuses such groups, and here they say nothing, so that the server is the one who refuses. No serialiser writes either,
  and no request is read as another by it.
- Bounds: what has too many parts (`core.bounds`) is refused without being read. Inputs here are too short for it.
- Values: TensorFlow makes a tensor of what the judge refuses: padded, cut, filled, wrapped. The other way never: what is
  admitted by a signature of that dtype and any shape, TensorFlow can make a tensor of, of that dtype and shape.
"""

import os
from math import prod

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow as tf
from google.protobuf import descriptor_pb2

from proxy.core.policy import Policy
from proxy.core.types import DT_RESOURCE, DT_VARIANT, DTYPES, RequestView, Servable, Signature, TensorSpec
from proxy.core.validate import judge
from proxy.devserver.runtime import Tensor, TensorFlowError
from proxy.wire.fields import MalformedRequestError
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict
from proxy.wire.unusual import read_predict
from tests.fuzz.messages import requests as seeds  # noqa: F401
from tests.property.reference import parse_fully
from tests.property.test_scanner import LONG_TAG, ZERO_IN_A_GROUP, outcome
from tests.property.wire import length_delimited

_FIELDS = {"model_spec": 1, "inputs": 2, "output_filter": 3}
_LARGEST = 4096
"""Elements of a tensor that is made: one value may stand for any number of them."""


def _descriptors() -> bytes:
    found, seen = descriptor_pb2.FileDescriptorSet(), set()

    def add(file) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for each in file.dependencies:
                add(each)
            file.CopyToProto(found.file.add())

    add(predict_pb2.DESCRIPTOR)
    return b"bytes://" + found.SerializeToString()


_SOURCE = _descriptors()


def _plain(data: bytes) -> bytes | None:
    """The request as C++ writes it that has read it; None where it cannot read it."""
    try:
        sizes, values = tf.raw_ops.DecodeProtoV2(
            bytes=data,
            message_type="tensorflow.serving.PredictRequest",
            field_names=list(_FIELDS),
            output_types=[tf.string] * len(_FIELDS),
            descriptor_source=_SOURCE,
            message_format="binary",
            sanitize=True,
        )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        return None
    return b"".join(
        length_delimited(number, content)
        for number, count, found in zip(_FIELDS.values(), sizes.numpy(), values, strict=True)
        for content in found.numpy()[:count]
    )


def check(data: bytes) -> None:
    plain = _plain(data)
    expected = MalformedRequestError if plain is None else outcome(parse_fully, plain)
    read = outcome(read_predict, data)
    assert outcome(parse_predict, data) == read
    if read != expected:
        refused = read is MalformedRequestError and LONG_TAG.search(data)
        assert refused or (plain is None and ZERO_IN_A_GROUP.search(data))
    elif plain is not None:
        _check_tensors(data, plain)


def _check_tensors(data: bytes, plain: bytes) -> None:
    """What TensorFlow can make nothing of is refused, and what is admitted becomes what the client meant."""
    view = parse_predict(data)
    request = predict_pb2.PredictRequest.FromString(plain)
    assert {each.alias for each in view.inputs} == set(request.inputs)
    for tensor in view.inputs:
        kind = DTYPES.get(tensor.dtype)
        if kind is None or prod(tensor.dims) > _LARGEST:
            continue
        made = _made(request.inputs[tensor.alias].SerializeToString())
        spec = TensorSpec(tensor.alias, tensor.dtype, None)
        signature = Signature("serving_default", "", {tensor.alias: spec}, {})
        alone = RequestView(view.key, "", (tensor,))
        refused = judge(alone, Servable("m", 1, {signature.name: signature}), Policy()).violations
        if refused:
            continue
        assert made is not None, "admitted, and TensorFlow can make no tensor of it"
        assert (made.dtype, made.shape) == (tensor.dtype, tensor.dims)
        if kind.number in {DT_RESOURCE, DT_VARIANT}:
            continue
        counted = tensor.counts.get(kind.field, 0) // kind.per_element
        assert tensor.content_length or counted in {1, prod(tensor.dims)} or not prod(tensor.dims)


def _made(serialized: bytes) -> Tensor | None:
    try:
        return Tensor.from_proto(serialized)
    except TensorFlowError:
        return None
