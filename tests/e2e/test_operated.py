"""The server goes and comes back under load, in processes of their own, and this is all that clients see of it."""

import asyncio
import json
import time
from collections import Counter
from contextlib import asynccontextmanager

import grpc
import pytest

from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import DT_FLOAT
from tests.proxy_process import EDGES, ProxyProcess
from tests.safety.serving import CountingServer

KINDS = {**EDGES, "workers": ("--workers", "2")}
NARROW, WIDE = predict(shape=(2, 3)), predict(shape=(2, 4))
OWN = ("grpc.use_local_subchannel_pool", 1)
RETRYING = (
    "grpc.service_config",
    json.dumps(
        {
            "methodConfig": [
                {
                    "name": [{}],
                    "retryPolicy": {
                        "maxAttempts": 5,
                        "initialBackoff": "0.2s",
                        "maxBackoff": "2s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ]
        }
    ),
)
"""As the examples of gRPC have it."""


class Clients:
    """Call all the time, half of them over a new connection each time. `answers` are all: when each was asked, how long
    it took, and what came.
    """

    def __init__(self, target: str, messages: tuple[bytes, ...], *options: tuple[str, object]) -> None:
        self.answers: list[tuple[float, float, object]] = []
        self._target, self._options, self._over = target, (OWN, *options), False
        self._answered = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._call(message, fresh=fresh))
            for message in messages
            for fresh in (False, True)
        ]

    async def _call(self, message: bytes, *, fresh: bool) -> None:
        channel = grpc.aio.insecure_channel(self._target, options=self._options)
        while not self._over:
            began = time.monotonic()
            answer = await ask(channel, PREDICT, message, timeout=20)
            self.answers.append((began, time.monotonic() - began, answer))
            self._answered.set()
            if fresh:
                await channel.close()
                channel = grpc.aio.insecure_channel(self._target, options=self._options)
            await asyncio.sleep(0.001)
        await channel.close()

    def codes(self, since: float = 0.0) -> Counter:
        return Counter((answer.code, answer.reason) for began, _, answer in self.answers if began >= since)

    async def hear(self, code: grpc.StatusCode, reason: str = "", by: int = 20) -> None:
        """Wait until so many of the calls that are made from now on have ended so."""
        since = time.monotonic()
        async with asyncio.timeout(20):
            while self.codes(since)[code, reason] < by:
                self._answered.clear()
                await self._answered.wait()

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def calling(target: str, *messages: bytes, options=()):
    clients = Clients(target, messages, *options)
    try:
        yield clients
    finally:
        await clients.end()


@pytest.fixture
def server():
    with CountingServer() as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
async def test_of_a_killed_server_clients_hear_within_a_second_in_words_and_of_the_next_one_nothing_unjudged(
    server, kind
):
    proxy = await asyncio.to_thread(ProxyProcess, "--upstream", server.target, "--model", "m", *KINDS[kind])
    with proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        async with calling(proxy.target, NARROW, WIDE) as clients:
            await clients.hear(grpc.StatusCode.OK)
            killed = time.monotonic()
            await asyncio.to_thread(server.kill)
            await clients.hear(grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE", by=5)
            down = [each for each in clients.answers if each[0] >= killed]
            # What was wide before is right from now on, and the other way round.
            server.comes_back_with("m", {"x": (DT_FLOAT, (-1, 4))})
            await asyncio.to_thread(server.revive)
            await clients.hear(grpc.StatusCode.OK)
    assert max(seconds for _, seconds, _ in down) < 1.0
    assert {answer.code for _, _, answer in down} <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
    assert all(
        server.target in answer.details for _, _, answer in down if answer.reason == "UPSTREAM_UNREACHABLE"
    )
    assert server.ran == []


@pytest.mark.parametrize("kind", KINDS)
async def test_of_a_server_that_is_restarted_clients_that_retry_hear_nothing(server, kind):
    proxy = await asyncio.to_thread(ProxyProcess, "--upstream", server.target, "--model", "m", *KINDS[kind])
    with proxy:
        await asyncio.to_thread(wait_until_ready, proxy)
        async with calling(proxy.target, NARROW, options=(RETRYING,)) as clients:
            await clients.hear(grpc.StatusCode.OK)
            for _ in range(2):
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.revive)
                await clients.hear(grpc.StatusCode.OK)
    assert list(clients.codes()) == [(grpc.StatusCode.OK, "")], clients.codes()
