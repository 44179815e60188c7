"""Answers are looked at away from the call, within bounds, and nothing of them stays."""

import math
import threading

import pytest

from proxy.capture import outputs
from proxy.capture.outputs import MOST_WAITING, MOST_WAITING_BYTES, OutputWatch
from proxy.core.outputs import FEWEST_DISTINCT, OutputKind
from proxy.wire.protos import predict_pb2
from tests.judging import predict, tensor
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def answered(value, *, asked=0.0, model="m", version=1, code=0, watched=True):
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(tensor("float32", (1,), float_val=[value]))
    request = predict(x=tensor("float32", (1,), float_val=[asked])).SerializeToString()
    return ended(
        PREDICT,
        code=code,
        model=model,
        version=version,
        signature="serving_default",
        watched=request if watched else None,
        answer=memoryview(response.SerializeToString()),
    )


class Told(list):
    def __call__(self, *finding):
        self.append(finding)


@pytest.fixture
def told():
    return Told()


def watching(told, *outcomes):
    """The watch after it has looked at all of them."""
    watch = OutputWatch(told)
    for outcome in outcomes:
        watch.call_ended(outcome)
    watch.close()
    return watch


def test_a_nan_is_told_and_counted(told):
    watch = watching(told, answered(1), answered(math.nan), answered(2))
    ((model, version, signature, finding),) = told
    assert (model, version, signature, finding.kind) == ("m", 1, "serving_default", OutputKind.NOT_FINITE)
    assert watch.findings == {
        ("m", "serving_default", "not_finite"): 1,
        ("m", "serving_default", "identical"): 0,
    }
    assert watch.counts == {"checked": 3, "unreadable": 0, "dropped": 0}


def test_one_answer_for_all_is_told_of_the_version_that_gives_it(told):
    same = [answered(7, asked=number, version=2) for number in range(FEWEST_DISTINCT)]
    others = [answered(number, asked=number, version=1) for number in range(FEWEST_DISTINCT)]
    watch = watching(told, *(each for pair in zip(same, others, strict=True) for each in pair))
    assert [(version, finding.kind) for _, version, _, finding in told] == [(2, OutputKind.IDENTICAL)]
    assert watch.findings["m", "serving_default", "identical"] == 1


def test_only_what_was_chosen_and_answered_well_is_looked_at(told):
    watch = watching(told, answered(math.nan, watched=False), answered(math.nan, code=13))
    assert not told
    assert watch.counts == {"checked": 0, "unreadable": 0, "dropped": 0}


def test_an_answer_that_cannot_be_read_ends_nothing(told):
    broken = answered(1)
    broken.answer = b"\xff\xff"
    watch = watching(told, broken, answered(math.nan))
    assert watch.counts == {"checked": 1, "unreadable": 1, "dropped": 0}
    assert len(told) == 1


def test_an_answer_that_was_not_kept_counts_as_dropped(told):
    missing = answered(1)
    missing.answer = b""
    assert watching(told, missing).counts == {"checked": 0, "unreadable": 0, "dropped": 1}


@pytest.fixture
def stuck():
    """A listener that holds the thread up at the first finding, what tells that it does, and what lets it go."""
    holds, go = threading.Event(), threading.Event()

    def found(*_):
        holds.set()
        assert go.wait(10)

    yield found, holds, go
    go.set()


def test_what_it_cannot_keep_up_with_is_dropped_and_counted(stuck):
    found, holds, go = stuck
    watch = OutputWatch(found)
    watch.call_ended(answered(math.nan))
    assert holds.wait(10)
    for _ in range(MOST_WAITING + 3):
        watch.call_ended(answered(1))
    assert watch.counts["dropped"] == 3
    go.set()
    watch.close()
    assert watch.counts == {"checked": MOST_WAITING + 1, "unreadable": 0, "dropped": 3}


def test_what_waits_is_bounded_in_bytes_too(stuck):
    found, holds, _ = stuck
    watch = OutputWatch(found)
    watch.call_ended(answered(math.nan))
    assert holds.wait(10)
    for _ in range(3):
        large = answered(1)
        large.answer = bytes(MOST_WAITING_BYTES // 2 - 100)
        watch.call_ended(large)
    assert watch.counts["dropped"] == 1


def test_what_is_remembered_is_bounded(told, monkeypatch):
    monkeypatch.setattr(outputs, "MOST_SIGNATURES", 2)
    per_model = [
        [answered(7, asked=number, model=model) for number in range(FEWEST_DISTINCT)] for model in "abc"
    ]
    # Three in turn where two are remembered: each is forgotten before it comes again.
    watching(told, *(each for turn in zip(*per_model, strict=True) for each in turn))
    assert not told
    watching(told, *(each for turn in zip(*per_model[:2], strict=True) for each in turn))
    assert [model for model, *_ in told] == ["a", "b"]


def test_series_are_bounded_too(told, monkeypatch):
    monkeypatch.setattr(outputs, "MOST_SIGNATURES", 2)
    watch = watching(told, *(answered(math.nan, model=model) for model in "abcda"))
    counts = {model: n for (model, _, kind), n in watch.findings.items() if kind == "not_finite"}
    assert counts == {"a": 2, "b": 1, "_other": 2}
