"""S10, S18: neither a moment without the server nor a moment without time lets a killing request through.

`TFS_PROXY_RESTARTS=20 pytest tests/safety/test_restarts.py` restarts the server as often.
"""

import asyncio
import contextlib
import itertools
import os
from collections import Counter

import grpc
import h2.events
import pytest

from tests.clients.raw import framed
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import predict
from tests.property.wire import length_delimited, varint_field
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


async def test_a_server_that_tells_no_metadata_any_more_is_spared_under_every_name(mortal, edge):
    numbered = KILLING + length_delimited(1, length_delimited(2, varint_field(1, 1)))
    with start(mortal, edge) as proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        async with channel_to(proxy.target) as channel:
            assert (await ask_predict(channel, IMAGE)).code is grpc.StatusCode.OK
            mortal.order("fail", method="GetModelMetadata", code="UNIMPLEMENTED")
            for message in (KILLING, numbered):
                assert (await ask_predict(channel, message)).code is grpc.StatusCode.UNAVAILABLE
    assert (mortal.ran, mortal.deaths) == ([], 0)


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


async def test_what_waits_for_a_connection_is_judged_by_the_server_that_it_goes_to(mortal, edge):
    """It comes back with another signature under the same name, while good requests for the old one keep coming."""
    shapes = itertools.cycle([(-1, 6, 6, 3), (-1, 4, 4, 3)])
    with start(mortal, edge) as proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        first, second = Counter(), Counter()
        calling = [
            asyncio.create_task(_keep_asking(proxy, message, answers))
            for message, answers in ((IMAGE, first), (predict("conv", (1, 6, 6, 3), "image"), second))
            for _ in range(4)
        ]
        await _served_again(mortal, first)
        for _ in range(RESTARTS):
            await asyncio.to_thread(mortal.kill)
            mortal.comes_back_with("conv", {"image": (1, next(shapes))})
            first.clear()
            second.clear()
            await asyncio.to_thread(mortal.revive)
            async with asyncio.timeout(20):
                while not (first[grpc.StatusCode.OK, ""] or second[grpc.StatusCode.OK, ""]):
                    assert mortal.alive, mortal.ran
                    await asyncio.sleep(0.01)
        for each in calling:
            each.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
    assert (mortal.ran, mortal.deaths) == ([], 0)


async def test_how_long_an_upload_takes_does_not_decide_by_which_version_it_is_judged(proxy, server, edge):
    model = f"slowly, {edge}"
    server.load(model, {"x": (1, (-1, 3))})
    body = framed(predict(model, (60_000, 3)))
    async with channel_to(proxy.target) as channel, by_hand(proxy) as peer:
        assert (await ask_predict(channel, predict(model, (2, 3)))).code is grpc.StatusCode.OK
        with server.spared():
            number = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(number, head())
            await _send(peer, number, body[:-1])
            server.swap(model, 2, {"x": (1, (-1, 4))})
            async with asyncio.timeout(20):
                while (await ask_predict(channel, predict(model, (2, 4)))).code is not grpc.StatusCode.OK:
                    pass
            await _send(peer, number, body[-1:], ended=True)
            async with asyncio.timeout(20):
                while not isinstance(await peer.events.get(), h2.events.StreamEnded | h2.events.StreamReset):
                    pass


async def _send(peer, number, octets, *, ended=False):
    while octets:
        size = min(peer.h2.local_flow_control_window(number), 16384, len(octets))
        if size:
            peer.h2.send_data(number, octets[:size], end_stream=ended and size == len(octets))
            octets = octets[size:]
            peer.flush()
        else:
            await asyncio.sleep(0.01)
