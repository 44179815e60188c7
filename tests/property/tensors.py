"""Signatures of any kind, and requests that are right for them in any of the ways TensorFlow allows."""

from math import isfinite

from hypothesis import strategies as st

from proxy.core.types import (
    DT_RESOURCE,
    DT_STRING,
    DT_VARIANT,
    DTYPES,
    DType,
    Servable,
    Signature,
    TensorSpec,
)
from proxy.wire.protos import predict_pb2, tensor_pb2
from tests.property import wire

KINDS = [kind for kind in DTYPES.values() if kind.number not in (DT_RESOURCE, DT_VARIANT)]
"""Every dtype that a client can feed."""

RANGES = {"int_val": (-(2**31), 2**31 - 1), "int64_val": (-(2**63), 2**63 - 1), "half_val": (0, 65535)}
RANGES |= {"uint32_val": (0, 2**32 - 1), "uint64_val": (0, 2**64 - 1)}

kinds = st.sampled_from(KINDS)
names = st.one_of(
    st.sampled_from(("x", "image_tensor", "ids", "input_1:0", "größe", "a b", "")),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)
shapes = st.one_of(st.none(), st.lists(st.sampled_from((-1, -1, 1, 2, 3)), max_size=4).map(tuple))


@st.composite
def signatures(draw: st.DrawFn, name: str = "serving_default") -> Signature:
    aliases = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    inputs = {alias: TensorSpec(alias, draw(kinds).number, draw(shapes), f"{alias}:0") for alias in aliases}
    outputs = {
        alias: TensorSpec(alias, 1, None)
        for alias in draw(st.lists(names, min_size=1, unique=True, max_size=3))
    }
    defaults = frozenset(alias for alias in aliases if draw(st.integers(0, 4)) == 0)
    method = draw(st.sampled_from(("tensorflow/serving/predict", "tensorflow/serving/classify", "")))
    return Signature(name, method, inputs, outputs, defaults)


def values(kind: DType, count: int) -> st.SearchStrategy[list]:
    """`count` values for the `*_val` field of `kind`, all of them inside its range."""
    if kind.number == DT_STRING:
        each = st.sampled_from((b"", b"a", b"a\x00b", b"\xff\xfe\x00", "größe".encode(), b"x" * 130))
    elif kind.field == "bool_val":
        each = st.booleans()
    elif kind.field in RANGES:
        low, high = RANGES[kind.field] if kind.low is None else (kind.low, kind.high)
        each = st.sampled_from((low, high, 0)) | st.integers(low, high)
    else:
        each = st.sampled_from((0.0, -1.5, float("inf"), float("nan"), 3e30))
    return st.lists(each, min_size=count, max_size=count)


def put(tensor: tensor_pb2.TensorProto, kind: DType, found: list) -> None:
    if kind.field == "float8_val":
        tensor.float8_val = bytes(int(value) & 0xFF if isfinite(value) else 0x7F for value in found)
    else:
        getattr(tensor, kind.field).extend(found)


def encoded_strings(strings: list[bytes]) -> bytes:
    """TensorFlow's own encoding of strings in tensor_content: the lengths, then the bytes."""
    return b"".join(wire.varint(len(each)) for each in strings) + b"".join(strings)


@st.composite
def tensors(
    draw: st.DrawFn, spec: TensorSpec, *, smallest: int = 0, encodings=("field", "one value", "content")
):
    """A tensor that `spec` allows. `smallest` is the least size of a free dimension."""
    kind = DTYPES[spec.dtype]
    sizes = st.sampled_from([size for size in (0, 1, 2, 3) if size >= smallest])
    if spec.shape is None:
        dims = draw(st.lists(sizes, max_size=4))
    else:
        dims = [draw(sizes) if size == -1 else size for size in spec.shape]
    tensor = tensor_pb2.TensorProto(dtype=kind.number, version_number=draw(st.sampled_from((0, 0, 1, -1))))
    if dims or draw(st.booleans()):
        tensor.tensor_shape.SetInParent()  # a scalar may leave it out
    count = 1
    for size in dims:
        tensor.tensor_shape.dim.add(size=size, name=draw(st.sampled_from(("", "batch", "größe"))))
        count *= size
    encoding = draw(st.sampled_from(encodings))
    if encoding == "one value":
        put(tensor, kind, draw(values(kind, kind.per_element)))
    elif encoding == "field":
        put(tensor, kind, draw(values(kind, count * kind.per_element)))
    elif kind.number == DT_STRING:
        tensor.tensor_content = encoded_strings(draw(values(kind, count)))
    else:
        content = draw(st.binary(min_size=count * kind.size, max_size=count * kind.size))
        tensor.tensor_content = bytes(each & 1 for each in content) if kind.name == "bool" else content
    return tensor


@st.composite
def valid_requests(draw: st.DrawFn, **how) -> tuple[Servable, predict_pb2.PredictRequest]:
    """A servable and a request that is right for it."""
    name = draw(st.sampled_from(("serving_default", "predict_images")))
    signature = draw(signatures(name))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    if name != "serving_default" or draw(st.booleans()):
        request.model_spec.signature_name = name
    if draw(st.booleans()):
        request.model_spec.version.value = 7
    for alias, spec in signature.inputs.items():
        if alias not in signature.defaults or draw(st.booleans()):
            request.inputs[alias].CopyFrom(draw(tensors(spec, **how)))
    request.output_filter.extend(draw(st.sets(st.sampled_from(sorted(signature.outputs)))))
    return Servable("m", 7, {name: signature, "other": draw(signatures("other"))}), request
