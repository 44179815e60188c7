"""The warm-up file of a SavedModel: TFRecords of PredictionLog, replayed while the model loads.

Law: a record that fails keeps the model from loading (measured: a wrong dtype ends the load), so every one is
read, and Predict requests are judged by the same rules as live traffic.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.core.policy import Policy
from proxy.core.types import Servable
from proxy.core.validate import judge
from proxy.lint.finding import Finding, finding
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.metadata import UnreadableMetadataError, servable_of_saved_model
from proxy.wire.prediction_log import PREDICT_LOG, NotAPredictionLogError, logged_request
from proxy.wire.request import parse_predict
from proxy.wire.status import sentence_of
from proxy.wire.tfrecord import CorruptRecordError, read_records

MOST_RECORDS: Final = 1000
"""`WarmupConsts::kMaxNumRecords`."""

_TOLD: Final = 20
"""Bad records that are told one by one."""

_GZIP: Final = b"\x1f\x8b"


def check_warmup(path: Path, directory: Path) -> Iterator[Finding]:
    """Every fault of a warm-up file of the SavedModel in `directory`."""
    try:
        servable: Servable | None = servable_of_saved_model(directory, directory.parent.name)
    except UnreadableMetadataError:
        servable = None
    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP)) == _GZIP:
                yield finding("warmup-corrupt", path, "is compressed; the server reads it plain")
                return
            file.seek(0)
            count = bad = 0
            for count, record in enumerate(read_records(file), 1):
                for problem in _record(path, record, count, servable):
                    bad += 1
                    if bad <= _TOLD:
                        yield problem
            if bad > _TOLD:
                yield finding("warmup-request", path, f"and {bad - _TOLD} more faults of this kind")
    except CorruptRecordError as error:
        yield finding("warmup-corrupt", path, f"record {error.index + 1} at byte {error.offset}: {error}")
        return
    if count > MOST_RECORDS:
        yield finding(
            "warmup-too-many", path, f"{count} records; the server refuses more than {MOST_RECORDS}"
        )


def _record(path: Path, record: bytes, number: int, servable: Servable | None) -> Iterator[Finding]:
    try:
        logged = logged_request(record)
        if logged is None:
            yield finding(
                "warmup-ignored", path, f"record {number} holds no request: the server skips it in silence"
            )
        elif logged.kind == PREDICT_LOG and servable is not None:
            verdict = judge(parse_predict(logged.request), servable, Policy())
            for violation in verdict.violations:
                yield finding("warmup-request", path, f"record {number}: {sentence_of(violation)}")
    except (NotAPredictionLogError, MalformedRequestError, TooComplexError) as error:
        yield finding("warmup-not-a-log", path, f"record {number}: {error}")
