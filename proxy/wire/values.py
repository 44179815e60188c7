"""PredictRequest bytes → what its values show, for policies that ask about meaning.

Law: only extracts; what is wrong is for `core.values` to say. Needs numpy, which is imported on use, because only
such policies need it. One copy of the payload is made by the parser, none here.
"""

import base64
import binascii
import re
from math import prod
from typing import Any, Final

from google.protobuf.message import DecodeError

from proxy.core.mending.dtypes import string_kind
from proxy.core.types import DT_STRING, DTYPES, IN_NUMPY, DType
from proxy.core.values import ValueFacts
from proxy.wire.fields import MalformedRequestError, Parts, fields
from proxy.wire.protos import tensor_pb2
from proxy.wire.wire_format import ALIAS, INPUTS, LENGTH, TENSOR, UnusualError, read_varint

# isort: split
from tensorflow.core.example import example_pb2

_HEAD: Final = 48
_BASE64_LOOKED_AT: Final = 4096
_STRINGS_LOOKED_AT: Final = 8192
_BASE64 = re.compile(rb"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9+/=_-])[A-Za-z0-9+/_-]{16,}={0,2}", re.DOTALL)


def require_numpy() -> None:
    """Raise ModuleNotFoundError with what to do where numpy is missing."""
    try:
        import numpy  # noqa: F401, ICN001
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "looking at values needs numpy: pip install 'tfs-proxy[values]'", name="numpy"
        ) from error


def value_facts(message: bytes) -> list[ValueFacts]:
    """The facts of every tensor in a serialised PredictRequest, which must be readable.

    Raises MalformedRequestError where the server can read a tensor that cannot be read here.
    """
    return [
        _strings(alias, tensor)
        if tensor.dtype == DT_STRING
        else _numbers(alias, tensor, DTYPES[tensor.dtype])
        for alias, tensor in _inputs(message).items()
        if tensor.dtype in DTYPES
    ]


def _inputs(message: bytes) -> dict[str, Any]:
    """The tensors that the server sees: an entry is one whatever else stands in it, and the last of a name counts.

    Entries are found by hand, as `wire.unusual` does; protobuf in Python drops some that protobuf in C++ takes.
    """
    found: dict[str, Any] = {}
    try:
        for number, kind, start, stop in fields(message, 0, len(message), Parts(), 0):
            if number == INPUTS and kind == LENGTH:
                alias, tensor = "", tensor_pb2.TensorProto()
                for part, form, begin, end in fields(message, start, stop, Parts(), 1):
                    if form == LENGTH and part == ALIAS:
                        alias = message[begin:end].decode()
                    elif form == LENGTH and part == TENSOR:
                        tensor.MergeFromString(memoryview(message)[begin:end])
                found[alias] = tensor
    except DecodeError as error:
        raise MalformedRequestError("not a readable tensorflow.TensorProto") from error
    return found


def _numbers(alias: str, tensor: Any, kind: DType) -> ValueFacts:
    import numpy as np

    values = flat_values(tensor, kind)
    if values is None or values.size == 0:
        return ValueFacts(alias, 0)
    count = values.size
    if tensor.tensor_shape.dim and not tensor.tensor_content:  # one value may stand for many
        count = int(np.prod([dim.size for dim in tensor.tensor_shape.dim], dtype=object))
    constant = bool((values == values[0]).all())
    if values.dtype.kind not in "fiu":  # bool and complex have no range
        finite = bool(np.isfinite(values).all()) if values.dtype.kind == "c" else True
        return ValueFacts(alias, count, finite, constant=constant)
    low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    finite = values.dtype.kind != "f" or bool(np.isfinite(values).all())
    return ValueFacts(alias, count, finite, low, high, constant)


def flat_values(tensor: Any, kind: DType) -> Any:
    """The numbers of a TensorProto as a flat numpy array; None for dtypes that numpy does not know."""
    import numpy as np

    if kind.name == "bfloat16":
        bits = (
            np.frombuffer(tensor.tensor_content, "<u2", len(tensor.tensor_content) // 2)
            if tensor.tensor_content
            else np.array(tensor.half_val)
        )
        return (bits.astype(np.uint32) << 16).view(np.float32)
    if kind.name not in IN_NUMPY:
        return None
    dtype = np.dtype(kind.name).newbyteorder("<")
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype, len(tensor.tensor_content) // dtype.itemsize)
    values = getattr(tensor, kind.field)
    if kind.name == "float16":
        return np.array(values, np.uint16).view(np.float16)
    if kind.per_element == 2:
        pairs = np.array(values[: len(values) // 2 * 2], np.float64)
        return pairs[0::2] + 1j * pairs[1::2]
    return np.array(values)


def _strings(alias: str, tensor: Any) -> ValueFacts:
    strings = _encoded_strings(tensor) if tensor.tensor_content else tensor.string_val
    strings = strings[:_STRINGS_LOOKED_AT]
    kinds = [string_kind(each[:_HEAD]) for each in strings]
    return ValueFacts(
        alias,
        len(strings),
        strings=len(strings),
        images=sum("image" in kind for kind in kinds),
        examples=sum(map(_is_example, strings)),
        base64=sum(map(_looks_base64, strings)),
        kind=next((kind for kind in kinds if "image" not in kind), ""),
    )


def _encoded_strings(tensor: Any) -> list[bytes]:
    """The strings of `tensor_content`: all lengths as varints, then all bytes (`EncodeStringList`, tensor_coding.cc).

    None of them where the content is something else: TensorFlow refuses that in its own words.
    """
    content, lengths, position = tensor.tensor_content, [], 0
    for _ in range(prod(dim.size for dim in tensor.tensor_shape.dim)):
        try:
            length, position = read_varint(content, position)
        except (IndexError, UnusualError):
            return []
        lengths.append(length)
    if position + sum(lengths) != len(content):
        return []
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings


def _is_example(string: bytes) -> bool:
    """Whether a string parses as a tf.train.Example that has features."""
    try:
        return len(example_pb2.Example.FromString(string).features.feature) > 0
    except DecodeError:
        return False


def _looks_base64(string: bytes) -> bool:
    """Whether a string is the base64 text of bytes that are no text themselves."""
    start = string[:_BASE64_LOOKED_AT]
    if not _BASE64.fullmatch(start):
        return False
    start = start[: len(start) // 4 * 4]
    try:
        decoded = base64.b64decode(start.translate(bytes.maketrans(b"-_", b"+/")))
    except binascii.Error:
        return False
    return bool(string_kind(decoded[:_HEAD])) or any(byte < 9 for byte in decoded)
