"""Budgets: bursts pass, floods do not, useful work earns more."""

import pytest

from proxy.edge.native.http2.budgets import Budget
from proxy.edge.native.http2.limits import Limits


def spend(budget, count, now=0.0, earned=0):
    return sum(budget.spend(now, earned) for _ in range(count))


def test_a_budget_runs_out():
    assert spend(Budget(10, 1, 1), 50) == 10


def test_time_refills_it_up_to_the_burst():
    budget = Budget(10, 2, 1)
    spend(budget, 10)
    assert spend(budget, 50, now=2.0) == 4
    assert spend(budget, 50, now=1000.0) == 10


def test_useful_work_refills_it_too():
    budget = Budget(10, 0, 8)
    spend(budget, 10)
    assert spend(budget, 50, earned=1) == 8


def test_a_clock_that_steps_back_takes_nothing_away():
    budget = Budget(10, 1, 1)
    assert budget.spend(5.0, 0)
    assert spend(budget, 50, now=1.0) == 9


@pytest.mark.parametrize(
    "wrong",
    [{"stream_window": 1000}, {"connection_window": 2**31}, {"frame_size": 1000}, {"frame_size": 2**24}],
)
def test_limits_that_http_2_does_not_know_are_refused(wrong):
    with pytest.raises(ValueError, match=r"octets|frame_size"):
        Limits(**wrong)
