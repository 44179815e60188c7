"""A report counts everything and keeps a bounded part of it."""

import pytest

from proxy.replay.comparison import Answer
from proxy.replay.records import Recorded
from proxy.replay.report import MOST_KEPT, Report
from proxy.replay.sending import Pair

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CODES = {0: "OK", 14: "UNAVAILABLE"}


def pair(place, after, before=Answer(0, "", None, 0.001)):  # noqa: B008  frozen
    return Pair(Recorded(place, PREDICT, b"", None), before, after)


def test_median_and_p99_are_of_ok_answers_in_milliseconds():
    report = Report(1e-5, CODES, with_baseline=True)
    for place in range(1, 101):
        report.add(pair(place, Answer(0, "", None, place / 1000)))
    report.add(pair(101, Answer(14, "gone", None, 9.0)))
    told = report.as_json("new:1", "old:1")
    assert told["against"]["codes"] == {"OK": 100, "UNAVAILABLE": 1}
    assert told["against"]["median_ms"] == pytest.approx(51)
    assert told["against"]["p99_ms"] == pytest.approx(100)
    assert told["baseline"]["median_ms"] == pytest.approx(1)


def test_a_side_without_ok_answers_has_no_latency():
    report = Report(1e-5, CODES, with_baseline=False)
    report.add(pair(0, Answer(14, "gone", None, 1.0)))
    told = report.as_json("new:1", None)
    assert (told["against"]["median_ms"], told["baseline"]) == (None, None)


def test_all_differences_are_counted_and_some_are_kept():
    report = Report(1e-5, CODES, with_baseline=False)
    for place in range(MOST_KEPT + 5):
        report.add(pair(place, Answer(14)))
    told = report.as_json("new:1", None)
    assert (told["different"], told["kinds"]) == (MOST_KEPT + 5, {"status": MOST_KEPT + 5})
    assert len(told["differences"]) == MOST_KEPT
