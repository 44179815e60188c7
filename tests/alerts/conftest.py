"""A server, a proxy in front of it, clients that go on calling, and a Prometheus that scrapes it all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.alerts.monitoring import SCRAPE, Monitoring, monitoring, until
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import FakeServing
from tests.proxy_process import ProxyProcess

GOOD = predict("m")
BAD = predict("m", (3,))
"""Lacks the batch dimension."""
BURN = "TfsProxyErrorBudgetBurn"
"""A budget that is burnt stays burnt: the one alert that looks back for hours."""
PAUSE = 0.02
"""Between two calls of a client."""

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watching(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Monitoring]:
    """One Prometheus and one Alertmanager for all tests of a file."""
    async with monitoring(tmp_path_factory.mktemp("monitoring")) as found:
        yield found


class Scene:
    """What happens in one test, in a namespace of its own."""

    def __init__(self, namespace: str, watching: Monitoring, stack: contextlib.AsyncExitStack) -> None:
        self.namespace = namespace
        self.watching = watching
        self._stack = stack
        self._channels: list[grpc.aio.Channel] = []

    async def serving(self, *models: str) -> FakeServing:
        serving = await self._stack.enter_async_context(FakeServing())
        for model in models or ("m",):
            serving.load(model)
        return serving

    async def proxy(self, upstream: str, *flags: str, every: str = SCRAPE) -> ProxyProcess:
        """A proxy that is scraped."""
        proxy = await self.start("--upstream", upstream, *flags)
        self.watching.watch(self.namespace, proxy.admin, every=every)
        await self.sees("tfs_proxy_upstream_up")
        return proxy

    async def start(self, *flags: str) -> ProxyProcess:
        flags = ("--refresh-seconds", "0.5", "--poll-seconds", "0.3", *flags)
        proxy = await asyncio.to_thread(ProxyProcess, *flags)
        self._stack.push_async_callback(asyncio.to_thread, proxy.stop)
        return proxy

    def channel(self, proxy: ProxyProcess) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(proxy.target, options=OWN_CONNECTION)
        self._channels.append(channel)
        self._stack.push_async_callback(channel.close)
        return channel

    async def close_channels(self) -> None:
        """Let all clients go."""
        for channel in self._channels:
            await channel.close()

    @contextlib.asynccontextmanager
    async def calls(self, proxy: ProxyProcess, *messages: bytes, **how: Any) -> AsyncIterator[None]:
        """A client that sends these in turn while the block runs, whatever it is answered."""
        channel = self.channel(proxy)

        async def call() -> None:
            while True:
                for message in messages:
                    await ask(channel, PREDICT, message, **how)
                    await asyncio.sleep(PAUSE)

        calling = asyncio.create_task(call())
        try:
            yield
        finally:
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling

    async def sees(self, selector: str) -> None:
        """Wait until Prometheus has two samples of a series of this scene, as any increase needs."""
        name, _, labels = selector.partition("{")
        series = f'{name}{{namespace="{self.namespace}",{labels or "}"}'
        await until(lambda: self.watching.ask(f"count_over_time({series}[1m]) >= 2"))

    async def fires(self, *alerts: str) -> None:
        await self.watching.fires(self.namespace, *alerts)

    async def resolves(self) -> None:
        await self.watching.resolves(self.namespace, but=(BURN,))

    async def only(self, *alerts: str) -> None:
        """Nothing else has fired from beginning to end."""
        assert {name for name, _ in await self.watching.ever_fired(self.namespace)} <= {*alerts, BURN}


@pytest_asyncio.fixture(loop_scope="module")
async def scene(watching: Monitoring, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    namespace = request.node.name.removeprefix("test_")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(watching.watch, namespace)
        yield Scene(namespace, watching, stack)
