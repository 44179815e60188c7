"""A running proxy that has seen traffic, for tests that ask about it from outside and share it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc

from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import FakeServing
from tests.proxy_process import ProxyProcess
from tests.test_app import until_ready


class Live(NamedTuple):
    """`do` runs a coroutine on the loop of the server."""

    admin: str
    proxy: ProxyProcess
    serving: FakeServing
    do: Callable[[Any], Any]


async def traffic(target: str) -> None:
    """Three calls that are fine, and three mistakes, the first of which is made twice."""
    async with grpc.aio.insecure_channel(target) as channel:
        for _ in range(3):
            assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
        for message in (predict(shape=(3,)), predict(shape=(3,)), predict("nobody"), b"\xff"):
            assert (await ask(channel, PREDICT, message)).code is not grpc.StatusCode.OK


@contextmanager
def live_proxy(*flags: str) -> Iterator[Live]:
    """The proxy in front of a server that has model m, which runs on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    async def serve() -> FakeServing:
        serving = FakeServing()
        await serving.__aenter__()
        serving.load("m")
        return serving

    serving = do(serve())
    try:
        with ProxyProcess(
            "--upstream", serving.target, "--model", "m", "--poll-seconds", "0.2", *flags
        ) as proxy:
            do(until_ready(proxy))
            do(traffic(proxy.target))
            yield Live(proxy.admin, proxy, serving, do)
    finally:
        do(serving.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
