"""A problem as it is told, and which of them are asked for."""

from dataclasses import replace
from datetime import timedelta

from proxy.core.reasons import Reason
from proxy.observe.problem import Filter, id_of
from proxy.observe.problems import Problems
from tests.observe.mistaken import NOON, PREDICT, call, violation


def test_a_problem_tells_what_was_expected_what_came_and_how_to_mend_it(problems):
    problems.call_ended(call(request_id="abc", user_agent="grpc-python/1.0", identity="team-a"))
    (problem,) = [each.as_json() for each in problems.select()]
    time = "2026-01-02T12:00:00.000+00:00"
    who = {"identity": "team-a", "user_agent": "grpc-python/1.0"}
    assert problem == {
        "id": id_of(("refusal", "m", "serving_default", "RANK_MISMATCH", 'inputs["x"]')),
        "kind": "refusal",
        "model": "m",
        "reason": "RANK_MISMATCH",
        "field": 'inputs["x"]',
        "signature": "serving_default",
        "version": 4,
        "code": "INVALID_ARGUMENT",
        "count": 1,
        "first_seen": time,
        "last_seen": time,
        "minute": int(NOON.timestamp()) // 60,
        "sparkline": (*(0,) * 59, 1),
        "expected": "rank 2 [?,3]",
        "got": "rank 1 [3]",
        "hint": "add a batch dimension",
        "remedy": Reason.RANK_MISMATCH.about.remedy,
        "runbook": "docs/runbook.md#rank_mismatch",
        "senders": ({"peer": "ipv4:192.0.2.1", **who, "count": 1, "first_seen": time, "last_seen": time},),
        "more_senders": 0,
        "examples": (
            {
                "time": time,
                "request_id": "abc",
                "peer": "ipv4:192.0.2.1:5000",
                **who,
                "method": PREDICT,
                "version": 4,
                "signature": "serving_default",
                "inputs": {"x": "float32[3]"},
                "outputs": ("y",),
                "text": "what the client was told",
            },
        ),
    }


def test_filters_name_model_reason_kind_client_and_time(problems, clock):
    problems.call_ended(call(user_agent="grpc-go/1.6", identity="team-a"))
    clock.pass_(minutes=5)
    problems.call_ended(call(violation(reason=Reason.DTYPE_MISMATCH), model="n"))
    problems.call_ended(
        call(refusal=None, diagnosis=Reason.UPSTREAM_RESET, peer="ipv4:192.0.2.77:1", model="o")
    )
    for asked, models in (
        (Filter(), {"m", "n", "o"}),
        (Filter(model="n"), {"n"}),
        (Filter(reason="RANK_MISMATCH"), {"m"}),
        (Filter(kind="upstream_error"), {"o"}),
        (Filter(kind="refusal", reason="DTYPE_MISMATCH"), {"n"}),
        (Filter(client="grpc-go"), {"m"}),
        (Filter(client="team-"), {"m"}),
        (Filter(client="192.0.2.77"), {"o"}),
        (Filter(since=NOON + timedelta(minutes=1)), {"n", "o"}),
        (Filter(model="absent"), set()),
    ):
        assert {each.model for each in problems.select(asked)} == models, asked
    assert [each.model for each in problems.select(Filter(limit=2))] == ["n", "o"]


def test_those_seen_last_come_first(problems, clock):
    for model in ("a", "b", "a"):
        clock.pass_(seconds=1)
        problems.call_ended(call(model=model))
    assert [each.model for each in problems.select()] == ["a", "b"]


def test_a_problem_is_found_by_its_id_which_does_not_change(problems):
    problems.call_ended(call())
    (problem,) = problems.select()
    assert problems.get(problem.id) == problem
    assert problems.get("0" * 12) is None
    other = Problems()
    other.call_ended(call(version=9, peer="unix:"))
    assert other.get(problem.id) is not None
    assert replace(problem, count=2).as_json(examples=False).keys() == problem.as_json().keys() - {"examples"}
