"""Captures and warm-up files: the records that are whole, then what is wrong and where; what was written is read again."""

import io

from proxy.replay.records import UnreadableCaptureError, recorded_requests
from proxy.wire.prediction_log import METHODS, NotAPredictionLogError, log_head, logged_request
from proxy.wire.tfrecord import CorruptRecordError, frame, read_records
from tests.fuzz.files import folder
from tests.fuzz.messages import requests
from tests.fuzz.texts import sentence

_FILE = folder() / "capture.tfrecord"


def _framed(*records: bytes) -> bytes:
    heads = (frame((each,)) for each in records)
    return b"".join(head + each + foot for (head, foot), each in zip(heads, records, strict=True))


def seeds() -> list[bytes]:
    logged = [log_head("predict_log", len(each)) + each for each in requests()]
    return [
        _framed(*logged[:2]),
        _framed(logged[3], b"", logged[4]),
        _framed(b"not a log", b"\x12\0"),
        b"",
        b'{"a": 1}',
    ]


def check(data: bytes) -> None:
    records: list[bytes] = []
    try:
        for record in read_records(io.BytesIO(data)):
            records.append(record)  # noqa: PERF402  those before a fault count
    except CorruptRecordError as error:
        assert error.index == len(records)
        assert data[: error.offset] == _framed(*records)
    else:
        assert data == _framed(*records)
    for record in records:
        try:
            logged = logged_request(record)
        except NotAPredictionLogError:
            continue
        if logged is not None:
            again = logged_request(log_head(logged.kind, len(logged.request)) + logged.request)
            assert again is not None
            # A map is written in any order.
            assert (again.kind, sorted(again.request)) == (logged.kind, sorted(logged.request))
    _FILE.write_bytes(data)
    try:
        for each in recorded_requests(_FILE):
            assert each.method in METHODS.values()
    except UnreadableCaptureError as error:
        assert sentence(str(error))
