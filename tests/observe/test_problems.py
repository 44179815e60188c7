"""The same mistake is one problem, and whoever invents names pushes out only its own."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, TensorView
from proxy.core.verdict import Verdict, Violation
from proxy.observe.problems import Problems
from tests.observe.mistaken import call, violation


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


def test_an_unconfirmed_model_is_shown_as_the_client_named_it(problems):
    problems.call_ended(call(model=None))
    problems.call_ended(call(model=None, request=None))
    assert {each.model for each in problems.select()} == {"m", ""}


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
