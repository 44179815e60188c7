"""What counts as a promise kept, and what as a metric that moved."""

import pytest

from proxy.core.reasons import Reason
from proxy.demo.comparison import Answer, Compared, moved
from proxy.demo.requests import Sample
from proxy.wire.protos import predict_pb2

OK = Answer("OK", outputs={"y": 1})
OTHER = Answer("OK", outputs={"y": 2})
WARNED = Answer("OK", outputs={"y": 1}, warnings=("BATCH_EMPTY: no examples",))
REFUSED = Answer("INVALID_ARGUMENT", "...", reasons=("RANK_MISMATCH", "DTYPE_MISMATCH"))
UNREASONED = Answer("INVALID_ARGUMENT", "...")
FATAL = Answer("UNAVAILABLE", "...", reasons=("RANK_MISMATCH",), death="killed by SIGABRT")

GOOD = Sample("good", predict_pb2.PredictRequest)
WRONG = Sample("wrong", predict_pb2.PredictRequest, reason=Reason.RANK_MISMATCH)
DOUBTFUL = Sample("doubtful", predict_pb2.PredictRequest, warning=Reason.BATCH_EMPTY)


@pytest.mark.parametrize(
    ("sample", "alone", "proxied", "kept"),
    [
        (GOOD, OK, OK, True),
        (GOOD, OK, OTHER, False),
        (GOOD, OK, REFUSED, False),
        (WRONG, OK, REFUSED, True),
        (WRONG, FATAL, REFUSED, True),
        (WRONG, OK, OK, False),
        (WRONG, UNREASONED, UNREASONED, False),
        (WRONG, FATAL, FATAL, False),
        (DOUBTFUL, OK, WARNED, True),
        (DOUBTFUL, OK, OK, False),
        (DOUBTFUL, OK, REFUSED, False),
    ],
)
def test_a_promise_is_kept_or_not(sample, alone, proxied, kept):
    assert Compared(sample, sample.build(), alone, proxied).as_expected is kept


def test_a_mistake_under_another_reason_is_no_promise_kept():
    sample = Sample("wrong", predict_pb2.PredictRequest, reason=Reason.DTYPE_MISMATCH)
    assert not Compared(sample, sample.build(), OK, REFUSED).as_expected


def test_only_what_rose_has_moved():
    a, b, c = ("a_total", ()), ("b_total", (("model", "m"),)), ("c_total", ())
    assert moved({a: 1.0, b: 2.0}, {a: 1.0, b: 5.0, c: 1.0}) == {b: 3.0, c: 1.0}
