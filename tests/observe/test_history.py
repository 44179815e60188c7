import asyncio
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import HistogramMetricFamily

from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation
from proxy.observe import history
from proxy.observe.catalogue import SECONDS
from proxy.observe.history import History, quantile
from proxy.observe.metrics import Metrics
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"
WATCH = "/grpc.health.v1.Health/Watch"
WRONG = (Violation(Reason.RANK_MISMATCH, "f", "w", "e", "g"),)


class Kept:
    """Metrics with their history, and a clock that moves by steps."""

    def __init__(self) -> None:
        self.metrics = Metrics(("1", "3", "interpreted"))
        self.now = 1_700_000_000.0
        self.history = History(self.metrics.families, lambda: self.now)
        self.history.sample()

    def call(self, model: str | None = "m", method: str = PREDICT, **what) -> None:
        self.metrics.call_started(method, "unary")
        self.metrics.call_ended(ended(method, model=model, **what))

    def step(self) -> dict:
        self.now += 15
        self.history.sample()
        return self.history.as_json()["points"][-1]


@pytest.fixture
def kept() -> Kept:
    return Kept()


COUNTED = ("requests", "refused", "would_refuse", "warnings", "errors")


def counts(point: dict) -> tuple[int, ...]:
    return tuple(point[name] for name in COUNTED)


def test_a_step_has_what_was_counted_in_it(kept):
    kept.call(seconds=0.003, upstream_seconds=0.002)
    kept.call(code=3, refusal=Verdict(WRONG))
    kept.call(would_refuse=WRONG)
    kept.call(warnings=WRONG)
    kept.call(code=13)
    assert counts(kept.step()) == (5, 1, 1, 1, 1)
    kept.call()
    assert counts(kept.step()) == (1, 0, 0, 0, 0)
    assert counts(kept.step()) == (0, 0, 0, 0, 0)


def test_times_are_quantiles_of_the_calls_of_the_step(kept):
    for _ in range(98):
        kept.call(seconds=0.002, upstream_seconds=0.0018)
    for _ in range(2):
        kept.call(seconds=2.0, upstream_seconds=1.999)
    point = kept.step()
    assert 0.001 < point["p50"] <= 0.0025
    assert 1.0 < point["p99"] <= 2.5
    assert 0.001 < point["upstream_p50"] <= 0.0025
    assert 1.0 < point["upstream_p99"] <= 2.5
    assert 0.0001 < point["own_p50"] <= 0.00025
    point = kept.step()
    assert [point[name] for name in ("p50", "p99", "upstream_p50", "own_p99")] == [None] * 4


def test_models_have_curves_of_their_own_and_what_is_unconfirmed_counts_in_all(kept):
    kept.call("m")
    kept.call("n", seconds=0.5)
    kept.call(None, code=5)
    assert kept.step()["requests"] == 3
    told = kept.history.as_json("n")
    assert (told["models"], told["model"]) == (["m", "n"], "n")
    (point,) = told["points"]
    assert counts(point) == (1, 0, 0, 0, 0)
    assert 0.25 < point["p50"] <= 0.5
    assert point["own_p50"] is None
    assert counts(kept.history.as_json("absent")["points"][0]) == (0, 0, 0, 0, 0)


def test_what_the_proxy_answers_itself_is_in_no_curve(kept):
    kept.call(None, WATCH, seconds=3000.0)
    point = kept.step()
    assert (point["requests"], point["p99"]) == (0, None)


def test_a_model_that_was_unloaded_and_comes_again_counts_nothing_twice(kept):
    for _ in range(5):
        kept.call()
    assert kept.step()["requests"] == 5
    kept.metrics._rows.clear()
    kept.metrics._rows_as_told.clear()
    kept.metrics._timings.clear()
    assert kept.step()["requests"] == 0
    kept.call()
    assert kept.step()["requests"] == 1


def test_there_is_one_hour_of_steps_and_fewer_minutes_if_asked(kept):
    for _ in range(300):
        kept.call()
        kept.step()
    assert len(kept.history.as_json()["points"]) == 240
    five = kept.history.as_json(minutes=5)["points"]
    assert len(five) == 20
    assert five[-1] == kept.history.latest()


def test_a_clock_that_is_set_back_leaves_no_steps_of_times_to_come(kept):
    for _ in range(4):
        kept.call()
        kept.step()
    kept.now -= 30 + 15
    kept.call()
    last = kept.step()
    points = kept.history.as_json()["points"]
    assert points[-1] == last
    assert [point["time"] for point in points] == sorted({point["time"] for point in points})


def test_before_the_first_step_there_is_no_point(kept):
    assert kept.history.latest() is None
    assert kept.history.as_json()["points"] == []
    assert kept.history.latency("m")["p50"] is None


def test_the_latency_of_a_model_is_that_of_the_hour(kept):
    kept.call(seconds=0.002)
    kept.step()
    kept.call(seconds=0.2)
    kept.step()
    latency = kept.history.latency("m")
    assert 0.001 < latency["p50"] <= 0.0025
    assert 0.1 < latency["p99"] <= 0.25


async def test_steps_end_at_quarters_of_a_minute_and_a_fault_costs_one_of_them(monkeypatch):
    metrics = Metrics(("1", "3", "interpreted"))
    slept, asked = [], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    def families(names):
        asked.append(names)
        if len(asked) == 2:
            raise ValueError("a scrape that cannot be read")
        return metrics.families(names)

    monkeypatch.setattr(history.asyncio, "sleep", sleep)
    kept = History(families, lambda: 1_700_000_007.0)
    with pytest.raises(asyncio.CancelledError):
        await kept.follow()
    assert slept == pytest.approx([3.05] * 3)
    assert len(kept.as_json()["points"]) == 1


@given(st.lists(st.floats(0.0001, 50), min_size=1, max_size=40), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_value_that_it_stands_for(values, share):
    buckets = [
        sum(1 for each in values if low < each <= high)
        for low, high in zip((0.0, *SECONDS), SECONDS, strict=False)
    ]
    found = quantile(share, SECONDS, [*buckets, 0])
    wanted = sorted(values)[min(len(values) - 1, -int(-share * len(values) // 1) - 1)]
    bound = next(each for each in SECONDS if each >= wanted)
    low = next((each for each in reversed(SECONDS) if each < bound), 0.0)
    assert low - 1e-6 <= found <= bound + 1e-6


def test_beyond_the_last_bucket_a_quantile_is_its_bound():
    assert quantile(0.5, (1.0, 2.0), [0, 0, 5]) == 2.0
    assert quantile(0.5, (1.0, 2.0), [0, 0, 0]) is None
    assert quantile(0.5, (1.0, 2.0), []) is None


def test_buckets_are_read_as_a_scrape_tells_them():
    family = HistogramMetricFamily("tfs_proxy_request_seconds", "", labels=("method", "model"))
    counts = [1, 2, 0, *[0] * 13, 4]
    bounds = [*map(repr, SECONDS), "+Inf"]
    for model in ("m", "n"):
        family.add_metric(
            ("Predict", model), list(zip(bounds, accumulate(map(float, counts)), strict=True)), 1.0
        )
    found = history.read([family])
    assert found.of("n") == found.of("m")
    assert list(found.of("m"))[5 : 5 + len(counts)] == counts
