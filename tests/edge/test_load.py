"""Whose what is held is, and for whom there is room."""

import pytest

from proxy.core.reasons import Code, Reason
from proxy.edge.admission import (
    BYTES,
    CALLS,
    LOCAL_CALLS,
    MOST_LOCAL_CALLS,
    MOST_LOCAL_CALLS_OF_A_CONNECTION,
    Limits,
)
from proxy.edge.load import Load
from proxy.wire.status import status_of

MANY = 2**40


def load(**limits):
    return Load(Limits(**limits))


def full(bound, account, size):
    """Take until there is no more."""
    while bound.take(account, size) is None:
        pass


def test_without_limits_everything_is_taken_in():
    unlimited = load()
    client = unlimited.joined("a")
    assert unlimited.enter(client) is None
    assert unlimited.take(client, MANY) is None


def test_what_is_given_back_can_be_taken_again():
    bound = load(max_inflight_bytes=10)
    client = bound.joined("a")
    assert bound.take(client, 6) is None
    assert bound.take(client, 5).violations[0].reason is Reason.OVERLOADED
    bound.give_back(client, 6)
    assert bound.take(client, 10) is None
    assert bound.bytes == client.held == client.peer.held == 10


def test_a_message_that_can_never_fit_is_not_told_to_come_again():
    bound = load(max_inflight_bytes=10)
    (refusal,) = [bound.take(bound.joined("a"), 11)]
    assert refusal is not None
    assert refusal.violations[0].reason is Reason.MESSAGE_TOO_LARGE
    assert refusal.retry_seconds is None


def test_a_message_that_fits_is_taken_in_piece_by_piece_when_nothing_else_is_held():
    bound = load(max_inflight_bytes=1000)
    client = bound.joined("a")
    assert all(bound.take(client, 10, own=taken) is None for taken in range(0, 1000, 10))
    assert bound.take(client, 1, own=1000) is not None


def test_one_connection_may_have_three_quarters_and_leaves_room_for_every_other():
    bound = load(max_inflight_bytes=16_000)
    greedy, others = bound.joined("a"), [bound.joined("a"), bound.joined("b")]
    full(bound, greedy, 10)
    assert greedy.held == 12_000
    assert all(bound.take(other, 500) is None for other in others)


def test_however_many_connections_an_address_has_another_finds_room():
    bound = load(max_inflight_bytes=1_000_000)
    for _ in range(300):
        full(bound, bound.joined("a"), 100)
    assert bound.take(bound.joined("b"), 10_000) is None


def test_those_who_hold_most_are_told_how_much_is_theirs():
    bound = load(max_inflight_bytes=1000)
    client = bound.joined("a")
    bound.take(client, 750)
    text = status_of(bound.take(client, 200)).text
    assert "750 of its own" in text
    assert "750 of 1000" in text


def test_one_that_holds_little_has_a_slow_one_turned_away_for_it():
    bound = load(max_inflight_bytes=1600)
    slow, client = bound.joined("a"), bound.joined("b")
    bound.take(slow, 1600)

    def make_room(account, size):
        assert (account, size) == (client, 100)
        bound.give_back(slow, slow.held)
        return True

    bound.make_room = make_room
    assert bound.take(client, 100) is None


def test_one_that_holds_much_has_nobody_turned_away_for_it():
    bound = load(max_inflight_bytes=1600)
    bound.take(bound.joined("a"), 1000)
    bound.make_room = lambda *_: pytest.fail("nobody is to go")
    assert bound.take(bound.joined("b"), 400) is not None


def test_a_call_beyond_the_limit_is_turned_away_and_may_retry():
    bound = load(max_concurrent_calls=1)
    client = bound.joined("a")
    assert bound.enter(client) is None
    turned_away = bound.enter(client)
    assert turned_away.status_code is Code.RESOURCE_EXHAUSTED
    assert turned_away.retry_seconds > 0
    bound.leave(client)
    assert bound.calls == 0
    assert bound.enter(client) is None


def test_a_client_alone_may_have_all_calls_and_beside_others_not_the_last_quarter():
    bound = load(max_concurrent_calls=100)
    greedy, other = bound.joined("a"), bound.joined("a")
    assert sum(bound.enter(greedy) is None for _ in range(200)) == 100
    for _ in range(50):
        bound.leave(greedy)
    assert bound.enter(other) is None
    assert sum(bound.enter(greedy) is None for _ in range(200)) == 24
    assert bound.enter(other) is None


def test_calls_are_bounded_by_the_memory_they_cost_where_nothing_else_bounds_them():
    bound = load(max_inflight_bytes=16 << 20)
    client = bound.joined("a")
    assert sum(bound.enter(client) is None for _ in range(5000)) == 4096


def test_the_proxy_s_own_services_are_bounded_for_each_connection_and_in_all():
    bound = load()
    one = bound.joined("a")
    assert sum(bound.enter_local(one) is None for _ in range(100)) == MOST_LOCAL_CALLS_OF_A_CONNECTION
    assert bound.enter_local(bound.joined("a")) is None
    entered = sum(bound.enter_local(bound.joined("a")) is None for _ in range(1000))
    assert entered == MOST_LOCAL_CALLS - MOST_LOCAL_CALLS_OF_A_CONNECTION - 1
    bound.leave_local(one)
    assert bound.enter_local(one) is None


def test_every_bound_that_is_hit_is_told():
    hits = []
    bound = Load(Limits(max_inflight_bytes=1, max_concurrent_calls=0), hits.append)
    client = bound.joined("a")
    bound.take(client, 2)
    bound.enter(client)
    for _ in range(MOST_LOCAL_CALLS_OF_A_CONNECTION + 1):
        bound.enter_local(client)
    assert hits == [BYTES, CALLS, LOCAL_CALLS]


def test_an_address_is_forgotten_with_its_last_connection():
    bound = load()
    accounts = [bound.joined("a"), bound.joined("a")]
    assert accounts[0].peer is accounts[1].peer
    assert bound.connections == 2
    for account in accounts:
        bound.left(account)
    assert bound.connections == 0
    assert bound.joined("a").peer is not accounts[0].peer


def test_a_message_of_exactly_the_limit_passes():
    bound = load(max_message_bytes=10)
    client = bound.joined("a")
    assert bound.take(client, 10) is None
    assert bound.take(client, 11).violations[0].reason is Reason.MESSAGE_TOO_LARGE
