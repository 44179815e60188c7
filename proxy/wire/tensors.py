"""TensorProto → numpy array, as TensorFlow reads it (`tensor.cc`, `FromProto`); the inverse of arrays.py.

Law: for commands that compare or learn, never for traffic. numpy is imported on use.
"""

from math import prod
from typing import TYPE_CHECKING, Any, Final

from proxy.core.types import DT_STRING, DTYPES
from proxy.wire.protos import tensor_pb2

if TYPE_CHECKING:
    import numpy as np

_BFLOAT16: Final = 14
_HALF_VAL: Final = "half_val"


def array_of(proto: tensor_pb2.TensorProto) -> "np.ndarray[Any, Any]":
    """The array in `proto`; strings as objects, bfloat16 as float32, which holds every value of it.

    A last value stands for those that are missing, as in TensorFlow. Raises ValueError for dtypes that numpy has
    not, string tensors in `tensor_content`, and payloads that do not fit their shape.
    """
    dims = tuple(dim.size for dim in proto.tensor_shape.dim)
    if min(dims, default=0) < 0:
        raise ValueError(f"shape {list(dims)} is none")
    return _filled(values_of(proto), dims, b"" if proto.dtype == DT_STRING else 0)


def values_of(proto: tensor_pb2.TensorProto) -> "np.ndarray[Any, Any]":
    """The values in `proto` in a row, as many as were sent; dtypes and ValueError as of `array_of`."""
    import numpy as np  # not needed to run the proxy

    kind = DTYPES.get(proto.dtype)
    if kind is None:
        raise ValueError(f"dtype {proto.dtype} is none")
    if proto.dtype == DT_STRING:
        if proto.tensor_content:
            raise ValueError("strings in tensor_content")
        return np.array([*proto.string_val, None], dtype=object)[:-1]
    bits = np.dtype("<u2") if proto.dtype == _BFLOAT16 else numpy_dtype(kind.name)
    if proto.tensor_content:
        values = np.frombuffer(proto.tensor_content, bits)
    else:
        field = getattr(proto, kind.field)
        if kind.field == _HALF_VAL and kind.name in {"float16", "bfloat16"}:
            # The bits of each; clients also write them as negative shorts.
            values = (np.array(field, np.int64) & 0xFFFF).astype("<u2").view(bits)
        elif kind.per_element == 2:
            part = np.float32 if bits.itemsize == 8 else np.float64
            values = np.array(field, part).view(bits)
        else:
            values = np.array(field, bits)
    if proto.dtype == _BFLOAT16:
        values = (values.astype("<u4") << 16).view("<f4")
    return values


def numpy_dtype(name: str) -> "np.dtype[Any]":
    """The dtype of that name that numpy itself has, little-endian. Raises ValueError where it has none."""
    import numpy as np

    try:
        dtype = np.dtype(name)
    except TypeError:
        raise ValueError(f"numpy has no {name}") from None
    # ml_dtypes, where something loads it, teaches numpy more: what can be read must not depend on that.
    if dtype.isbuiltin != 1:
        raise ValueError(f"numpy itself has no {name}")
    return dtype.newbyteorder("<")


def _filled(values: "np.ndarray[Any, Any]", dims: tuple[int, ...], nothing: object) -> "np.ndarray[Any, Any]":
    import numpy as np

    count = prod(dims)
    if values.size > count:
        raise ValueError(f"{values.size} values in a shape of {count}")
    if values.size < count:
        last = values[-1] if values.size else nothing
        whole = np.empty(count, values.dtype)
        whole[: values.size] = values
        whole[values.size :] = last
        values = whole
    return values.reshape(dims)
