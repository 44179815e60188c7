"""--client-rate: each client has its own bucket of tokens, and is told when there is one again."""

import asyncio
from collections import Counter

import grpc
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.load import Account
from proxy.edge.rates import Rates, client_identity
from proxy.observe.outcome import Outcome
from tests.edge.conftest import PREDICT, ask, predict
from tests.edge.native.conftest import PREDICT_HEAD, Peer

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RATES = st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.0, 1000.0])
STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 3)), max_size=80)


@given(RATES, st.integers(1, 20), STEPS, st.floats(0, 1e6))
def test_in_no_stretch_of_time_does_a_client_get_more_than_its_burst_and_its_rate(rate, burst, steps, now):
    rates, taken = Rates(rate, burst), {}
    for client, pause in steps:
        now += pause
        if not rates.take(client, now):
            taken.setdefault(client, []).append(now)
    for times in taken.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + (times[last] - times[first]) * rate + 1e-3


@given(RATES, st.integers(1, 20), st.floats(0, 1e6))
def test_the_wait_that_is_told_is_the_true_one(rate, burst, now):
    rates = Rates(rate, burst)
    assert [rates.take("a", now) for _ in range(burst)] == [0] * burst
    wait = rates.take("a", now)
    assert wait == pytest.approx(1 / rate, rel=1e-3)
    assert rates.take("a", now + wait / 2)
    assert not rates.take("a", now + wait)


@given(RATES, STEPS)
def test_one_client_is_not_slowed_down_by_others(rate, steps):
    alone, together, now = Rates(rate, 2), Rates(rate, 2), 0.0
    for client, pause in steps:
        now += pause
        told = together.take(client, now)
        if client == "a":
            assert told == alone.take(client, now)


@given(RATES, st.integers(1, 5), st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), max_size=200))
def test_the_table_is_bounded_and_who_is_forgotten_gains_no_more_than_a_full_bucket(rate, burst, steps):
    rates, now = Rates(rate, burst, most=16), 0.0
    calls, buckets = Counter(), Counter()
    for client, pause in steps:
        now += pause
        buckets[client] += str(client) not in rates._full_at
        calls[client] += not rates.take(str(client), now)
        assert rates.clients <= 16
    for client, count in calls.items():
        assert count <= burst * buckets[client] + rate * now + 1e-3


def test_full_buckets_are_forgotten_before_empty_ones():
    rates = Rates(1, 2, most=16)
    for number in range(15):
        rates.take(f"full-{number}", 0)
    assert [rates.take("empty", 10.0), rates.take("empty", 10.0)] == [0, 0]
    for number in range(16):
        rates.take(f"new-{number}", 10.0)
    assert rates.take("empty", 10.0) > 0


def test_a_client_is_who_it_has_shown_to_be_else_where_it_comes_from():
    account = Account("192.0.2.1:5", Account("192.0.2.1"))
    outcome = Outcome("/m", "unary")
    assert client_identity(outcome, account) == "192.0.2.1"
    outcome.identity = "spiffe://cluster/client"
    assert client_identity(outcome, account) == "spiffe://cluster/client"


async def test_who_calls_too_often_is_told_how_long_to_wait_and_nobody_else_is_held_up(
    serving, start_proxy, connect
):
    """…and neither health nor what runs into no limit is counted."""
    proxy = await start_proxy("--client-rate", "1", "--client-burst", "3")
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    channel = connect(proxy)
    for method in (PREDICT, STATUS, PREDICT):
        assert (await ask(channel, method, predict())).reason != "OVERLOADED"
    asked = dict(serving.calls)
    refused = await ask(connect(proxy), PREDICT, predict())
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (refused.reason, "1 calls a second" in refused.details) == ("OVERLOADED", True)
    assert 0 < refused.retry_seconds <= 1
    assert serving.calls["Predict"] == asked["Predict"]
    for _ in range(5):
        health = await ask(channel, "/grpc.health.v1.Health/Check", b"")
        assert health.code is grpc.StatusCode.OK
    await calls_from("127.0.0.2", proxy)
    await asyncio.sleep(refused.retry_seconds)
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK


async def calls_from(address, proxy):
    """A call from another address, which must be answered."""
    host, _, port = proxy.target.rpartition(":")
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(
        lambda: Peer(client=True), host, int(port), local_addr=(address, 0)
    )
    number = peer.request(PREDICT_HEAD, predict())
    ended = await peer.next(h2.events.TrailersReceived, stream_id=number)
    assert dict(ended.headers)["grpc-status"] == "0"
    peer.transport.abort()
