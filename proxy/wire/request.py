"""Request bytes → RequestView: names, dtypes, shapes, payload lengths and counts, and no payload.

Law: reads, never judges; raises MalformedRequest where TF Serving could not read the message either. The
common encoding of a PredictRequest is scanned in place, in time that does not grow with its tensors;
whatever is out of the ordinary (unknown fields, merged submessages, unpacked values, many strings) goes
through the protobuf parser, which both roads must agree with.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, overload

from google.protobuf.message import DecodeError

from proxy.core.types import (
    CLASSIFY_METHOD,
    DT_STRING,
    DTYPES,
    REGRESS_METHOD,
    DType,
    ModelKey,
    RequestView,
    Shape,
    TensorView,
    element_count,
)
from proxy.wire.protos import (
    classification_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    tensor_pb2,
    tensor_shape_pb2,
)

MAX_SCANNED_STRINGS: Final = 64
"""More strings than this in one tensor are counted by the protobuf parser, whose loop runs in C."""

_MAX_CACHED: Final = 256
"""Bytes of a model_spec or shape that is remembered: what clients can fill the caches with stays small."""

_HEAD: Final = 16
_BOOL: Final = 10
_CONTINUATION: Final = bytes(range(0x80, 0x100))
_CONTINUES: Final = bytes([0] * 128 + [1] * 128)
_MULTI_BYTE: Final = re.compile(rb"[\x80-\xff]+[\x00-\x7f]")
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
_COUNTED_FIELDS: Final = sorted(
    {kind.field for kind in DTYPES.values()} - {"resource_handle_val", "variant_val"}
)


class MalformedRequestError(ValueError):
    """The bytes are not a readable request of the expected type."""


class UnusualError(Exception):
    """The scanner met an encoding that is left to the protobuf parser."""


class Octets(Protocol):
    """A message, or what is left of one without payloads: what lies in a gap raises IndexError."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...


def parse_predict(data: bytes) -> RequestView:
    """The view of a serialised PredictRequest.

    Raises MalformedRequestError when it cannot be parsed (TF Serving: INTERNAL with an empty text).
    """
    try:
        return scan_predict(data)
    except UnusualError:
        return parse_predict_fully(data)


def scan_predict(data: Octets) -> RequestView:
    """Read like parse_predict, but only in place; raises UnusualError for what is left to the parser."""
    try:
        return _scan_predict(data)
    except (IndexError, UnicodeDecodeError):
        raise UnusualError from None


def parse_predict_fully(data: bytes) -> RequestView:
    """Read like parse_predict, but always through the protobuf parser: the reference for the scanner."""
    request = _parsed(predict_pb2.PredictRequest, data)
    spec = _spec_of(request)
    inputs = tuple(_tensor_view(alias, tensor) for alias, tensor in request.inputs.items())
    return RequestView(spec[0], spec[1], inputs, tuple(request.output_filter))


def parse_classify(data: bytes) -> RequestView:
    """Read the model_spec of a serialised ClassificationRequest; raises MalformedRequestError."""
    return RequestView(*_spec_of(_parsed(classification_pb2.ClassificationRequest, data)))


def parse_regress(data: bytes) -> RequestView:
    """Read the model_spec of a serialised RegressionRequest; raises MalformedRequestError."""
    return RequestView(*_spec_of(_parsed(regression_pb2.RegressionRequest, data)))


def parse_multi_inference(data: bytes) -> Sequence[tuple[RequestView, str]]:
    """Read each task of a serialised MultiInferenceRequest with its method_name; raises MalformedRequestError.

    Tasks of other methods than classify and regress are left out: TF Serving names the method itself.
    """
    request = _parsed(inference_pb2.MultiInferenceRequest, data)
    return [
        (RequestView(*_spec_of(task)), task.method_name)
        for task in request.tasks
        if task.method_name in (CLASSIFY_METHOD, REGRESS_METHOD)
    ]


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise MalformedRequestError(f"not a readable {kind.DESCRIPTOR.full_name}") from error


# === the protobuf road ===


def _spec_of(request: Any) -> tuple[ModelKey | None, str]:
    if not request.HasField("model_spec"):
        return None, ""
    return _key_of(request.model_spec)


def _key_of(spec: Any) -> tuple[ModelKey, str]:
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    return ModelKey(spec.name, version, label), spec.signature_name


def _tensor_view(alias: str, tensor: Any) -> TensorView:
    counts = {name: count for name in _COUNTED_FIELDS if (count := len(getattr(tensor, name)))}
    content = tensor.tensor_content
    view = TensorView(
        alias,
        tensor.dtype,
        tuple(dim.size for dim in tensor.tensor_shape.dim),
        tensor.tensor_shape.unknown_rank,
        len(content),
        counts,
        tensor.string_val[0][:_HEAD] if tensor.string_val else b"",
    )
    kind = DTYPES.get(view.dtype)
    if kind is not None:
        if content:
            _look_into_content(view, content)
        elif kind.low is not None and kind.field in counts:
            view.wraps = _outside(kind, getattr(tensor, kind.field))
    return view


# === the scanner ===


def varint(data: Octets | bytearray, pos: int) -> tuple[int, int]:
    """The value that begins at `pos`, and where it ends; raises UnusualError when it has over five bytes."""
    value = data[pos]
    pos += 1
    if value < 0x80:
        return value, pos
    value &= 0x7F
    # Lengths have at most five bytes; longer ones of other varints are left to the parser.
    for shift in range(7, 35, 7):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
    raise UnusualError


def _scan_predict(data: Octets) -> RequestView:
    spec: tuple[ModelKey, str] | None = None
    inputs: dict[str, TensorView] = {}
    outputs: list[str] = []
    pos, end = 0, len(data)
    while pos < end:
        tag = data[pos]
        length, start = varint(data, pos + 1)
        pos = start + length
        if pos > end:
            raise UnusualError
        if tag == 0x12:
            view = _scan_entry(data, start, pos)
            inputs[view.alias] = view
        elif tag == 0x0A and spec is None:
            spec = _spec_from_bytes(data[start:pos]) if length <= _MAX_CACHED else None
            if spec is None:
                raise UnusualError
        elif tag == 0x1A:
            outputs.append(data[start:pos].decode())
        else:
            raise UnusualError
    key, signature = spec or (None, "")
    return RequestView(key, signature, tuple(inputs.values()), tuple(outputs))


@lru_cache(maxsize=1024)
def _spec_from_bytes(data: bytes) -> tuple[ModelKey, str] | None:
    """The model_spec of these bytes; clients repeat it in every request."""
    try:
        return _key_of(model_pb2.ModelSpec.FromString(data))
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


def _scan_entry(data: Octets, pos: int, end: int) -> TensorView:
    """Scan one map entry of `inputs`: the alias (1), then the tensor (2), each at most once."""
    alias = ""
    if pos < end and data[pos] == 0x0A:
        length, start = varint(data, pos + 1)
        pos = start + length
        alias = data[start:pos].decode()
    if pos == end:
        return TensorView(alias, 0)
    if data[pos] != 0x12:
        raise UnusualError
    length, start = varint(data, pos + 1)
    if start + length != end:
        raise UnusualError
    return _scan_tensor(alias, data, start, end)


def _scan_tensor(alias: str, data: Octets, pos: int, end: int) -> TensorView:
    view = TensorView(alias, 0, counts=_NO_COUNTS)
    counts = _NO_COUNTS
    shaped = False
    content = ints = halves = slice(0, 0)
    while pos < end:
        tag = data[pos]
        length, start = varint(data, pos + 1)
        if tag == 0x08:  # dtype
            if length > 0x7FFFFFFF:
                raise UnusualError
            view.dtype = length
            pos = start
            continue
        if tag == 0x18:  # version_number
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
            shape = _shape_from_bytes(data[start:pos]) if not shaped and length <= _MAX_CACHED else None
            if shape is None:
                raise UnusualError
            view.dims, view.unknown_rank = shape
            shaped = True
        elif tag == 0x22:  # tensor_content: the last one wins
            content = slice(start, pos)
        elif tag == 0x42:  # string_val
            if counts is _NO_COUNTS:
                counts = {}
            number = counts.get("string_val", 0)
            if number == MAX_SCANNED_STRINGS:
                raise UnusualError
            if number == 0:
                view.head = data[start : min(pos, start + _HEAD)]
            counts["string_val"] = number + 1
        else:
            name, width = (_PACKED if tag < 0x80 else _PACKED_HIGH).get(tag) or _unusual()
            if name in counts:
                raise UnusualError
            if length == 0:
                continue
            if counts is _NO_COUNTS:
                counts = {}
            if width:
                number, rest = divmod(length, width)
            else:
                number, rest = _count_varints(data[start:pos]), 0
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
        if view.dtype in (DT_STRING, _BOOL):
            _look_into_content(view, data[content])
    elif kind is not None and kind.low is not None and kind.field in counts:
        view.wraps = _varints_outside(kind, data[ints if kind.field == "int_val" else halves])
    return view


def _unusual() -> tuple[str, int]:
    raise UnusualError


def _count_varints(chunk: bytes) -> int:
    """How many varints follow each other in `chunk`, without a loop over them in Python."""
    if chunk.isascii():
        return len(chunk)
    # One long integer with a bit for each byte that continues: its operators take 64 bits and more at a time.
    continues = int.from_bytes(chunk.translate(_CONTINUES), "little")
    pairs = continues & continues >> 8
    eights = (fours := pairs & pairs >> 16) & fours >> 32
    if chunk[-1] > 0x7F or eights & pairs >> 64:  # cut, or one of more than ten bytes
        raise UnusualError
    return len(chunk) - continues.bit_count()


# === the few places where a value matters ===


def _look_into_content(view: TensorView, content: bytes) -> None:
    if view.dtype == DT_STRING:
        view.string_content_fits = _holds_strings(content, view.dims)
    elif view.dtype == _BOOL:
        # TensorFlow 2.21 refuses any other byte; older ones make an undefined bool of it.
        view.wraps = bool(content.translate(None, b"\x00\x01"))


def _varints_outside(kind: DType, chunk: bytes) -> bool:
    """Whether a packed `int_val` or `half_val` holds a value that `kind` cannot."""
    table, before_last = _bounds(kind)
    marks = int.from_bytes(chunk.translate(table), "little")
    beyond = marks >> 8 * before_last + 1
    for place in range(before_last):
        beyond &= marks >> 8 * place
    if not beyond:
        return False
    # A negative value, one outside, or an encoding longer than it need be.
    tensor = tensor_pb2.TensorProto()
    tensor.MergeFromString(_packed_field(0x3A if kind.field == "int_val" else 0x6A, chunk))
    return _outside(kind, getattr(tensor, kind.field))


@lru_cache(maxsize=len(DTYPES))
def _bounds(kind: DType) -> tuple[bytes, int]:
    """How to see that varints are from 0 to `kind.high` without decoding them.

    A table that marks their bytes, and how many bytes the longest has before its last one. Bit 0 marks a byte
    that continues, bit 1 one that may not come after so many of those: too long, or too high.
    """
    assert kind.high is not None
    before_last = (kind.high.bit_length() - 1) // 7
    top = kind.high >> 7 * before_last
    return bytes([0] * (top + 1) + [2] * (0x7F - top) + [3 if before_last else 2] * 128), before_last


def _packed_field(tag: int, chunk: bytes) -> bytes:
    length, head = len(chunk), bytearray([tag])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + chunk


def _outside(kind: DType, values: Sequence[int]) -> bool:
    assert kind.low is not None
    assert kind.high is not None
    return min(values) < kind.low or max(values) > kind.high


def _holds_strings(content: bytes, dims: Shape) -> bool:
    """Whether `content` is TensorFlow's own encoding of as many strings as `dims` say.

    That is (`port::DecodeStringList`): the lengths as varints of at most five bytes, then all the bytes.
    """
    count = element_count(dims)
    if not count or count > len(content):
        return count == 0
    lengths = content[:count]
    if len(lengths.translate(None, _CONTINUATION)) != count:
        match = re.match(rb"(?:[\x80-\xff]{0,4}+[\x00-\x7f]){%d}+" % count, content)
        if match is None:
            return False
        lengths = match.group()
    total = sum(_MULTI_BYTE.sub(b"", lengths))
    for encoded in _MULTI_BYTE.findall(lengths):
        total += varint(encoded, 0)[0] & 0xFFFFFFFF
    return len(lengths) + total == len(content)
