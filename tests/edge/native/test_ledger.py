"""What a call takes of the load it gives back, whatever happens in between."""

import pytest

from proxy.core.reasons import Reason
from proxy.edge.admission import Limits
from proxy.edge.load import Load
from proxy.edge.native.ledger import Ledger

MOST = 1000


@pytest.fixture
def load():
    return Load(Limits(max_inflight_bytes=MOST))


@pytest.fixture
def account(load):
    return load.joined("192.0.2.1")


@pytest.fixture
def ledger(load, account):
    ledger = Ledger(load)
    assert ledger.enter(account, local=False) is None
    return ledger


def test_what_is_held_is_booked_and_given_back_at_the_end(load, account, ledger):
    assert ledger.hold(300) is None
    ledger.give_back(100)
    assert (ledger.held, load.bytes, account.held, load.calls) == (200, 200, 200, 1)
    ledger.leave(local=False)
    assert (load.bytes, account.held, load.calls) == (0, 0, 0)


def test_without_room_it_says_so_and_holds_no_more(load, ledger):
    assert ledger.hold(300) is None
    (violation,) = ledger.hold(MOST).violations
    assert violation.reason is Reason.OVERLOADED
    assert ledger.held == load.bytes == 300


def test_it_grows_to_what_is_wanted_and_shrinks_only_where_told(load, ledger):
    assert ledger.settle(300, shrinks=False) is None
    assert ledger.settle(100, shrinks=False) is None
    assert load.bytes == 300
    assert ledger.settle(100, shrinks=True) is None
    assert load.bytes == 100
    assert ledger.settle(MOST + 1, shrinks=True) is not None


def test_what_is_unread_outlives_the_call_and_goes_as_it_is_read(load, ledger):
    assert ledger.leave_unread(50) is None
    ledger.leave(local=False)
    assert load.bytes == 50
    ledger.read(20)
    ledger.read(1000)
    assert load.bytes == ledger.unread == 0


def test_once_a_call_is_over_nothing_is_given_back_twice(load, ledger):
    assert ledger.hold(300) is None
    ledger.leave(local=False)
    ledger.give_back(300)
    ledger.settle(100, shrinks=True)
    assert load.bytes == 0


def test_a_call_that_was_not_taken_in_holds_nothing(load):
    ledger = Ledger(load)
    assert ledger.client == ()
    assert ledger.settle(10, shrinks=True) is None
    assert ledger.leave_unread(10) is None
    ledger.read(10)
    ledger.leave(local=False)
    assert (load.bytes, load.calls) == (0, 0)


def test_local_calls_are_counted_apart(load, account):
    ledger = Ledger(load)
    assert ledger.enter(account, local=True) is None
    assert (load.calls, account.local) == (0, 1)
    ledger.leave(local=True)
    assert account.local == 0
