"""Ratios, marks and aims from rounds that are made up; nothing here is timed."""

import pytest

from tests.bench import aims
from tests.bench.contestants import CONTESTANTS
from tests.bench.figures import added, capacity, held_up_by_load, rate, ratio, spread, throughput, value
from tests.bench.payloads import PAYLOADS
from tests.bench.rounds import Result, Round
from tests.bench.scenarios import CORE, CPP, H2LOAD, LIMITED, TIMES, WORKERS, Scenario

_PAYLOADS = {each.name: each for each in PAYLOADS}
_CONTESTANTS = {each.name: each for each in CONTESTANTS}
MANY = Scenario(H2LOAD, _PAYLOADS["small"], 32, LIMITED)
ONE = Scenario(H2LOAD, _PAYLOADS["small"], 1, CORE)


def result(name: str, *rounds: Round, scenario: Scenario = MANY, failure: str = "") -> Result:
    return Result(_CONTESTANTS[name], scenario, list(rounds), failure)


def busy(rate: float, share: float, cpu: float = 0.02) -> Round:
    return Round(rate, median=0.001, p99=0.002, cpu=cpu, busy=share)


def single(median: float, p99: float) -> Round:
    return Round(1000, median, p99)


def test_a_ratio_is_the_median_of_the_ratios_within_each_round():
    # The medians of the rates are equal, and the machine was twice as fast in one of three rounds.
    ours = result("compiled", busy(200, 1), busy(400, 1), busy(200, 1))
    envoy = result("envoy", busy(100, 1), busy(200, 1), busy(400, 1))
    assert ratio(ours, envoy, rate) == 2


def test_who_has_failed_has_no_figures():
    failed = result("envoy", busy(100, 1), failure="it ended")
    assert value(failed, rate) is None
    assert ratio(result("compiled", busy(200, 1)), failed, rate) is None
    assert spread(failed) is None


def test_the_spread_is_half_the_distance_between_the_rounds_by_their_median():
    assert spread(result("envoy", busy(90, 1), busy(100, 1), busy(120, 1))) == 0.15


def test_capacity_is_the_requests_of_a_cpu_second():
    assert capacity(busy(10, 0.1, cpu=0.02)) == 50_000
    assert capacity(Round(10, 1, 1)) is None


@pytest.mark.parametrize(("share", "expected"), [(0.89, True), (0.9, False), (1.02, False)])
def test_who_had_cpu_time_to_spare_was_held_up_by_the_load(share, expected):
    assert held_up_by_load(result("compiled", busy(100, share))) is expected


def test_one_call_at_a_time_is_held_up_by_nobody():
    assert not held_up_by_load(result("compiled", busy(100, 0.3), scenario=ONE))


def test_no_proxy_is_held_up_by_nobody():
    assert not held_up_by_load(result("direct", Round(100, 1, 1)))


def test_throughput_is_by_rates_where_both_were_the_limit():
    ours, envoy = result("compiled", busy(300, 1, cpu=1)), result("envoy", busy(100, 1, cpu=2))
    assert throughput(ours, envoy) == (3, True)


def test_throughput_is_by_cpu_time_where_one_was_held_up_by_the_load():
    ours, envoy = result("compiled", busy(150, 0.5, cpu=1)), result("envoy", busy(100, 1, cpu=3))
    assert throughput(ours, envoy) == (3, False)


def test_what_a_proxy_adds_is_what_a_direct_call_does_not_take():
    results = [
        result("direct", single(0.001, 0.002), scenario=ONE),
        result("compiled", single(0.004, 0.009), scenario=ONE),
    ]
    assert added(results, "compiled", ONE, lambda one: one.median) == pytest.approx(0.003)
    assert added(results, "compiled", ONE, lambda one: one.p99) == pytest.approx(0.007)


def test_aims_of_throughput_are_judged_against_each_peer():
    results = [
        result("compiled", busy(210, 1)),
        result("envoy", busy(100, 1)),
        result("haproxy", busy(250, 1)),
    ]
    assert [(each.what, each.aim, each.measured, each.met) for each in aims.judged(results)] == [
        ("requests/s, of HAProxy's", f"≥ 1{TIMES}", f"0.84{TIMES}", False),
        ("requests/s, of Envoy's", f"≥ 2{TIMES}", f"2.10{TIMES}", True),
    ]


def test_an_aim_that_is_judged_by_cpu_time_says_so():
    results = [result("compiled", busy(150, 0.5, cpu=1)), result("envoy", busy(100, 1, cpu=3))]
    assert [each.what for each in aims.judged(results)] == ["requests per CPU second, of Envoy's"]


def test_without_a_quota_throughput_is_judged_with_a_core_each():
    scenario = Scenario(H2LOAD, _PAYLOADS["small"], 32, CORE)
    results = [
        result("compiled", busy(300, 1), scenario=scenario),
        result("envoy", busy(100, 1), scenario=scenario),
    ]
    assert [each.met for each in aims.judged(results)] == [True]


@pytest.mark.parametrize(
    ("name", "met"), [("small", False), ("image", False), ("float", True), ("batch", True)]
)
def test_small_and_middling_requests_may_wait_seven_tenths_of_what_envoy_adds_others_as_much(name, met):
    scenario = Scenario(CPP, _PAYLOADS[name], 1, CORE)
    results = [
        result("direct", single(0.0001, 0.0001), scenario=scenario),
        result("compiled", single(0.0009, 0.0009), scenario=scenario),
        result("envoy", single(0.0011, 0.0011), scenario=scenario),
    ]
    found = aims.judged(results)
    assert [each.met for each in found] == [met, met]
    assert ["median" in each.what for each in found] == [True, False]


def test_two_workers_are_judged_against_one():
    scenario = Scenario(H2LOAD, _PAYLOADS["small"], 256, WORKERS)
    results = [
        result("compiled", busy(100, 1), scenario=scenario),
        result("workers", busy(190, 1), scenario=scenario),
    ]
    assert [(each.measured, each.met) for each in aims.judged(results)] == [(f"1.90{TIMES}", True)]


def test_two_workers_that_were_held_up_by_the_load_have_proved_nothing():
    scenario = Scenario(H2LOAD, _PAYLOADS["small"], 256, WORKERS)
    results = [
        result("compiled", busy(100, 1, cpu=2), scenario=scenario),
        result("workers", busy(110, 0.5, cpu=1), scenario=scenario),
    ]
    assert [each.met for each in aims.judged(results)] == [False]
