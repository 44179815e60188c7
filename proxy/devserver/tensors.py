"""TensorProto ↔ tensor, by TensorFlow's own parser on the way in.

Law: what the genuine server accepts silently is accepted silently (measured, sections F to H); this file only
says which alias could not be parsed.
"""

from typing import Final

from proxy.devserver.protos import tensor_pb2, types_pb2
from proxy.devserver.runtime import INVALID_ARGUMENT, UNIMPLEMENTED, Tensor, TensorFlowError

# dtype → (the field that Tensor::AsProtoField fills, the format of one stored value, as in `struct`).
# Complex numbers are two values each; half and bfloat16 travel as their 16 bits.
_FIELDS: Final[dict[int, tuple[str, str]]] = {
    types_pb2.DT_FLOAT: ("float_val", "f"),
    types_pb2.DT_DOUBLE: ("double_val", "d"),
    types_pb2.DT_INT32: ("int_val", "i"),
    types_pb2.DT_UINT8: ("int_val", "B"),
    types_pb2.DT_INT16: ("int_val", "h"),
    types_pb2.DT_INT8: ("int_val", "b"),
    types_pb2.DT_COMPLEX64: ("scomplex_val", "f"),
    types_pb2.DT_INT64: ("int64_val", "q"),
    types_pb2.DT_BOOL: ("bool_val", "?"),
    types_pb2.DT_QINT8: ("int_val", "b"),
    types_pb2.DT_QUINT8: ("int_val", "B"),
    types_pb2.DT_QINT32: ("int_val", "i"),
    types_pb2.DT_BFLOAT16: ("half_val", "H"),
    types_pb2.DT_QINT16: ("int_val", "h"),
    types_pb2.DT_QUINT16: ("int_val", "H"),
    types_pb2.DT_UINT16: ("int_val", "H"),
    types_pb2.DT_COMPLEX128: ("dcomplex_val", "d"),
    types_pb2.DT_HALF: ("half_val", "H"),
    types_pb2.DT_UINT32: ("uint32_val", "I"),
    types_pb2.DT_UINT64: ("uint64_val", "Q"),
}
_NARROW: Final[dict[int, tuple[int, int]]] = {
    types_pb2.DT_INT4: (-8, 15),
    types_pb2.DT_UINT4: (0, 15),
    types_pb2.DT_INT2: (-2, 3),
    types_pb2.DT_UINT2: (0, 3),
}
"""Integers smaller than an octet: the least one and the mask of those bits of the octet that count."""
_BELOW_FLOAT16: Final = frozenset(
    {
        types_pb2.DT_FLOAT8_E5M2,
        types_pb2.DT_FLOAT8_E4M3FN,
        types_pb2.DT_FLOAT8_E4M3FNUZ,
        types_pb2.DT_FLOAT8_E4M3B11FNUZ,
        types_pb2.DT_FLOAT8_E5M2FNUZ,
        types_pb2.DT_FLOAT4_E2M1FN,
    }
)
"""Their field is one string with an octet for each value (tensor.proto)."""


def parse(alias: str, proto: tensor_pb2.TensorProto) -> Tensor:
    """Make the tensor of one input.

    Raises:
        TensorFlowError: INVALID_ARGUMENT, with the one text that the genuine server has for every cause.
    """
    try:
        return Tensor.from_proto(proto.SerializeToString())
    except TensorFlowError:
        raise TensorFlowError(INVALID_ARGUMENT, f"tensor parsing error: {alias}") from None


def fill(proto: tensor_pb2.TensorProto, tensor: Tensor) -> None:
    """Write the tensor into `proto` with one `*_val` element per value, as the genuine server answers.

    Raises:
        TensorFlowError: UNIMPLEMENTED for a dtype without such a field (resource, variant).
    """
    proto.dtype = tensor.dtype
    proto.tensor_shape.SetInParent()
    for size in tensor.shape:
        proto.tensor_shape.dim.add(size=size)
    if tensor.dtype == types_pb2.DT_STRING:
        proto.string_val.extend(tensor.strings)
        return
    if tensor.dtype in _BELOW_FLOAT16:
        proto.float8_val = bytes(tensor.values("B"))
        return
    if tensor.dtype in _NARROW:
        least, mask = _NARROW[tensor.dtype]
        proto.int_val.extend(((value - least) & mask) + least for value in tensor.values("B"))
        return
    try:
        field, value = _FIELDS[tensor.dtype]
    except KeyError:
        dtype = types_pb2.DataType.Name(tensor.dtype)
        raise TensorFlowError(UNIMPLEMENTED, f"the dev server cannot answer with a {dtype} tensor") from None
    getattr(proto, field).extend(tensor.values(value))
