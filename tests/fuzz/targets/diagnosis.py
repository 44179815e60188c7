"""A server's error: what is said of it is one line, in bounded time, and stands behind what the server said.

The first octet is the code.
"""

from google.rpc import status_pb2

from proxy.diagnosis import Call, diagnose
from proxy.diagnosis.contradiction import contradicts, denies_servable
from proxy.diagnosis.table import diagnose_load_error
from proxy.wire.diagnosis import annotate
from proxy.wire.request import parse_predict
from tests.diagnosis.test_table import CODES, TEXTS
from tests.fuzz.messages import requests
from tests.fuzz.texts import latin
from tests.judging import servable, signature

_CALLS = (
    Call(),
    Call(
        "/tensorflow.serving.PredictionService/Predict",
        parse_predict(requests()[0]),
        servable(signature({"x": ("float32", (-1, 2)), "ids": ("int64", None)})),
    ),
)


def seeds() -> list[bytes]:
    return [bytes((CODES[code],)) + text.encode() for code, text, *_ in TEXTS]


def check(data: bytes) -> None:
    if not data:
        return
    code, text = data[0] % 17, data[1:].decode("utf-8", "replace")
    for call in _CALLS:
        diagnosis = diagnose(code, text, call)
        if diagnosis is None:
            continue
        assert latin(diagnosis.sentence)
        assert 0 < len(diagnosis.sentence) <= 400
        told = annotate(code, text, b"", diagnosis, {"model": text[:40]})
        assert told.text.startswith(text)
        assert len(told.details) <= 4096
        assert status_pb2.Status.FromString(told.details).message in {told.text, ""}
        assert annotate(code, text, data, diagnosis).details
    diagnose_load_error(code, text)
    assert contradicts(text, _CALLS[1]) in {True, False}
    assert denies_servable(text) in {True, False}
