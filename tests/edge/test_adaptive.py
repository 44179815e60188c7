"""--adaptive: a server that is too busy is let have fewer calls, and more again as it recovers; with either edge."""

import asyncio
import itertools
import urllib.request

import grpc
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.adaptive import AdaptiveLimit
from tests.edge.conftest import PREDICT, ask, judged, predict

MOST = 64
CODES = st.sampled_from([0, 0, 0, 8, 4, 3, 14, None])


@given(st.lists(st.tuples(st.booleans(), CODES), max_size=300))
def test_it_stays_between_one_and_the_most_and_never_lets_more_in(steps):
    limit, under_way = AdaptiveLimit(MOST), []
    for now, (comes, code) in enumerate(steps):
        if comes:
            room = len(under_way) < limit.limit
            assert limit.enter() == room
            under_way += [now] * room
        elif under_way:
            limit.leave(under_way.pop(0), now, code)
        assert 1 <= limit.limit <= MOST
        assert limit.calls == len(under_way)
    assert limit.calls or limit.enter(), "there is always room for one"


@given(st.integers(2, MOST), st.sampled_from([4, 8]))
def test_all_that_were_under_way_together_lower_it_once(together, code):
    limit = AdaptiveLimit(MOST)
    for _ in range(together):
        limit.enter()
    for number in range(together):
        limit.leave(1.0, 2.0 + number, code)
    assert limit.limit == max(1, int(together * 0.75))


@given(st.integers(1, 40))
def test_failures_one_after_another_lower_it_by_a_part_each_time(times):
    limit, seen = AdaptiveLimit(MOST), []
    for number in range(times):
        taken = limit.limit
        for _ in range(taken):
            limit.enter()
        limit.leave(2.0 * number, 2.0 * number + 1, 8)
        for _ in range(taken - 1):
            limit.leave(2.0 * number, 2.0 * number + 1, None)
        seen.append(limit.limit)
    assert all(after <= before for before, after in itertools.pairwise(seen))
    assert seen[0] == MOST * 0.75


@given(st.integers(1, 30))
def test_it_recovers_by_about_one_for_each_round_of_successes(rounds):
    limit = AdaptiveLimit(MOST)
    limit.enter()
    limit.leave(0.0, 1.0, 8)
    for _ in range(rounds):
        for _ in range(limit.limit):
            limit.enter()
            limit.leave(2.0, 3.0, 0)
    assert rounds * 0.5 <= limit.limit <= rounds + 1


@given(st.floats(0.01, 10))
def test_a_client_that_gives_less_time_than_calls_take_says_nothing_of_the_server(seconds):
    limit = AdaptiveLimit(MOST)
    for _ in range(200):
        limit.enter()
        limit.leave(0.0, seconds, 0)
    limit.enter()
    limit.leave(1.0, 1.0 + seconds / 2, 4)
    assert limit.limit == MOST
    limit.enter()
    limit.leave(1.0, 1.0 + seconds * 2, 4)
    assert limit.limit == 1


@given(st.integers(1, 200), st.integers(1, 10))
def test_where_calls_are_late_no_more_are_let_in_than_the_server_answers_in_their_time(a_second, deadline):
    """More calls come than it answers, until the first is late: then all that are let in can be in time."""
    limit = AdaptiveLimit(1_000_000)
    under_way = 0
    for number in range(a_second * deadline):
        for _ in range(3):
            assert limit.enter()
            under_way += 1
        limit.leave(0.0, number / a_second, 0)
        under_way -= 1
    before = limit.calls
    assert before == under_way
    limit.leave(0.01, float(deadline), 4)
    assert limit.limit <= max(1, a_second * deadline)
    assert limit.limit >= int(before * 0.25)


def test_a_server_that_pauses_is_not_taken_for_one_that_is_slow():
    limit = AdaptiveLimit(MOST)
    for number in range(100):
        limit.enter()
        limit.leave(number / 10, number / 10 + 0.01, 0)
    for _ in range(40):
        limit.enter()
    limit.leave(10.0, 11.0, 4)  # ten a second were answered before: that is not what it bears
    assert limit.limit == 10


def test_what_was_answered_long_ago_counts_for_what_it_was_a_second():
    limit = AdaptiveLimit(1000)
    limit.enter()
    limit.leave(0.0, 1.0, 0)
    for number in range(400):  # an hour later
        limit.enter()
        limit.leave(3600.0 + number / 40, 3600.01 + number / 40, 0)
    for _ in range(200):
        limit.enter()
    limit.leave(3609.0, 3611.0, 4)
    assert 50 <= limit.limit <= 60


async def metric(proxy, name):
    """The number of a gauge."""
    with await asyncio.to_thread(urllib.request.urlopen, f"http://{proxy.admin}/metrics") as page:
        lines = page.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def test_another_most_holds_at_once_and_a_limit_that_was_lowered_stays_low():
    limit = AdaptiveLimit(8)
    limit.adopt(20)
    assert limit.limit == 20
    limit.adopt(4)
    assert limit.limit == 4
    assert limit.enter()
    limit.leave(1, 2, int(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]))
    limit.adopt(20)
    assert limit.limit == 1


def test_what_says_nothing_of_the_load_changes_nothing():
    limit = AdaptiveLimit(MOST)
    for code in (3, 5, 14, None):
        limit.enter()
        limit.leave(0.0, 1.0, code)
    assert limit.limit == MOST


async def test_a_server_that_is_too_busy_gets_fewer_calls_and_more_again_when_it_is_not(
    serving, start_proxy, connect
):
    proxy = await start_proxy("--adaptive", "--max-concurrent-calls", "64")
    channel = connect(proxy)
    await judged(proxy, channel)
    assert (await metric(proxy, "tfs_proxy_upstream_calls_limit")) == 64
    serving.fail("Predict", grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
    for _ in range(2):
        assert (await ask(channel, PREDICT, predict())).details.startswith("busy")
    serving.mend("Predict")
    assert (await metric(proxy, "tfs_proxy_upstream_calls_limit")) == 1
    with serving.hold("Predict") as hold:
        held = asyncio.create_task(ask(channel, PREDICT, predict()))
        await hold.arrived()
        refused = await ask(channel, PREDICT, predict())
        assert (refused.reason, refused.retry_seconds) == ("OVERLOADED", 1)
        assert "--adaptive" in refused.details
        assert (await metric(proxy, "tfs_proxy_upstream_calls")) == 1
        hold.release()
        assert (await held).code is grpc.StatusCode.OK
    for _ in range(8):
        assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    assert (await metric(proxy, "tfs_proxy_upstream_calls_limit")) > 2
    with serving.hold("Predict"):
        late = await ask(channel, PREDICT, predict(), timeout=0.2)
        assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(10):
            while (await metric(proxy, "tfs_proxy_upstream_calls_limit")) != 1:
                pass
