"""Who of several servers takes calls: rules of arithmetic first, then pools between real servers."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import grpc
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.native.backends import Backends
from proxy.edge.native.pool_options import PoolOptions
from proxy.upstream.control import EJECTED, SERVING, TRIAL, UNREACHABLE
from proxy.upstream.endpoints import Endpoint
from tests.edge.conftest import PREDICT, ask, predict
from tests.edge.native.conftest import HEAD, PATIENCE, echo, outcome, until
from tests.edge.native.test_pool import closed_port, opened
from tests.proxy_process import ROOT, running_proxy

A, B = (Endpoint("a", number) for number in (1, 2))
FIRST, LONGEST, TRIES = 2.0, 30.0, 1.0
QUICK = PoolOptions(
    first_backoff=0.02,
    longest_backoff=0.05,
    connect_timeout=0.5,
    eject_failures=3,
    first_ejection=0.3,
    longest_ejection=0.6,
    trial=0.2,
)


def two(most_failures=3, spread=lambda: 1.0):
    backends = Backends(most_failures, FIRST, LONGEST, TRIES, spread)
    backends.know([A, B], 0)
    for each in (A, B):
        backends.reached(each, 0)
    return backends


def state(backends, address=A):
    return next(each.state for each in backends.states(0) if each.address == str(address))


def test_one_that_fails_some_calls_in_a_row_is_left_out_and_one_that_answers_between_is_not():
    backends = two()
    for failed in (True, True, False, True, True):
        backends.answered(A, 1, failed=failed)
    assert backends.takes(A, 1)
    assert not backends.out
    backends.answered(A, 1, failed=True)
    assert not backends.takes(A, 1)
    assert backends.takes(B, 1)
    assert {each.address: each.state for each in backends.states(0)} == {str(A): EJECTED, str(B): SERVING}


def test_it_is_tried_with_one_call_at_a_time_and_back_after_the_first_that_succeeds():
    backends = two(1)
    backends.answered(A, 0, failed=True)
    assert not backends.takes(A, 1.9)
    assert backends.takes(A, 2.0)
    assert not backends.takes(A, 2.1), "the one call is under way"
    assert backends.takes(A, 3.1), "or was never answered"
    backends.answered(A, 3.2, failed=False)
    assert state(backends) == SERVING
    assert backends.takes(A, 3.2)
    assert backends.takes(A, 3.2)


def test_one_that_cannot_be_reached_is_tried_with_one_call_too_once_it_can():
    backends = two()
    backends.unreachable(A, 5)
    assert (state(backends), backends.next_due(5)) == (UNREACHABLE, FIRST)
    assert not backends.is_due(A, 6)
    assert backends.is_due(A, 7)
    backends.reached(A, 7)
    assert state(backends) == TRIAL
    assert backends.next_due(7) is None


def test_no_failures_count_where_any_number_is_allowed():
    backends = two(-1)
    for _ in range(100):
        backends.answered(A, 1, failed=True)
    assert state(backends) == SERVING


def test_what_leaves_the_name_is_forgotten_and_what_is_new_starts_well():
    backends = two(1)
    backends.answered(A, 0, failed=True)
    backends.know([B], 1)
    assert not backends.out
    backends.answered(A, 1, failed=True)
    backends.know([A, B], 2)
    backends.reached(A, 2)
    assert state(backends) == SERVING


def test_a_long_time_well_makes_the_next_absence_short_again():
    backends, now = two(1), 0.0
    for _ in range(3):
        backends.answered(A, now, failed=True)
        now += LONGEST
        assert backends.takes(A, now)
    backends.answered(A, now, failed=False)
    backends.answered(A, now + LONGEST, failed=True)
    assert backends.takes(A, now + LONGEST + FIRST)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 40)), max_size=60), st.floats(0.8, 1.2))
def test_nobody_is_left_out_for_longer_than_the_longest_time(steps, spread):
    backends, now = two(1, lambda: spread), 0.0
    for failed, pause in steps:
        backends.answered(A, now, failed=failed)
        left = backends.until(A) - now
        assert left <= LONGEST * 1.2
        now += pause
        if state(backends) == EJECTED and left <= 0:
            assert backends.takes(A, now)
    assert backends.takes(A, now + LONGEST * 1.2)


@given(st.integers(1, 12))
def test_each_time_in_a_row_is_longer_up_to_the_longest(times):
    backends, now, lengths = two(1), 0.0, []
    for _ in range(times):
        backends.answered(A, now, failed=True)
        lengths.append(backends.until(A) - now)
        now += LONGEST
        assert backends.takes(A, now)
    assert lengths == [min(FIRST * 2**number, LONGEST) for number in range(times)]


def unavailable(peer, event):
    if isinstance(event, h2.events.StreamEnded):
        peer.h2.send_headers(event.stream_id, [*HEAD, ("grpc-status", "14")], end_stream=True)


class Switch:
    """A server that fails calls as long as it is told to."""

    def __init__(self):
        self.fails = True
        self.calls = 0

    def __call__(self, peer, event):
        self.calls += isinstance(event, h2.events.StreamEnded)
        (unavailable if self.fails else echo)(peer, event)


async def one_call(client):
    number = client.request()
    return await client.next(h2.events.StreamEnded, stream_id=number)


async def test_the_other_server_takes_the_calls_until_the_bad_one_is_well(
    start_frames, start_edge, start_client
):
    bad, good = Switch(), Switch()
    good.fails = False
    targets = [(await start_frames(each))[1] for each in (bad, good)]
    edge = await start_edge(f"ipv4:{','.join(targets)}", pool_options=QUICK)
    pool = edge._pool
    await until(lambda: len(pool._shells) == 2)
    client = await start_client(edge)
    while bad.calls < 3:
        await one_call(client)
    assert {each.state for each in pool.states()} == {EJECTED, SERVING}
    before = good.calls
    for _ in range(20):
        await one_call(client)
    assert good.calls - before >= 19, "but for one that tries"
    bad.fails = False
    await until_async(lambda: one_call(client), lambda: {each.state for each in pool.states()} == {SERVING})
    calls = bad.calls
    for _ in range(10):
        await one_call(client)
    assert bad.calls - calls == 5


async def test_the_calls_of_one_that_is_left_out_go_to_all_others_alike(
    start_frames, start_edge, start_client
):
    servers = Switch(), Switch(), Switch(), Switch()
    for good in (servers[0], *servers[2:]):
        good.fails = False
    targets = [(await start_frames(each))[1] for each in servers]
    options = replace(QUICK, first_ejection=60, longest_ejection=60)
    edge = await start_edge(f"ipv4:{','.join(targets)}", pool_options=options)
    await until(lambda: len(edge._pool._shells) == 4)
    client = await start_client(edge)
    while servers[1].calls < 3:
        await one_call(client)
    before = [each.calls for each in servers]
    for _ in range(30):
        await one_call(client)
    assert [each.calls - calls for each, calls in zip(servers, before, strict=True)] == [10, 0, 10, 10]


async def until_async(act, condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await act()


async def test_where_all_are_bad_all_are_used(start_frames, start_edge, start_client):
    both = Switch(), Switch()
    targets = [(await start_frames(each))[1] for each in both]
    edge = await start_edge(f"ipv4:{','.join(targets)}", pool_options=QUICK)
    await until(lambda: len(edge._pool._shells) == 2)
    client = await start_client(edge)
    for _ in range(20):
        await one_call(client)
    assert {each.state for each in edge._pool.states()} <= {EJECTED, TRIAL}
    assert [each.calls for each in both] == [10, 10]


async def test_an_address_where_nobody_listens_is_told_and_found_once_somebody_does(start_frames, start_pool):
    _, target = await start_frames()
    port = closed_port()
    pool = await start_pool(f"ipv4:{target},127.0.0.1:{port}", options=QUICK)
    await outcome(pool)
    await until(lambda: pool.backends is not None and pool.backends.out)
    told = {each.address: each.state for each in pool.states()}
    assert told == {target: SERVING, f"127.0.0.1:{port}": UNREACHABLE}
    await start_frames(port=port)
    await until(lambda: len(pool._shells) == 2)
    taken = set()
    while len(taken) < 2:
        connection = await outcome(pool)
        taken.add(connection.handler.address.port)
        call = opened(pool, connection)
        await until(lambda call=call: call.ended)
        pool.answered(connection, 0)
    assert {each.state for each in pool.states()} == {SERVING}


SERVER = """
import asyncio
from tests.fake_serving import FakeServing

async def main():
    async with FakeServing() as serving:
        serving.load("m")
        print(serving.target, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def servers():
    """Two servers, each a process of its own."""
    processes = [
        subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    yield [(each, each.stdout.readline().strip()) for each in processes]
    for each in processes:
        each.kill()
        each.wait()
        each.stdout.close()


async def test_when_one_of_two_servers_is_killed_under_traffic_the_other_goes_on(servers):
    targets = ",".join(target for _, target in servers)
    with running_proxy("--upstream", f"ipv4:{targets}") as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            codes, ends = [], asyncio.Event()

            async def call_on():
                while not ends.is_set():
                    codes.append((await ask(channel, PREDICT, predict())).code)

            async with asyncio.timeout(PATIENCE):
                while (await ask(channel, PREDICT, predict())).code is not grpc.StatusCode.OK:
                    pass
            calls = [asyncio.create_task(call_on()) for _ in range(4)]
            await until(lambda: len(codes) > 50)
            os.kill(servers[0][0].pid, signal.SIGKILL)
            await asyncio.to_thread(servers[0][0].wait)
            settled = len(codes) + 8
            await until(lambda: len(codes) > settled + 200)
            ends.set()
            await asyncio.gather(*calls)
    failed = [code for code in codes if code is not grpc.StatusCode.OK]
    assert len(failed) <= 4, "none but those that were under way there"
    assert set(codes[settled:]) == {grpc.StatusCode.OK}


async def test_after_a_loss_the_name_is_asked_for_again_soon_and_what_is_new_takes_calls(
    start_frames, start_pool, monkeypatch
):
    """…and while the name cannot be resolved, what is known of it is used."""
    servers = [await start_frames() for _ in range(3)]
    ports = [int(target.rpartition(":")[2]) for _, target in servers]
    named, fails = ports[:2], False

    async def resolve(*_, **__):
        if fails:
            raise OSError(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in named]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    pool = await start_pool("name.test:1", options=replace(QUICK, resolve_after_loss=0.1))

    def connected():
        return {shell.address.port for shell in pool._shells}

    await until(lambda: connected() == set(named))
    fails = True
    servers[0][0].peers[0].transport.abort()
    await until(lambda: len(servers[0][0].peers) == 2)
    fails, named = False, ports[1:]
    servers[0][0].stop()
    await until(lambda: connected() == set(named))
    assert {each.address for each in pool.states()} == {f"127.0.0.1:{port}" for port in named}
