"""Reading a PredictRequest in any encoding that protobuf allows, as the server reads it.

Law: the same view as `wire.request` scans of what serialisers write, and that of protobuf in C++ for all else: merged
submessages, unpacked values, unknown fields, padded varints. What C++ and other implementations read differently is
read as C++ does, because that is what runs the request: an entry of a map with a field that nobody knows is an entry.
Values are never expanded, and steps in Python are bounded.
"""

import re
from typing import Any, Final

from google.protobuf.message import DecodeError

from proxy.core import bounds
from proxy.core.types import DT_BOOL, DT_STRING, DTYPES, DType, ModelKey, RequestView, Shape, TensorView
from proxy.wire import numbers
from proxy.wire.fields import RUN, Field, MalformedRequestError, Parts, TooComplexError, fields, hop_strings
from proxy.wire.protos import model_pb2, predict_pb2, tensor_pb2, tensor_shape_pb2
from proxy.wire.wire_format import (
    ALIAS,
    CONTENT,
    DTYPE,
    FLOAT8_VAL,
    HALF_VAL,
    INPUTS,
    INT_VAL,
    LENGTH,
    MODEL_SPEC,
    ONE_VALUE,
    OUTPUT_FILTER,
    RESOURCE_HANDLE_VAL,
    SHAPE,
    STRING_VAL,
    STRING_VAL_TAG,
    TENSOR,
    VALUES,
    VARIANT_VAL,
    VARINT,
    UnusualError,
    read_int32,
    write_head,
    write_tag,
)

HEAD: Final = 16
SHORT: Final = 256
"""Bytes of a model_spec or shape that serialisers need at most."""

# What protobuf makes of these takes so many times the room of a name.
_SHAPE_COSTS: Final = 4
_OPAQUE_COSTS: Final = 16

_OPAQUE: Final = (RESOURCE_HANDLE_VAL, VARIANT_VAL)
"""Handles of resources and variants: of no interest, but they can be malformed."""
_CHECKED: Final = frozenset(
    field.number
    for field in predict_pb2.PredictRequest.DESCRIPTOR.fields
    if field.message_type is not None and field.name not in {"model_spec", "inputs"}
)
"""Further messages in a request: options of no interest, but they can be malformed too."""

_RUNS: Final = {
    write_tag(number, kind)[0]: re.compile(
        b"(?:%s%s)++" % (re.escape(write_tag(number, kind)), ONE_VALUE[kind]), re.DOTALL
    )
    for number, (_, kind, _) in VALUES.items()
}


def read_predict(data: bytes) -> RequestView:
    """The view of a serialised PredictRequest; raises MalformedRequestError and TooComplexError."""
    try:
        return _predict(data)
    except (MalformedRequestError, IndexError, UnicodeDecodeError, UnusualError, DecodeError) as error:
        raise MalformedRequestError("not a readable tensorflow.serving.PredictRequest") from error


def _predict(data: bytes) -> RequestView:
    parts = Parts()
    specs: list[bytes] = []
    inputs: dict[str, TensorView] = {}
    outputs: list[str] = []
    entries = 0
    for number, kind, start, stop in fields(data, 0, len(data), parts, 0):
        if kind != LENGTH:
            continue
        if number == INPUTS:
            entries += 1
            if entries > bounds.MAX_INPUTS:
                raise TooComplexError("inputs", bounds.MAX_INPUTS)
            view = _entry(data, start, stop, parts)
            inputs[view.alias] = view
        elif number == MODEL_SPEC:
            parts.take_spec(stop - start)
            specs.append(data[start:stop])
        elif number == OUTPUT_FILTER:
            if len(outputs) == bounds.MAX_INPUTS:
                raise TooComplexError("outputs in output_filter", bounds.MAX_INPUTS)
            parts.take_name(stop - start)
            outputs.append(data[start:stop].decode())
        elif number in _CHECKED:
            parts.take_name(_OPAQUE_COSTS * (stop - start + 2))
            predict_pb2.PredictRequest.FromString(write_head(number, stop - start) + data[start:stop])
    key, signature = spec_from(specs)
    return RequestView(key, signature, tuple(inputs.values()), tuple(outputs))


def spec_from(specs: list[bytes]) -> tuple[ModelKey | None, str]:
    """The model_spec that these make together; raises DecodeError."""
    if not specs:
        return None, ""
    merged = model_pb2.ModelSpec()
    for each in specs:
        merged.MergeFromString(each)
    return key_of(merged)


def key_of(spec: Any) -> tuple[ModelKey, str]:
    """What a ModelSpec asks for, and the signature that it names."""
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    return ModelKey(spec.name, version, label), spec.signature_name


def _entry(data: bytes, pos: int, end: int, parts: Parts) -> TensorView:
    alias = ""
    tensors: list[tuple[int, int]] = []
    for number, kind, start, stop in fields(data, pos, end, parts, 1):
        if kind == LENGTH and number == ALIAS:
            parts.take_name(stop - start)
            alias = data[start:stop].decode()
        elif kind == LENGTH and number == TENSOR:
            tensors.append((start, stop))
    tensor = _Tensor(data, parts)
    for start, stop in tensors:
        tensor.read(start, stop)
    return tensor.view(alias)


class _Tensor:
    """One TensorProto, which may come in several messages that are merged."""

    __slots__ = ("content", "counts", "data", "dtype", "head", "narrow", "parts", "shapes", "string_length")

    def __init__(self, data: bytes, parts: Parts) -> None:
        self.data = data
        self.parts = parts
        self.dtype = 0
        self.shapes: list[bytes] = []
        self.content = (0, 0)
        self.counts: dict[str, int] = {}
        self.head = b""
        self.string_length = 0
        # Where the values lie whose range may matter, by the field they are of.
        self.narrow: dict[int, list[Field]] = {INT_VAL: [], HALF_VAL: []}

    def read(self, pos: int, end: int) -> None:
        data, parts = self.data, self.parts
        while pos < end:
            if data[pos] == STRING_VAL_TAG:
                pos = self._strings(pos, end)
                continue
            for field in fields(data, pos, end, parts, 2, _RUNS):
                number, kind, start, stop = field
                pos = stop
                if kind == RUN:
                    self._run(number, start, stop)
                elif number in VALUES:
                    self._values(number, kind, start, stop)
                elif kind == LENGTH:
                    self._submessage(number, start, stop)
                elif number == DTYPE and kind == VARINT:
                    self.dtype = read_int32(data, start)
                if stop < end and data[stop] == STRING_VAL_TAG:
                    break

    def _strings(self, pos: int, end: int) -> int:
        """Take strings that follow each other, which is how they come in any number."""
        if "string_val" not in self.counts:
            # The first one by itself, for its leading bytes.
            stop, count = self._first_string(pos, end)
        else:
            stop, count = hop_strings(self.data, pos, end, self.parts)
        self.counts["string_val"] = self.counts.get("string_val", 0) + count
        return stop

    def _first_string(self, pos: int, end: int) -> tuple[int, int]:
        for _, _, start, stop in fields(self.data, pos, end, self.parts, 2):
            self.parts.take_strings(1)
            self._begin(start, stop)
            return stop, 1
        raise MalformedRequestError

    def _begin(self, start: int, stop: int) -> None:
        self.head, self.string_length = self.data[start : min(stop, start + HEAD)], stop - start

    def _submessage(self, number: int, start: int, stop: int) -> None:
        data, parts = self.data, self.parts
        if number == SHAPE:
            if stop - start > SHORT:
                parts.take_name(_SHAPE_COSTS * (stop - start))
            self.shapes.append(data[start:stop])
        elif number == CONTENT:
            self.content = (start, stop)
        elif number == STRING_VAL:
            # Its tag was padded.
            parts.take_strings(1)
            if "string_val" not in self.counts:
                self._begin(start, stop)
            self.counts["string_val"] = self.counts.get("string_val", 0) + 1
        elif number == FLOAT8_VAL:
            self.counts["float8_val"] = stop - start
        elif number in _OPAQUE:
            parts.take_name(_OPAQUE_COSTS * (stop - start + 2))
            tensor_pb2.TensorProto.FromString(write_head(number, stop - start) + data[start:stop])

    def _values(self, number: int, kind: int, start: int, stop: int) -> None:
        name, single, width = VALUES[number]
        if kind == single:
            count: int | None = 1
        elif kind != LENGTH or start == stop:
            return
        elif width:
            count, rest = divmod(stop - start, width)
            count = None if rest else count
        else:
            count = numbers.count_varints(self.data, start, stop)
        if count is None:
            raise MalformedRequestError
        self.counts[name] = self.counts.get(name, 0) + count
        if number in self.narrow:
            self.narrow[number].append((number, LENGTH, start, stop))

    def _run(self, number: int, start: int, stop: int) -> None:
        name, _, width = VALUES[number]
        # Of every varint two bytes do not continue: the last one of its tag, and its own last one.
        ends = 0 if width else numbers.count_ends(self.data, start, stop)
        count = (stop - start) // (1 + width) if width else ends // 2
        self.counts[name] = self.counts.get(name, 0) + count
        if number in self.narrow:
            self.narrow[number].append((number, RUN, start, stop))

    def view(self, alias: str) -> TensorView:
        dims: Shape = ()
        unknown_rank = False
        if self.shapes:
            shape = tensor_shape_pb2.TensorShapeProto()
            for each in self.shapes:
                shape.MergeFromString(each)
            self.parts.take_dims(len(shape.dim))
            dims, unknown_rank = tuple(dim.size for dim in shape.dim), shape.unknown_rank
        start, stop = self.content
        counts = {name: count for name, count in sorted(self.counts.items()) if count}
        view = TensorView(alias, self.dtype, dims, unknown_rank, stop - start, counts, self.head)
        view.string_length = self.string_length
        kind = DTYPES.get(self.dtype)
        if stop > start:
            look_into_content(view, self.data, start, stop, self.parts)
        elif kind is not None and kind.low is not None and kind.field in counts:
            view.wraps = not all(
                self._fits(kind, each)
                for each in self.narrow[INT_VAL if kind.field == "int_val" else HALF_VAL]
            )
        return view

    def _fits(self, kind: DType, field: Field) -> bool:
        number, form, start, stop = field
        if form == RUN:
            return numbers.run_fits(kind, write_tag(number, VARINT), self.data, start, stop)
        return numbers.varints_fit(kind, self.data, start, stop)


def look_into_content(view: TensorView, data: bytes, start: int, stop: int, parts: Parts) -> None:
    """See whether `tensor_content` holds what its dtype needs, of the dtypes that do not take any bytes."""
    if view.dtype == DT_STRING:
        view.string_content_fits = numbers.holds_strings(data, start, stop, view.dims, parts)
    elif view.dtype == DT_BOOL:
        # TensorFlow 2.21 refuses any other byte; older ones make an undefined bool of it.
        view.wraps = not numbers.only_bools(data, start, stop)
