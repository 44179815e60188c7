"""Resets of a server's streams: at a pace that no server takes for an attack, each client in its turn."""

import pytest

from proxy.edge.native.http2 import frames as f
from proxy.edge.native.http2.pacing import MOST, SHARE, WORN, Pacing

OTHERS = 1000


def spent(pacing, owners, now, completed=0):
    return sum(pacing.may_go(owner, now, completed) for owner in owners)


def test_a_few_go_at_once():
    pacing = Pacing()
    assert spent(pacing, range(30), 0.0) == 20


def test_one_client_has_a_share_of_what_goes_at_once():
    pacing = Pacing()
    assert spent(pacing, [1] * 100, 0.0) == SHARE
    assert pacing.may_go(2, 0.0, 0)
    assert spent(pacing, [1] * 100, 1.0) == SHARE


def test_what_waits_goes_in_turns_of_the_clients_the_oldest_first():
    pacing = Pacing()
    spent(pacing, range(20), 0.0)
    for stream in range(1, 2001, 2):
        pacing.wait(stream, f.CANCEL, 1, 0.0)
    pacing.wait(OTHERS + 1001, f.CANCEL, 2, 0.1)
    assert list(pacing.due(0.5, 0)) == [], "too young, and nothing was earned"
    assert list(pacing.due(1.2, 0)) == [(1, f.CANCEL), (OTHERS + 1001, f.CANCEL), (3, f.CANCEL)]
    assert len(pacing) == 998


def test_a_client_whose_resets_wait_does_not_overtake_itself():
    pacing = Pacing()
    pacing.wait(1, f.CANCEL, 1, 0.0)
    assert not pacing.may_go(1, 0.0, 0)
    assert pacing.may_go(2, 0.0, 0)


def test_calls_that_end_well_earn_resets_and_too_many_earn_no_more_than_a_server_allows():
    pacing = Pacing()
    spent(pacing, range(20), 0.0)
    assert spent(pacing, range(100, 200), 1.0, completed=4) == 2
    assert spent(pacing, range(200, 300), 2.0, completed=10_000) == 3


@pytest.mark.parametrize("completed", [0, 1_000_000])
def test_no_known_server_takes_the_pace_for_an_attack(completed):
    """Netty has the lowest limit: 200 in 30 s."""
    pacing = Pacing()
    sent = []
    stream = 1
    for second in range(300):
        for owner in range(100):
            if pacing.may_go(owner, float(second), completed * second):
                sent.append(second)
            elif len(pacing) < WORN:
                pacing.wait(stream, f.CANCEL, owner, float(second))
                stream += 2
        sent += [second for _ in pacing.due(float(second), completed * second)]
    assert len(sent) > 800
    assert max(sum(start <= each < start + 30 for each in sent) for start in range(270)) <= 200


def test_no_more_than_so_many_wait():
    pacing = Pacing()
    for stream in range(MOST):
        pacing.wait(2 * stream + 1, f.CANCEL, 1, 0.0)
    assert pacing.may_go(1, 0.0, 0)
