"""What several workers tell of readiness, models, refusals and deaths is told as one would tell it."""

from proxy.core.availability import VersionStatus
from proxy.core.types import Servable
from proxy.observe.admin.views import Check, ModelListing
from proxy.observe.refusals import Refusal
from proxy.observe.suspects import Death, Suspect
from proxy.workers import joining
from proxy.workers.joining import SERVING, SILENT, WAITING


def refusal(time: str) -> Refusal:
    return Refusal(time, "", "", "", "m", None, "", (), {}, (), "")


def death(seconds: float, calls: int) -> Death:
    suspect = Suspect("", "", "m", "", {}, 0.0, "")
    return Death(f"2026-01-01T00:00:{seconds:06.3f}+00:00", calls, [suspect] * min(calls, 32))


def test_a_condition_holds_when_it_holds_for_all():
    told = {0: [Check("upstream", True, "reachable")], 1: [Check("upstream", True, "reachable")]}
    assert joining.checks({0: SERVING, 1: SERVING}, told) == [
        Check("upstream", True, "reachable"),
        Check("worker/0", True),
        Check("worker/1", True),
    ]


def test_whose_condition_fails_is_said_unless_it_is_everyones():
    told = {0: [Check("upstream", True, "reachable")], 1: [Check("upstream", False, "unreachable")]}
    (upstream, *_) = joining.checks({0: SERVING, 1: SERVING}, told)
    assert upstream == Check("upstream", False, "worker 1: unreachable")
    (upstream, *_) = joining.checks({0: SERVING, 1: SERVING}, {0: told[1], 1: told[1]})
    assert upstream == Check("upstream", False, "unreachable")


def test_a_worker_that_does_not_serve_or_answer_is_named():
    *_, zero, one = joining.checks({1: SILENT, 0: WAITING}, {})
    assert (zero.name, zero.ok, zero.text) == ("worker/0", False, "has ended, and is not started again yet")
    assert (one.name, one.ok, one.text) == ("worker/1", False, "does not answer")


def test_what_one_worker_knows_of_a_model_all_together_know():
    loading, available = VersionStatus(2, "LOADING"), VersionStatus(2, "AVAILABLE")
    one, two = Servable("b", 1, {}), Servable("b", 2, {})
    first = ModelListing("b", (available,), (one,), "enforce")
    second = ModelListing(
        "b", (loading, VersionStatus(1, "END")), (two, Servable("b", 1, {"other": None})), "enforce"
    )
    joined = joining.models([[first], [second, ModelListing("a")]])
    assert [each.name for each in joined] == ["a", "b"]
    assert joined[1] == ModelListing("b", (available, VersionStatus(1, "END")), (one, two), "enforce")


def test_models_that_all_know_alike_keep_the_order_of_the_server():
    listing = ModelListing("m", (VersionStatus(1, "END"), VersionStatus(2, "AVAILABLE")), (), "enforce")
    assert joining.models([[listing], [listing]]) == [listing]


def test_the_newest_refusals_of_all_come_first_and_are_no_more_than_asked_for():
    told = [[refusal("3"), refusal("1")], [refusal("4"), refusal("2")]]
    assert [each.time for each in joining.refusals(told, 3)] == ["4", "3", "2"]


def test_calls_that_workers_lost_within_a_second_died_with_the_same_server():
    joined = joining.deaths([[death(30, 2), death(10.0, 20)], [death(10.9, 30)]])
    assert [(each.time[17:19], each.calls, len(each.suspects)) for each in joined] == [
        ("30", 2, 2),
        ("10", 50, 32),
    ]


def test_of_deaths_no_more_are_told_than_one_worker_would():
    assert len(joining.deaths([[death(2 * number, 1) for number in range(29, -1, -1)]])) == 20
