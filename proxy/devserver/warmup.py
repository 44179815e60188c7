"""Replay of a model's warm-up records, before it takes traffic.

Law: a record that fails fails the load, with the status the same request would get from a client
(servables/tensorflow/saved_model_warmup.cc; measured, section S, model badwarm).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from proxy.devserver.examples import classify, multi_inference, regress
from proxy.devserver.model import Model
from proxy.devserver.predict import predict
from proxy.devserver.protos import prediction_log_pb2
from proxy.devserver.runtime import DATA_LOSS, INVALID_ARGUMENT, UNIMPLEMENTED, TensorFlowError

_FILE: Final = Path("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS: Final = 1000


def warm_up(model: Model, export_dir: Path) -> int:
    """Run every recorded request once; return how many there were, 0 without a file.

    Raises:
        TensorFlowError: of the first record that fails, or of an unreadable file.
    """
    path = export_dir / _FILE
    if not path.exists():
        return 0
    count = 0
    for count, record in enumerate(_records(path), start=1):
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError:
            raise TensorFlowError(INVALID_ARGUMENT, f"Failed to parse warmup record: from {path}") from None
        _replay(model, log)
        if count > _MOST_RECORDS:
            raise TensorFlowError(
                INVALID_ARGUMENT, f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {path}"
            )
    return count


def _replay(model: Model, log: prediction_log_pb2.PredictionLog) -> None:
    match log.WhichOneof("log_type"):
        case "predict_log":
            predict(model, log.predict_log.request, None)
        case "classify_log":
            classify(model, log.classify_log.request, None)
        case "regress_log":
            regress(model, log.regress_log.request, None)
        case "multi_inference_log":
            multi_inference(model, log.multi_inference_log.request, None)
        case None:
            pass
        case other:
            number = log.DESCRIPTOR.fields_by_name[other].number
            raise TensorFlowError(UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")


def _records(path: Path) -> Iterator[bytes]:
    """Read a TFRecord file: length (8 bytes), its checksum (4), the record, its checksum (4).

    The checksums are not verified.
    """
    with path.open("rb") as file:
        while header := file.read(12):
            length = struct.unpack_from("<Q", header)[0] if len(header) == 12 else 0
            record = file.read(length) if length <= path.stat().st_size else b""
            if len(header) < 12 or len(record) < length or len(file.read(4)) < 4:
                raise TensorFlowError(
                    DATA_LOSS,
                    f"truncated record in {path}. Please verify your warmup data is in TFRecord format.",
                )
            yield record
