import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, TensorView
from proxy.core.verdict import Verdict, Violation
from proxy.observe.problems import Filter, Problems, id_of
from tests.observe.ended import ended

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
VIEW = RequestView(ModelKey("m"), "", (TensorView("x", 1, (3,)),), ("y",))


def violation(field: str = 'inputs["x"]', reason: Reason = Reason.RANK_MISMATCH, **more) -> Violation:
    return Violation(
        reason, field, more.get("where", "input 'x'"), "rank 2 [?,3]", "rank 1 [3]", "add a batch dimension"
    )


def call(*violations: Violation, **fields):
    return ended(
        PREDICT,
        **{
            "code": 3,
            "peer": "ipv4:192.0.2.1:5000",
            "model": "m",
            "version": 4,
            "signature": "serving_default",
            "refusal": Verdict(violations or (violation(),)),
            "request": VIEW,
            "text": "what the client was told",
            **fields,
        },
    )


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def problems(clock) -> Problems:
    return Problems(clock=clock)


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


def test_the_same_mistake_is_one_problem_and_another_is_another(problems, clock):
    problems.call_ended(call())
    clock.pass_(seconds=90)
    problems.call_ended(call())
    for other in (
        call(violation('inputs["z"]')),
        call(violation(reason=Reason.DTYPE_MISMATCH)),
        call(model="n"),
        call(signature="classify"),
        call(refusal=None, would_refuse=(violation(),)),
        call(refusal=None, warnings=(violation(),)),
        call(refusal=None, diagnosis=Reason.UPSTREAM_RESET),
    ):
        problems.call_ended(other)
    assert len(problems) == 8
    (same,) = [each for each in problems.select() if each.count == 2]
    assert (same.first_seen, same.last_seen) == (
        "2026-01-02T12:00:00.000+00:00",
        "2026-01-02T12:01:30.000+00:00",
    )
    assert same.sparkline[-2:] == (1, 1)


def test_what_concerns_no_field_is_one_problem_of_all_signatures(problems):
    for signature in ("a", "b"):
        problems.call_ended(call(refusal=None, diagnosis=Reason.UPSTREAM_RESET, signature=signature))
    (problem,) = problems.select()
    assert (problem.count, problem.signature) == (2, "b")


def test_what_is_fine_is_no_problem(problems):
    problems.call_ended(ended(PREDICT, model="m"))
    problems.call_ended(ended(PREDICT, model="m", code=5))
    assert problems.select() == []
    assert problems.revision == 0


def test_each_thing_that_is_wrong_with_a_call_counts_once(problems):
    problems.call_ended(call(violation(), violation('inputs["z"]'), violation()))
    assert {(each.field, each.count) for each in problems.select()} == {
        ('inputs["x"]', 1),
        ('inputs["z"]', 1),
    }


def test_the_servers_error_is_told_in_the_words_of_the_diagnosis(problems):
    problems.call_ended(
        call(refusal=None, code=14, diagnosis=Reason.UPSTREAM_RESET, text="the connection was lost")
    )
    (problem,) = problems.select()
    assert (problem.kind, problem.code, problem.got, problem.field) == (
        "upstream_error",
        "UNAVAILABLE",
        "the connection was lost",
        "",
    )


def test_what_would_be_refused_has_the_code_that_it_would_have_and_a_warning_has_none(problems):
    problems.call_ended(call(refusal=None, code=0, would_refuse=(violation(),)))
    problems.call_ended(call(refusal=None, code=0, warnings=(violation(),)))
    assert {each.kind: each.code for each in problems.select()} == {
        "would_refuse": "INVALID_ARGUMENT",
        "warning": "",
    }
    assert problems.select()[0].examples[0].text == "input 'x': expected rank 2 [?,3], got rank 1 [3]"


def test_an_unconfirmed_model_is_shown_as_the_client_named_it(problems):
    problems.call_ended(call(model=None))
    problems.call_ended(call(model=None, request=None))
    assert {each.model for each in problems.select()} == {"m", ""}


def test_the_sparkline_is_the_last_hour_also_when_nothing_comes_any_more(problems, clock):
    problems.call_ended(call())
    clock.pass_(minutes=3)
    problems.call_ended(call())
    (problem,) = problems.select()
    assert problem.sparkline[-4:] == (1, 0, 0, 1)
    clock.pass_(minutes=58)
    (problem,) = problems.select()
    assert (sum(problem.sparkline), problem.sparkline[1], problem.minute) == (
        1,
        1,
        int(clock.now.timestamp()) // 60,
    )
    clock.pass_(days=2)
    (problem,) = problems.select()
    assert problem.sparkline == (0,) * 60
    assert problem.count == 2


def test_a_clock_that_is_put_back_loses_nothing(problems, clock):
    problems.call_ended(call())
    clock.pass_(minutes=-10)
    problems.call_ended(call())
    assert problems.select()[0].sparkline[-1] == 2


def test_senders_are_told_apart_by_address_identity_and_user_agent_and_not_by_port(problems, clock):
    for peer, agent in (
        ("192.0.2.1:1", "a"),
        ("192.0.2.1:2", "a"),
        ("192.0.2.1:3", "b"),
        ("192.0.2.9:1", "a"),
    ):
        clock.pass_(seconds=1)
        problems.call_ended(call(peer=f"ipv4:{peer}", user_agent=agent))
    (problem,) = problems.select()
    assert [(each.peer, each.user_agent, each.count) for each in problem.senders] == [
        ("ipv4:192.0.2.1", "a", 2),
        ("ipv4:192.0.2.1", "b", 1),
        ("ipv4:192.0.2.9", "a", 1),
    ]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:5000", "ipv4:192.0.2.1"),
        ("ipv6:[2001:db8::1]:5000", "ipv6:[2001:db8::1]"),
        ("ipv6:%5B2001:db8::1%5D:5000", "ipv6:[2001:db8::1]"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_an_address_is_that_of_both_edges_without_its_port(problems, peer, address):
    problems.call_ended(call(peer=peer))
    assert problems.select()[0].senders[0].peer == address


def test_one_address_that_invents_user_agents_does_not_push_out_the_other_senders(problems):
    problems.call_ended(call(peer="ipv4:192.0.2.9:1", user_agent="honest"))
    for number in range(100):
        problems.call_ended(call(user_agent=f"invented {number}"))
    for _ in range(3):
        problems.call_ended(call(peer="ipv4:192.0.2.9:1", user_agent="honest"))
    (problem,) = problems.select()
    assert (problem.senders[0].user_agent, problem.senders[0].count) == ("honest", 4)
    assert len(problem.senders) == 8
    assert problem.more_senders == 93
    assert problem.count == 104


def test_the_newest_examples_are_kept(problems, clock):
    for number in range(9):
        clock.pass_(seconds=1)
        problems.call_ended(call(request_id=str(number)))
    assert [each.request_id for each in problems.select()[0].examples] == ["8", "7", "6", "5", "4"]


# === who pushes out whom ===


def invent(problems: Problems, number: int, peer: str = "ipv4:192.0.2.66:1") -> None:
    problems.call_ended(call(violation(f'inputs["invented{number}"]'), peer=peer))


def fields(problems: Problems) -> set[str]:
    return {each.field for each in problems.select()}


def test_a_client_that_invents_names_does_not_push_out_the_problems_of_others():
    problems = Problems(most=20)
    for number in range(5):
        problems.call_ended(call(violation(f'inputs["real{number}"]'), peer=f"ipv4:192.0.2.{number}:1"))
    for number in range(1000):
        invent(problems, number)
    assert len(problems) == 20
    assert {f'inputs["real{number}"]' for number in range(5)} <= fields(problems)


def test_what_is_there_first_makes_room_for_whoever_comes_later():
    problems = Problems(most=20)
    for number in range(1000):
        invent(problems, number)
    problems.call_ended(call())
    assert 'inputs["x"]' in fields(problems)
    for number in range(1000):
        invent(problems, number)
    assert 'inputs["x"]' in fields(problems)


def test_of_one_client_what_comes_again_stays_and_what_came_once_goes():
    problems = Problems(most=20)
    for _ in range(2):
        problems.call_ended(call(peer="ipv4:192.0.2.66:9"))
    for number in range(1000):
        invent(problems, number)
    assert 'inputs["x"]' in fields(problems)


def test_a_problem_that_an_inventor_sends_first_is_kept_for_others_who_send_it():
    problems = Problems(most=20)
    invent(problems, 7)
    problems.call_ended(call(violation('inputs["invented7"]')))
    for number in range(100, 1000):
        invent(problems, number)
        invent(problems, number)
    assert 'inputs["invented7"]' in fields(problems)


def test_an_ipv6_network_is_one_client_and_so_is_an_identity_from_many_addresses():
    for inventor in (
        lambda number: {"peer": f"ipv6:[2001:db8::{number:x}]:1"},
        lambda number: {"peer": f"ipv4:10.0.{number // 250}.{number % 250}:1", "identity": "team-a"},
    ):
        problems = Problems(most=20)
        problems.call_ended(call())
        for number in range(1000):
            problems.call_ended(call(violation(f'inputs["{number}"]'), **inventor(number)))
        assert 'inputs["x"]' in fields(problems)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 4), st.integers(0, 3)).map(
            lambda drawn: call(
                violation(f'inputs["{drawn[0]}"]'), peer=f"ipv4:192.0.2.{drawn[1]}:1", model=f"m{drawn[2]}"
            )
        ),
        max_size=120,
    )
)
def test_whatever_comes_it_stays_bounded_and_every_group_is_held_by_one(calls):
    problems = Problems(most=10)
    for each in calls:
        problems.call_ended(each)
    assert len(problems) <= 10
    held = [key for holding in problems._held.values() for key in (*holding.once, *holding.again)]
    assert sorted(held) == sorted(problems._groups)
    assert all(problems._held.values())
    assert all(key in problems._groups for key in held)


def test_all_of_it_is_bounded_whatever_clients_send():
    long = "x" * 1_000_000
    tensors = tuple(TensorView(f"{n}{long}", 1, (1,) * 10_000) for n in range(50))
    view = RequestView(ModelKey(long), long, tensors, (long,) * 500)
    problems = Problems()
    for number in range(300):
        found = tuple(
            Violation(Reason.RANK_MISMATCH, f"{number}.{n}.{long}", long, long, long, long) for n in range(50)
        )
        problems.call_ended(
            call(
                refusal=Verdict(found),
                peer=f"{long}:{number}",
                identity=long,
                user_agent=f"{number}{long}",
                signature=long,
                text=long,
                request=view,
                model=None,
                request_id=long,
            )
        )
    assert len(problems) == 256
    assert max(len(json.dumps(each.as_json())) for each in problems.select()) < 60_000


# === asking ===


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
