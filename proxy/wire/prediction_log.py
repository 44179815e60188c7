"""PredictionLog bytes → which request they hold: what TF Serving's warm-up replays.

Law: gives the request back as the bytes of its own message; judges nothing.
"""

from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

import proxy.wire.protos  # noqa: F401  prediction_log_pb2 imports TensorFlow's modules

# isort: split
from tensorflow_serving.apis import prediction_log_pb2

PREDICT_LOG: Final = "predict_log"
_REPLAYED: Final = frozenset({"classify_log", "regress_log", PREDICT_LOG, "multi_inference_log"})


class NotAPredictionLogError(ValueError):
    """The bytes are not a PredictionLog that TF Serving replays (`saved_model_warmup.cc`)."""


class LoggedRequest(NamedTuple):
    """`kind` is the PredictionLog's field, `request` its serialised request."""

    kind: str
    request: bytes


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
    return LoggedRequest(kind, bytes(getattr(log, kind).request.SerializeToString()))
