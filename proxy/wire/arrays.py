"""numpy array → TensorProto, without TensorFlow.

Law: numbers travel as `tensor_content` (C order, little-endian), strings in `string_val`, which is how
`tf.make_tensor_proto` writes them; numpy itself is not imported, the array brings what is needed.
"""

from typing import TYPE_CHECKING, Any, Final

from proxy.core.types import DT_STRING, DTYPES
from proxy.wire.protos import tensor_pb2

if TYPE_CHECKING:
    import numpy as np

_NUMBERS: Final = {dtype.name: dtype.number for dtype in DTYPES.values() if dtype.size}
"""numpy's names are ours; those of ml_dtypes (bfloat16, float8_e5m2, …) too."""


def tensor_of(array: "np.ndarray[Any, Any]") -> tensor_pb2.TensorProto:
    """The TensorProto of `array`; str, bytes and object arrays of these become DT_STRING.

    Raises ValueError for a dtype or an element that TensorFlow has no tensor for.
    """
    proto = tensor_pb2.TensorProto()
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype.kind in "SUO":
        proto.dtype = DT_STRING
        proto.string_val.extend(_string(value) for value in array.ravel().tolist())
        return proto
    number = _NUMBERS.get(array.dtype.name)
    if number is None:
        raise ValueError(f"TensorFlow has no tensors of numpy's {array.dtype}")
    proto.dtype = number
    proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return proto


def _string(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"an object array must hold str or bytes, not {type(value).__name__}")
