"""PredictionLog bytes ↔ which request they hold: what TF Serving's warm-up replays.

Law: gives the request back as the bytes of its own message; judges nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

import proxy.wire.protos  # noqa: F401  prediction_log_pb2 imports TensorFlow's modules
from proxy.wire.wire_format import write_head

# isort: split
from tensorflow_serving.apis import prediction_log_pb2

PREDICT_LOG: Final = "predict_log"
_LOGGED: Final = 1
"""The field `request` of PredictLog, ClassifyLog and the others."""
_REPLAYED: Final = frozenset({"classify_log", "regress_log", PREDICT_LOG, "multi_inference_log"})


KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/tensorflow.serving.PredictionService/Predict": PREDICT_LOG,
        "/tensorflow.serving.PredictionService/Classify": "classify_log",
        "/tensorflow.serving.PredictionService/Regress": "regress_log",
        "/tensorflow.serving.PredictionService/MultiInference": "multi_inference_log",
    }
)
"""The field of PredictionLog that logs a call of the method."""

METHODS: Final[Mapping[str, str]] = MappingProxyType({kind: method for method, kind in KINDS.items()})


class NotAPredictionLogError(ValueError):
    """The bytes are not a PredictionLog that TF Serving replays (`saved_model_warmup.cc`)."""


class LoggedRequest(NamedTuple):
    """`kind` is the PredictionLog's field, `request` its serialised request, `response` that of the answer.

    `response` is None where none was recorded.
    """

    kind: str
    request: bytes
    response: bytes | None = None


def logged_request(data: bytes) -> LoggedRequest | None:
    """The request inside a serialised PredictionLog; None where it holds none, which TF Serving skips in silence.

    Raises NotAPredictionLogError.
    """
    try:
        log = prediction_log_pb2.PredictionLog.FromString(data)
    except DecodeError as error:
        raise NotAPredictionLogError("the record cannot be parsed as a PredictionLog") from error
    kind = log.WhichOneof("log_type")
    if kind is None:
        return None
    if kind not in _REPLAYED:
        raise NotAPredictionLogError(f"a {kind} is not replayed")
    logged = getattr(log, kind)
    response = bytes(logged.response.SerializeToString()) if logged.HasField("response") else None
    return LoggedRequest(kind, bytes(logged.request.SerializeToString()), response)


def log_head(kind: str, request_bytes: int) -> bytes:
    """What stands before a serialised request of so many bytes to make it a PredictionLog of `kind`."""
    request = write_head(_LOGGED, request_bytes)
    number = prediction_log_pb2.PredictionLog.DESCRIPTOR.fields_by_name[kind].number
    return write_head(number, len(request) + request_bytes) + request
