"""A PredictRequest as serialisers write it, scanned in place.

Law: copies no payload and takes no step for a value, so that its time does not grow with the tensors. Whatever is out
of the ordinary (unknown fields, merged submessages, unpacked values) is left to `wire.unusual`, with which it must
agree; what both do alike stands there.
"""

from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from proxy.core import bounds
from proxy.core.types import DTYPES, ModelKey, RequestView, Shape, TensorView
from proxy.wire import numbers
from proxy.wire.fields import Parts, TooComplexError, hop_strings
from proxy.wire.preemption import let_others_run
from proxy.wire.protos import model_pb2, tensor_shape_pb2
from proxy.wire.unusual import HEAD, SHORT, key_of, look_into_content
from proxy.wire.wire_format import (
    ALIAS_TAG,
    CONTENT_TAG,
    CONTINUED,
    DTYPE_TAG,
    HALF_VAL_TAG,
    INPUTS_TAG,
    INT_VAL_TAG,
    LOOKED_INTO,
    MAX_INT32,
    MODEL_SPEC_TAG,
    OUTPUT_FILTER_TAG,
    PACKED,
    SECOND_OCTET,
    SHAPE_TAG,
    STRING_VAL_TAG,
    TENSOR_TAG,
    VERSION_NUMBER_TAG,
    Octets,
    UnusualError,
    read_varint,
)

_INPUT_COSTS: Final = 1024
"""Octets of values that take as long to look at as an input."""

_STEP: Final = 256
_NO_COUNTS: Final[dict[str, int]] = {}


def scan(data: Octets, parts: Parts | None) -> RequestView:
    """The view of a serialised PredictRequest; without `parts` only its inputs and outputs are counted.

    Raises TooComplexError; UnusualError, IndexError or UnicodeDecodeError for what is left to others.
    """
    spec: tuple[ModelKey, str] | None = None
    inputs: dict[str, TensorView] = {}
    outputs: list[str] = []
    room = bounds.MAX_INPUTS
    pos, end = 0, len(data)
    while pos < end:
        tag = data[pos]
        length, start = read_varint(data, pos + 1)
        pos = start + length
        if pos > end:
            raise UnusualError
        if tag == INPUTS_TAG:
            room -= 1
            if room < 0:
                raise TooComplexError("inputs", bounds.MAX_INPUTS)
            if room % _STEP == 0:
                let_others_run()
            if parts is not None:
                parts.look_at(_INPUT_COSTS)
            view = _scan_entry(data, start, pos, parts)
            inputs[view.alias] = view
        elif tag == MODEL_SPEC_TAG and spec is None:
            spec = _spec_from_bytes(data[start:pos]) if length <= SHORT else None
            if spec is None:
                raise UnusualError
        elif tag == OUTPUT_FILTER_TAG:
            if len(outputs) == bounds.MAX_INPUTS:
                raise TooComplexError("outputs in output_filter", bounds.MAX_INPUTS)
            if parts is not None:
                parts.take_name(length)
            outputs.append(data[start:pos].decode())
        else:
            raise UnusualError
    key, signature = spec or (None, "")
    return RequestView(key, signature, tuple(inputs.values()), tuple(outputs))


@lru_cache(maxsize=1024)
def _spec_from_bytes(data: bytes) -> tuple[ModelKey, str] | None:
    """The model_spec of these bytes; clients repeat it in every request."""
    try:
        return key_of(model_pb2.ModelSpec.FromString(data))
    except DecodeError:
        return None


@lru_cache(maxsize=1024)
def _shape_from_bytes(data: bytes) -> tuple[Shape, bool] | None:
    """The dimensions of a serialised TensorShapeProto, and its unknown_rank; shapes repeat as well."""
    try:
        shape = tensor_shape_pb2.TensorShapeProto.FromString(data)
    except DecodeError:
        return None
    return tuple(dim.size for dim in shape.dim), shape.unknown_rank


def _scan_entry(data: Octets, pos: int, end: int, parts: Parts | None) -> TensorView:
    """Scan one map entry of `inputs`: the alias (1), then the tensor (2), each at most once."""
    alias = ""
    if pos < end and data[pos] == ALIAS_TAG:
        length, start = read_varint(data, pos + 1)
        pos = start + length
        if pos > end:
            raise UnusualError
        if parts is not None:
            parts.take_name(length)
        alias = data[start:pos].decode()
    if pos == end:
        return TensorView(alias, 0)
    if data[pos] != TENSOR_TAG:
        raise UnusualError
    length, start = read_varint(data, pos + 1)
    if start + length != end:
        raise UnusualError
    return _scan_tensor(alias, data, start, end, parts)


def _scan_tensor(alias: str, data: Octets, pos: int, end: int, parts: Parts | None) -> TensorView:
    view = TensorView(alias, 0, counts=_NO_COUNTS)
    counts = _NO_COUNTS
    shaped = versioned = False
    content = ints = halves = slice(0, 0)
    while pos < end:
        at = pos
        tag = data[pos]
        length, start = read_varint(data, pos + 1)
        if tag == DTYPE_TAG:
            if view.dtype or not 0 < length <= MAX_INT32:
                raise UnusualError
            view.dtype = length
            pos = start
            continue
        if tag == VERSION_NUMBER_TAG:
            if versioned:
                raise UnusualError
            versioned = True
            pos = start
            continue
        if tag >= CONTINUED:  # what was read as the length is the second octet of the tag
            if tag not in PACKED or data[pos + 1] != SECOND_OCTET:
                raise UnusualError
            length, start = read_varint(data, pos + 2)
        pos = start + length
        if pos > end:
            raise UnusualError
        if tag == SHAPE_TAG:
            shape = _shape_from_bytes(data[start:pos]) if not shaped and length <= SHORT else None
            if shape is None:
                raise UnusualError
            view.dims, view.unknown_rank = shape
            if parts is not None:
                parts.take_dims(len(view.dims))
            shaped = True
        elif tag == CONTENT_TAG:
            if content.stop:
                raise UnusualError
            content = slice(start, pos)
        elif tag == STRING_VAL_TAG:
            if counts is _NO_COUNTS:
                counts = {}
            if "string_val" in counts:
                raise UnusualError
            view.head, view.string_length = data[start : min(pos, start + HEAD)], length
            pos, number = hop_strings(data, at, end, parts or Parts())
            counts["string_val"] = number
        else:
            name, width = PACKED.get(tag) or _unusual()
            if name in counts or length == 0:
                raise UnusualError
            if counts is _NO_COUNTS:
                counts = {}
            if width:
                number, rest = divmod(length, width)
            else:
                if parts is not None:
                    parts.look_at(length)
                values, rest = numbers.count_varints(*_in_bytes(data, start, pos)), 0
                if values is None:
                    raise UnusualError
                number = values
            if rest:
                raise UnusualError
            counts[name] = number
            if tag == INT_VAL_TAG:
                ints = slice(start, pos)
            elif tag == HALF_VAL_TAG:
                halves = slice(start, pos)
    if pos != end:
        raise UnusualError
    view.counts = counts
    kind = DTYPES.get(view.dtype)
    view.content_length = content.stop - content.start
    if view.content_length:
        if view.dtype in LOOKED_INTO:
            if parts is None:
                parts = Parts()
            else:
                parts.look_at(view.content_length)
            look_into_content(view, *_in_bytes(data, content.start, content.stop), parts)
    elif kind is not None and kind.low is not None and kind.field in counts:
        place = ints if kind.field == "int_val" else halves
        view.wraps = not numbers.varints_fit(kind, *_in_bytes(data, place.start, place.stop))
    return view


def _unusual() -> tuple[str, int]:
    raise UnusualError


def _in_bytes(data: Octets, start: int, stop: int) -> tuple[bytes, int, int]:
    """The same octets without a copy where that can be."""
    return (data, start, stop) if type(data) is bytes else (data[start:stop], 0, stop - start)
