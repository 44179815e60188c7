"""Request bytes → RequestView: names, dtypes, shapes, payload lengths and counts, and no payload.

Law: reads, never judges; raises MalformedRequestError where TF Serving could not read the message either, and
TooComplexError where looking at all of it would take too long (`core.bounds`). The common encoding of a
PredictRequest is for `wire.scanner`, any other for `wire.unusual`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from proxy.core import bounds
from proxy.core.types import CLASSIFY_METHOD, DEFAULT_SIGNATURE, REGRESS_METHOD, RequestView
from proxy.wire.fields import ANY, MalformedRequestError, Parts, TooComplexError, fields
from proxy.wire.protos import classification_pb2, inference_pb2, regression_pb2
from proxy.wire.scanner import scan
from proxy.wire.unusual import key_of, read_predict, spec_from
from proxy.wire.wire_format import LENGTH, Octets, UnusualError

AT_ONCE: Final = 64 << 10
"""Bytes of an unusual message that are read while other calls wait; a longer one is read beside them."""

_VALUES_AT_ONCE: Final = 4 << 20
"""The same for values that are looked at: varints, bools and lengths of strings. An input counts as some."""

_PARSED_IN_FULL: Final = 256 << 10
"""Bytes of a request with Examples that are parsed, to see whether they are readable."""


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
        return scan(data, parts)
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
    except (MalformedRequestError, UnusualError, IndexError) as error:
        raise _malformed(kind) from error


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise _malformed(kind) from error


def _malformed(kind: Any) -> MalformedRequestError:
    return MalformedRequestError(f"not a readable {kind.DESCRIPTOR.full_name}")
