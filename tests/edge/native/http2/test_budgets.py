"""Budgets: bursts pass, floods do not, useful work earns more."""

from proxy.edge.native.http2.budgets import Budget, Budgets
from proxy.edge.native.http2.errors import PeerFault
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


# Who is charged for what.

STRICT = Limits(nuisance_burst=10, reset_burst=10, head_burst=1000, head_rate=0, control_backlog=10)


def charged(charge, most=10_000, **how):
    """How often the charge is paid before there is nothing left."""
    for count in range(most):
        try:
            charge(**how)
        except PeerFault:
            return count
    return None


def test_frames_that_carry_nothing_are_paid_by_both_roles_and_earned_by_what_we_sent():
    for server in (True, False):
        budgets = Budgets(STRICT, server=server)
        assert charged(budgets.charge_nuisance) == 10
        budgets.sent_frames += 2
        assert charged(budgets.charge_nuisance) == 10
        budgets.completed += 1000
        assert charged(budgets.charge_nuisance) == 0


def test_resets_are_paid_by_clients_and_earned_by_streams_that_ran_to_their_end():
    assert charged(Budgets(STRICT, server=False).charge_reset) is None
    budgets = Budgets(STRICT, server=True)
    assert charged(budgets.charge_reset) == 10
    budgets.completed += 3
    budgets.sent_frames += 1000
    # One of those earned was owed since the charge that failed.
    assert charged(budgets.charge_reset) == 2


def test_answers_are_counted_while_the_peer_does_not_read():
    budgets = Budgets(STRICT, server=True)
    assert charged(budgets.charge_answer, paused=False) is None
    assert charged(budgets.charge_answer, paused=True) == 10
    budgets.charge_answer(paused=False)
    assert charged(budgets.charge_answer, paused=True) == 10


def test_small_heads_are_free_and_large_ones_are_paid_by_clients_until_calls_are_answered():
    budgets = Budgets(STRICT, server=True)
    assert charged(budgets.charge_head, fields=100, octets=2000, refused=False) is None
    assert charged(budgets.charge_head, fields=456, octets=0, refused=False) == 5
    assert charged(Budgets(STRICT, server=False).charge_head, fields=10_000, octets=0, refused=False) is None
    budgets.completed += 1
    assert charged(budgets.charge_head, fields=456, octets=0, refused=False) == 4


def test_an_answer_that_refuses_a_head_for_its_size_earns_nothing():
    budgets = Budgets(Limits(head_burst=4000, head_rate=0), server=True)
    for _ in range(5):
        budgets.charge_head(fields=656, octets=0, refused=True)
        budgets.completed += 1
    assert charged(budgets.charge_head, fields=656, octets=0, refused=False) == 5
