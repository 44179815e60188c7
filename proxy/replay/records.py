"""A capture or warm-up file → requests to send.

Law: one record at a time, never the whole file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from proxy.wire.file_kinds import HEAD, kind_of
from proxy.wire.prediction_log import METHODS, NotAPredictionLogError, logged_request
from proxy.wire.tfrecord import CorruptRecordError, read_records


class UnreadableCaptureError(ValueError):
    """The file is no capture; the text names the file, the record and the reason."""


class Recorded(NamedTuple):
    """One request: its place in the file (from 0), its method, its bytes, and the answer if one was recorded."""

    place: int
    method: str
    request: bytes
    response: bytes | None


def recorded_requests(path: Path) -> Iterator[Recorded]:
    """The requests in a TFRecord file of PredictionLogs. Raises UnreadableCaptureError."""
    try:
        with path.open("rb") as file:
            for index, record in enumerate(read_records(file)):
                try:
                    logged = logged_request(record)
                except NotAPredictionLogError as error:
                    raise UnreadableCaptureError(f"{path}: record {index}: {error}") from error
                if logged is not None:
                    yield Recorded(index, METHODS[logged.kind], logged.request, logged.response)
    except CorruptRecordError as error:
        kind = "" if error.offset else kind_of(_head(path))
        raise UnreadableCaptureError(
            f"{path}: this is {kind}, not a capture or warm-up file (TFRecord)"
            if kind
            else f"{path}: record {error.index}, at byte {error.offset}: {error}; is this a TFRecord file?"
        ) from error
    except OSError as error:
        raise UnreadableCaptureError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}"
        ) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
