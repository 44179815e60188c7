"""S10, S18: neither a moment without the server nor a moment without time lets a killing request through.

`TFS_PROXY_RESTARTS=20 pytest tests/safety/test_restarts.py` restarts the server as often.
"""

import asyncio
import contextlib
import os
from collections import Counter

import grpc
import pytest

from tests.clients.raw import framed
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import predict
from tests.safety.clients import (
    BAD,
    GOOD,
    IMAGE,
    KILLING,
    RETRYABLE,
    ask_predict,
    by_hand,
    channel_to,
    head,
)
from tests.safety.conftest import start
from tests.safety.serving import CountingServer

RESTARTS = int(os.environ.get("TFS_PROXY_RESTARTS", "3"))


@pytest.fixture
def mortal():
    with CountingServer(mortal=True) as server:
        yield server


async def _keep_asking(proxy, message, answers):
    async with channel_to(proxy.target) as channel:
        while True:
            answer = await ask_predict(channel, message)
            answers[answer.code, answer.reason] += 1
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def _asked_all_the_time(proxy, clients=4):
    """Good and killing requests without a pause; yields what each kind was answered."""
    good, killing = Counter(), Counter()
    calling = [
        asyncio.create_task(_keep_asking(proxy, message, answers))
        for message, answers in ((IMAGE, good), (KILLING, killing))
        for _ in range(clients)
    ]
    try:
        yield good, killing
    finally:
        for each in calling:
            each.cancel()
        for each in await asyncio.gather(*calling, return_exceptions=True):
            assert isinstance(each, asyncio.CancelledError), each


async def _served_again(server, answers, by=20):
    """Wait until good requests are answered, as long as the server lives."""
    before = answers[grpc.StatusCode.OK, ""]
    async with asyncio.timeout(20):
        while answers[grpc.StatusCode.OK, ""] < before + by:
            assert server.alive, server.ran
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("away", [0.0, 1.0], ids=["at once", "after a while"])
async def test_a_server_that_is_restarted_under_its_killing_request_lives(mortal, edge, away):
    with start(mortal, edge) as proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        async with _asked_all_the_time(proxy) as (good, killing):
            await _served_again(mortal, good)
            for _ in range(RESTARTS):
                await asyncio.to_thread(mortal.kill)
                await asyncio.sleep(away)
                await asyncio.to_thread(mortal.revive)
                await _served_again(mortal, good)
    assert mortal.ran == []
    assert mortal.deaths == 0
    assert {code for code, _ in good} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert {code for code, _ in killing} <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE}
    assert killing[grpc.StatusCode.INVALID_ARGUMENT, "RANK_MISMATCH"]


async def test_a_server_that_comes_up_after_the_proxy_gets_no_request_unjudged(edge):
    """What was never known waits, and then is told to come again."""
    with CountingServer(mortal=True) as mortal:
        mortal.kill()
        with start(mortal, edge) as proxy:
            async with _asked_all_the_time(proxy) as (good, killing):
                async with asyncio.timeout(20):
                    while not killing:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await asyncio.to_thread(mortal.revive)
                await _served_again(mortal, good)
        assert (mortal.ran, mortal.deaths) == ([], 0)
        assert {code for code, _ in good} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize("failing", ["fails", "slow"])
async def test_a_server_that_does_not_answer_for_its_metadata_is_spared(mortal, edge, failing):
    with start(mortal, edge) as proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        async with channel_to(proxy.target) as channel:
            assert (await ask_predict(channel, IMAGE)).code is grpc.StatusCode.OK
            for method in ("GetModelMetadata", "GetModelStatus"):
                if failing == "fails":
                    mortal.order("fail", method=method, code="UNAVAILABLE", text="not now")
                else:
                    mortal.order("delay", method=method, seconds=30)
            answers = await asyncio.gather(*(ask_predict(channel, KILLING) for _ in range(20)))
            assert (await ask_predict(channel, IMAGE)).code is grpc.StatusCode.OK
    assert (mortal.ran, mortal.deaths) == ([], 0)
    assert {(answer.code, answer.reason) for answer in answers} == {
        (grpc.StatusCode.UNAVAILABLE, "SIGNATURE_UNCONFIRMED")
    }


async def test_observing_forwards_what_cannot_be_confirmed(server, edge):
    with start(server, edge, "--mode", "observe") as proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        async with channel_to(proxy.target) as channel:
            assert (await ask_predict(channel, BAD)).code is grpc.StatusCode.OK


DEADLINES = ("100u", "200u", "500u", "1m", "2m", "5m", "900000n", "1n")


@pytest.mark.parametrize("model", ["known", "unknown"])
async def test_no_deadline_is_too_short_to_be_judged(proxy, server, model):
    """Nothing a client says of its time lets its request through unjudged."""
    message = BAD if model == "known" else predict("late", (3,))
    if model == "unknown":
        server.load("late", {"x": (1, (-1, 3))})
    with server.spared():
        async with by_hand(proxy) as peer:
            for _ in range(100):
                for deadline in DEADLINES:
                    number = peer.h2.get_next_available_stream_id()
                    peer.h2.send_headers(number, head(more=(("grpc-timeout", deadline),)))
                    peer.h2.send_data(number, framed(message), end_stream=True)
                peer.flush()
                await asyncio.sleep(0.004)
        async with channel_to(proxy.target) as channel:
            for _ in range(20):
                answers = await asyncio.gather(
                    *(ask_predict(channel, message, timeout=0.0001 * n) for n in range(1, 21))
                )
                assert grpc.StatusCode.OK not in {answer.code for answer in answers}
            assert (await ask_predict(channel, GOOD)).code is grpc.StatusCode.OK
            assert (await ask_predict(channel, message)).code in {
                grpc.StatusCode.INVALID_ARGUMENT,
                *RETRYABLE,
            }
