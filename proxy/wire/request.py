"""Request bytes → RequestView: names, dtypes, shapes, payload lengths and counts, and no payload.

Law: reads, never judges; raises MalformedRequestError where TF Serving could not read the message either, and
TooComplexError where looking at all of it would take too long (`core.bounds`). The common encoding of a
PredictRequest is scanned in place, in time that does not grow with its tensors; whatever is out of the ordinary
(unknown fields, merged submessages, unpacked values) is left to `wire.unusual`, with which the scanner must agree.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import DecodeError

from proxy.core import bounds
from proxy.core.types import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    DT_BOOL,
    DT_STRING,
    DTYPES,
    REGRESS_METHOD,
    ModelKey,
    RequestView,
    Shape,
    TensorView,
)
from proxy.wire import numbers
from proxy.wire.fields import (
    ANY,
    LENGTH,
    MalformedRequestError,
    Octets,
    Parts,
    TooComplexError,
    UnusualError,
    fields,
    hop_strings,
    varint,
)
from proxy.wire.protos import classification_pb2, inference_pb2, model_pb2, regression_pb2, tensor_shape_pb2
from proxy.wire.unusual import HEAD, SHORT, key_of, look_into_content, read_predict, spec_from

AT_ONCE: Final = 64 << 10
"""Bytes of an unusual message that are read while other calls wait; a longer one is read beside them."""

_VALUES_AT_ONCE: Final = 4 << 20
"""The same for values that are looked at: varints, bools and lengths of strings. An input counts as some."""
_INPUT_COSTS: Final = 1024

_PARSED_IN_FULL: Final = 256 << 10
"""Bytes of a request with Examples that are parsed, to see whether they are readable."""

_NO_COUNTS: Final[dict[str, int]] = {}

# Tag byte → (field, bytes per value) of packed fields; 0: varints.
_PACKED: Final = {
    0x2A: ("float_val", 4),
    0x32: ("double_val", 8),
    0x3A: ("int_val", 0),
    0x4A: ("scomplex_val", 4),
    0x52: ("int64_val", 0),
    0x5A: ("bool_val", 0),
    0x62: ("dcomplex_val", 8),
    0x6A: ("half_val", 0),
}
# The same for fields 16 to 18, whose tags end in 0x01.
_PACKED_HIGH: Final = {0x82: ("uint32_val", 0), 0x8A: ("uint64_val", 0), 0x92: ("float8_val", 1)}


def parse_predict(data: bytes) -> RequestView:
    """The view of a serialised PredictRequest.

    Raises MalformedRequestError when it cannot be parsed (TF Serving: INTERNAL with an empty text), and
    TooComplexError.
    """
    try:
        return scan_predict(data)
    except UnusualError:
        return read_predict(data)


def parse_predict_at_once(data: bytes) -> RequestView:
    """Read like parse_predict, but raise UnusualError for what takes longer than a glance."""
    if len(data) <= AT_ONCE:
        return parse_predict(data)
    return scan_predict(data, at_once=True)


def scan_predict(data: Octets, *, at_once: bool = False) -> RequestView:
    """Read like parse_predict, but only in place; raises UnusualError for what is left to others."""
    try:
        # In a short message only the inputs can be too many.
        parts = None if len(data) <= AT_ONCE else Parts(_VALUES_AT_ONCE if at_once else ANY)
        return _scan_predict(data, parts)
    except (IndexError, UnicodeDecodeError):
        raise UnusualError from None


def parse_classify(data: bytes) -> RequestView:
    """Read the model_spec of a serialised ClassificationRequest; raises as parse_predict."""
    return _spec_only(classification_pb2.ClassificationRequest, data)


def parse_regress(data: bytes) -> RequestView:
    """Read the model_spec of a serialised RegressionRequest; raises as parse_predict."""
    return _spec_only(regression_pb2.RegressionRequest, data)


def parse_multi_inference(data: bytes) -> Sequence[tuple[RequestView, str]]:
    """Read the tasks of a serialised MultiInferenceRequest that TF Serving would look at, each with its method_name.

    It stops at the first one of another model, with a signature that was there before or of another method than
    classify and regress, and says so clearly (`multi_inference.cc`). All run on the version that the first asks for,
    whatever theirs ask for (`multi_inference_helper.cc`). Raises as parse_predict.
    """
    kind = inference_pb2.MultiInferenceRequest
    found: list[tuple[RequestView, str]] = []
    signatures: set[str] = set()
    stopped = False
    for number, each in enumerate(_submessages(kind, data, "tasks", Parts())):
        if number == bounds.MAX_TASKS:
            raise TooComplexError("tasks", bounds.MAX_TASKS)
        if len(each) > bounds.MAX_SPEC:
            raise TooComplexError("bytes of a task", bounds.MAX_SPEC)
        task = _parsed(inference_pb2.InferenceTask, each)
        key, signature = key_of(task.model_spec) if task.HasField("model_spec") else (None, "")
        first = found[0][0].key if found else key
        named = signature or DEFAULT_SIGNATURE
        stopped = (
            stopped
            or named in signatures
            or task.method_name not in (CLASSIFY_METHOD, REGRESS_METHOD)
            or (key.model if key else "") != (first.model if first else "")
        )
        if not stopped:
            signatures.add(named)
            found.append((RequestView(first, signature), task.method_name))
    return found


def _spec_only(kind: Any, data: bytes) -> RequestView:
    parts, specs = Parts(), []
    for each in _submessages(kind, data, "model_spec", parts):
        parts.take_spec(len(each))
        specs.append(each)
    try:
        return RequestView(*spec_from(specs))
    except DecodeError as error:
        raise _malformed(kind) from error


def _submessages(kind: Any, data: bytes, name: str, parts: Parts) -> Iterator[bytes]:
    """The messages in field `name`; all else of a long request is opaque, and not looked at."""
    if len(data) <= _PARSED_IN_FULL:
        _parsed(kind, data)
    wanted = kind.DESCRIPTOR.fields_by_name[name].number
    try:
        for number, form, start, stop in fields(data, 0, len(data), parts, 0):
            if number == wanted and form == LENGTH:
                yield data[start:stop]
    except (MalformedRequestError, IndexError) as error:
        raise _malformed(kind) from error


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise _malformed(kind) from error


def _malformed(kind: Any) -> MalformedRequestError:
    return MalformedRequestError(f"not a readable {kind.DESCRIPTOR.full_name}")


# === the scanner ===


def _scan_predict(data: Octets, parts: Parts | None) -> RequestView:
    spec: tuple[ModelKey, str] | None = None
    inputs: dict[str, TensorView] = {}
    outputs: list[str] = []
    room = bounds.MAX_INPUTS
    pos, end = 0, len(data)
    while pos < end:
        tag = data[pos]
        length, start = varint(data, pos + 1)
        pos = start + length
        if pos > end:
            raise UnusualError
        if tag == 0x12:
            room -= 1
            if room < 0:
                raise TooComplexError("inputs", bounds.MAX_INPUTS)
            if parts is not None:
                parts.look_at(_INPUT_COSTS)
            view = _scan_entry(data, start, pos, parts)
            inputs[view.alias] = view
        elif tag == 0x0A and spec is None:
            spec = _spec_from_bytes(data[start:pos]) if length <= SHORT else None
            if spec is None:
                raise UnusualError
        elif tag == 0x1A:
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
    if pos < end and data[pos] == 0x0A:
        length, start = varint(data, pos + 1)
        pos = start + length
        if pos > end:
            raise UnusualError
        if parts is not None:
            parts.take_name(length)
        alias = data[start:pos].decode()
    if pos == end:
        return TensorView(alias, 0)
    if data[pos] != 0x12:
        raise UnusualError
    length, start = varint(data, pos + 1)
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
        length, start = varint(data, pos + 1)
        if tag == 0x08:  # dtype
            if view.dtype or not 0 < length <= 0x7FFFFFFF:
                raise UnusualError
            view.dtype = length
            pos = start
            continue
        if tag == 0x18:  # version_number
            if versioned:
                raise UnusualError
            versioned = True
            pos = start
            continue
        if tag > 0x7F:  # fields 16 and up: what was read as the length is the second byte of the tag
            if tag not in _PACKED_HIGH or data[pos + 1] != 0x01:
                raise UnusualError
            length, start = varint(data, pos + 2)
        pos = start + length
        if pos > end:
            raise UnusualError
        if tag == 0x12:  # tensor_shape
            shape = _shape_from_bytes(data[start:pos]) if not shaped and length <= SHORT else None
            if shape is None:
                raise UnusualError
            view.dims, view.unknown_rank = shape
            if parts is not None:
                parts.take_dims(len(view.dims))
            shaped = True
        elif tag == 0x22:  # tensor_content
            if content.stop:
                raise UnusualError
            content = slice(start, pos)
        elif tag == 0x42:  # string_val
            if counts is _NO_COUNTS:
                counts = {}
            if "string_val" in counts:
                raise UnusualError
            view.head, view.string_length = data[start : min(pos, start + HEAD)], length
            pos, number = hop_strings(data, at, end, tag, parts or Parts())
            counts["string_val"] = number
        else:
            name, width = (_PACKED if tag < 0x80 else _PACKED_HIGH).get(tag) or _unusual()
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
            if name == "int_val":
                ints = slice(start, pos)
            elif name == "half_val":
                halves = slice(start, pos)
    if pos != end:
        raise UnusualError
    view.counts = counts
    kind = DTYPES.get(view.dtype)
    view.content_length = content.stop - content.start
    if view.content_length:
        if view.dtype in (DT_STRING, DT_BOOL):
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
