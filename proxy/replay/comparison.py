"""Two answers to one request → how they differ.

Law: no I/O. Statuses must be the same code; outputs the same aliases, dtypes and shapes, and values within the
tolerance, where NaN equals NaN. Which version answered is no difference: that is what is being compared. What
is told of values is how far they are apart, never the values.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from proxy.core.types import dtype_name, shape_text
from proxy.wire.prediction_log import KINDS, PREDICT_LOG
from proxy.wire.protos import classification_pb2, inference_pb2, predict_pb2, regression_pb2, tensor_pb2
from proxy.wire.tensors import array_of

_RESPONSES = {
    "classify_log": classification_pb2.ClassificationResponse,
    "regress_log": regression_pb2.RegressionResponse,
    "multi_inference_log": inference_pb2.MultiInferenceResponse,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a server answered: a status code number, its text, the message if there is one, and in what time."""

    code: int
    text: str = ""
    message: bytes | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """`kind` is status, outputs, dtype, shape, values or unreadable; `where` names the output, if it is one."""

    kind: str
    where: str
    before: str
    after: str


def differences(
    method: str, before: Answer, after: Answer, tolerance: float, code_names: Mapping[int, str]
) -> list[Difference]:
    """Every difference of `after` from `before`, at most one per output; `tolerance` is relative and absolute."""
    if before.code != after.code:
        return [Difference("status", "", _status(before, code_names), _status(after, code_names))]
    if before.message is None or after.message is None:
        return []
    kind = KINDS[method]
    try:
        if kind == PREDICT_LOG:
            old = predict_pb2.PredictResponse.FromString(before.message)
            new = predict_pb2.PredictResponse.FromString(after.message)
            return list(_of_outputs(old, new, tolerance))
        old, new = (_RESPONSES[kind].FromString(each.message) for each in (before, after))
        return list(_of_messages(old, new, tolerance))
    except DecodeError:
        return [Difference("unreadable", "", "a response of the method's type", "bytes that are none")]


def _status(answer: Answer, names: Mapping[int, str]) -> str:
    name = names.get(answer.code, str(answer.code))
    return f"{name}: {answer.text}" if answer.text else name


def _of_outputs(old: Any, new: Any, tolerance: float) -> Iterator[Difference]:
    for alias in sorted({*old.outputs, *new.outputs}):
        if alias not in new.outputs:
            yield Difference("outputs", alias, "there", "missing")
        elif alias not in old.outputs:
            yield Difference("outputs", alias, "missing", "there")
        else:
            found = _of_tensors(alias, old.outputs[alias], new.outputs[alias], tolerance)
            if found is not None:
                yield found


def _of_tensors(
    alias: str, old: tensor_pb2.TensorProto, new: tensor_pb2.TensorProto, tolerance: float
) -> Difference | None:
    if old.dtype != new.dtype:
        return Difference("dtype", alias, dtype_name(old.dtype), dtype_name(new.dtype))
    shapes = [tuple(dim.size for dim in each.tensor_shape.dim) for each in (old, new)]
    if shapes[0] != shapes[1]:
        return Difference("shape", alias, shape_text(shapes[0]), shape_text(shapes[1]))
    if old == new:
        return None
    try:
        told = _apart(array_of(old), array_of(new), tolerance)
    except ValueError as error:
        return Difference("unreadable", alias, "values that can be compared", str(error))
    return None if told is None else Difference("values", alias, "", told)


def _apart(old: Any, new: Any, tolerance: float) -> str | None:
    """In how many values, and by how much at most, two arrays of one dtype and shape differ."""
    import numpy as np  # only who replays needs it

    if old.dtype.kind not in "fc":
        count = int(np.count_nonzero(old != new))
        return f"{count} of {old.size} differ" if count else None
    far = ~np.isclose(new, old, rtol=tolerance, atol=tolerance, equal_nan=True)
    count = int(np.count_nonzero(far))
    if not count:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        distances = np.abs(new[far].astype(np.complex128) - old[far].astype(np.complex128))
    finite = distances[np.isfinite(distances)]
    most = f"by up to {finite.max():.3g}" if finite.size else "in being finite or not"
    return f"{count} of {old.size} differ, {most}"


def _of_messages(old: Any, new: Any, tolerance: float) -> Iterator[Difference]:
    """Differences between the results of Classify, Regress and MultiInference, field by field."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for where in sorted({*before, *after}):
        if where not in before or where not in after:
            yield Difference(
                "outputs", where, *(("there", "missing") if where in before else ("missing", "there"))
            )
        elif isinstance(before[where], float):
            import numpy as np

            told = _apart(np.array(before[where]), np.array(after[where]), tolerance)
            if told is not None:
                yield Difference("values", where, "", told)
        elif before[where] != after[where]:
            yield Difference("values", where, "", "differs")


def _leaves(message: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field, value in message.ListFields():
        where = f"{prefix}{field.name}"
        if field.name == "model_spec":
            continue
        if field.type != field.TYPE_MESSAGE:
            yield where, value
        elif field.is_repeated:
            for place, each in enumerate(value):
                yield from _leaves(each, f"{where}[{place}].")
        else:
            yield from _leaves(value, f"{where}.")
