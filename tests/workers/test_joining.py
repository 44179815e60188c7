"""What several workers tell of readiness, models, refusals and deaths is told as one would tell it."""

from dataclasses import replace
from datetime import timedelta

from proxy.core.availability import VersionStatus
from proxy.core.types import Servable
from proxy.observe.admin.status import Upstream
from proxy.observe.admin.views import Check, ModelListing
from proxy.observe.drifts import SignatureDrift
from proxy.observe.problem import Filter
from proxy.observe.problems import Problems
from proxy.observe.refusals import Refusal
from proxy.observe.suspects import Death, Suspect
from proxy.workers import joining
from proxy.workers.joining import SERVING, SILENT, WAITING
from tests.observe.mistaken import NOON, call


def refusal(time: str) -> Refusal:
    return Refusal(time, "", "", "", "m", None, "", (), {}, (), "", "", "")


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


# === problems, changes, the server ===


def problem(worker: int, *calls, minutes: int = 0):
    """The problems of one worker, that has seen these calls, as it tells them so many minutes later."""
    now = [NOON]
    kept = Problems(clock=lambda: now[0])
    for each in calls:
        now[0] += timedelta(seconds=1 + worker)
        kept.call_ended(each)
    now[0] = NOON + timedelta(minutes=minutes)
    return kept.select()


def test_the_same_problem_of_several_workers_is_one():
    ours = [call(user_agent="a", request_id="1"), call(user_agent="a", request_id="2"), call(user_agent="b")]
    theirs = [call(user_agent="a", request_id="3"), call(model="n")]
    joined = joining.JoinedProblems([problem(0, *ours), problem(1, *theirs)])
    (found,) = joined.select(Filter(model="m"))
    assert found.count == 4
    assert [(each.user_agent, each.count) for each in found.senders] == [("a", 3), ("b", 1)]
    assert [each.request_id for each in found.examples] == ["", "2", "3", "1"]
    assert found.first_seen < found.last_seen
    assert sum(found.sparkline) == 4
    assert joined.get(found.id) == found
    assert [each.model for each in joined.select()] == ["n", "m"]
    assert [each.model for each in joined.select(Filter(limit=1))] == ["n"]


def test_what_several_tell_of_a_problem_is_what_one_would_tell():
    calls = [call(user_agent=f"agent {number % 3}") for number in range(30)]
    for split in (0, 1, 7, 29):
        joined = joining.JoinedProblems([problem(0, *calls[:split]), problem(0, *calls[split:])])
        (found,), (whole,) = joined.select(), problem(0, *calls)
        assert found.count == whole.count
        assert sorted(found.sparkline) == sorted(whole.sparkline)
        assert {(each.user_agent, each.count) for each in found.senders} == {
            (each.user_agent, each.count) for each in whole.senders
        }


def test_minutes_are_put_together_though_one_worker_tells_a_minute_later():
    joined = joining.JoinedProblems([problem(0, call()), problem(0, call(), minutes=2)])
    (found,) = joined.select()
    assert (len(found.sparkline), found.sparkline[-3:]) == (60, (2, 0, 0))
    late = joining.JoinedProblems([problem(0, call()), problem(0, call(), minutes=500)])
    assert late.select()[0].sparkline == (0,) * 60


def test_senders_and_examples_of_several_are_bounded():
    told = [problem(0, *(call(user_agent=f"{worker} {n}") for n in range(9))) for worker in range(3)]
    (found,) = joining.JoinedProblems(told).select()
    assert (len(found.senders), found.more_senders, len(found.examples)) == (8, 19, 5)


def test_a_change_that_all_have_seen_is_one_seen_first_by_the_first():
    first = SignatureDrift("2026-01-02T12:00:01", "m", "a", 1, 2, True, ("x",))
    later = replace(first, time="2026-01-02T12:00:02")
    other = replace(later, to_version=3)
    assert joining.drifts([[later, other], [first]]) == [first, other]


def test_the_server_is_up_when_it_is_for_all_and_else_for_how_many_it_is_not():
    up = Upstream("s:1", "up", "2026-01-02T12:00:01")
    later = replace(up, since="2026-01-02T12:00:02")
    down = Upstream("s:1", "down", "2026-01-02T12:00:03", "refused")
    assert joining.upstreams([[up], [later]]) == [later]
    assert joining.upstreams([[down], [down]]) == [down]
    assert joining.upstreams([[up], [down]]) == [replace(down, detail="so for 1 of 2 workers: refused")]
    assert joining.upstreams([]) == []
