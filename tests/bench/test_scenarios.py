"""The plan: what is asked for is measured, by those whom it concerns."""

import pytest

from proxy.wire.protos import predict_pb2
from tests.bench.contestants import CONTESTANTS
from tests.bench.payloads import PAYLOADS
from tests.bench.scenarios import (
    CORE,
    CPP,
    FREE,
    LIMITED,
    OPEN_LOOPS,
    PLAN,
    TIMES,
    WORKERS,
    Scenario,
    plan,
    takes_part,
)

_PAYLOADS = {each.name: each for each in PAYLOADS}


def measured(scenario: Scenario) -> set[str]:
    return {each.name for each in CONTESTANTS if takes_part(each.name, scenario)}


def test_no_scenario_is_planned_twice():
    assert len(set(PLAN)) == len(PLAN)


def test_a_narrower_plan_has_what_was_asked_for():
    found = plan(["limited"], ["image"], [8, 32], clients=True)
    assert [(each.setting, each.payload.name, each.concurrency) for each in found] == [
        (LIMITED, "image", 8),
        (LIMITED, "image", 32),
    ]


def test_without_clients_only_those_with_one_call_at_a_time_are_gone():
    gone = set(PLAN) - set(plan([], [], [], clients=False))
    assert gone
    assert {each.concurrency for each in gone} == {1}


def test_open_loop_latency_brings_the_scenarios_that_tell_the_capacity():
    assert plan(["open-loop"], [], [], clients=True) == list(OPEN_LOOPS)
    assert plan(["open-loop"], ["small"], [], clients=True) == [OPEN_LOOPS[0]]


@pytest.mark.parametrize("name", ["compiled", "envoy", "nginx", "haproxy"])
def test_who_is_compared_meets_every_scenario_that_forwards(name):
    scenarios = [each for each in PLAN if each.setting is not WORKERS and not each.payload.wrong]
    assert [each.title for each in scenarios if not takes_part(name, each)] == []


def test_everyone_is_measured_somewhere():
    assert set.union(*map(measured, PLAN)) == {each.name for each in CONTESTANTS}


def test_workers_are_measured_against_one_and_where_they_have_more_than_a_core():
    assert {each.setting for each in PLAN if takes_part("workers", each)} == {WORKERS, FREE}
    assert all(measured(each) == {"compiled", "workers"} for each in PLAN if each.setting is WORKERS)


def test_workers_have_connections_enough_for_each_to_have_some():
    assert {each.connections for each in PLAN if each.setting is WORKERS} == {64}
    assert {each.connections for each in PLAN if each.concurrency == 256 and each.setting is CORE} == {8}


def test_calls_are_shared_evenly_by_the_connections():
    assert all(each.concurrency % each.connections == 0 for each in PLAN)


def test_a_client_with_many_inputs_sends_the_same_in_another_order_each_time():
    messages = [message for message, _ in _PAYLOADS["orders"].requests()]
    assert len(set(messages)) == len(messages) == 1000
    first, *others = (predict_pb2.PredictRequest.FromString(each) for each in messages[:3])
    assert len(first.inputs) == 100
    assert all(each == first for each in others)


def test_titles_tell_scenarios_of_a_setting_apart():
    for setting in (LIMITED, CORE, FREE, WORKERS):
        titles = [each.title for each in PLAN if each.setting is setting]
        assert len(set(titles)) == len(titles)


def test_a_title_says_how_many_calls_a_client_makes_if_more_than_one():
    assert Scenario(CPP, _PAYLOADS["small"]).title == "269 B, C++ client"
    assert Scenario(CPP, _PAYLOADS["small"], 32).title == f"269 B, C++ client {TIMES} 32"
