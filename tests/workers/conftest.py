"""A proxy with two workers in front of a fake server, and a client that knows which worker answered it."""

import asyncio
import os
import select
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.edge.conftest import PREDICT, Answered, ask, predict
from tests.fake_serving import FakeServing
from tests.proxy_process import PATIENCE, ProxyProcess
from tests.test_app import get

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class Workers(ProxyProcess):
    """`tfs-proxy serve --workers 2`."""

    def __init__(self, *flags: str) -> None:
        super().__init__("--workers", "2", "--access-log", *flags)
        self.made = 0

    @property
    def calls(self) -> list[dict]:
        return [line for line in self.log if line["event"] == "call"]

    def pids(self) -> dict[int, int]:
        """Worker → process, as the log has told last."""
        return {line["worker"]: line["pid"] for line in self.log if line["event"] == "worker_started"}

    def wait(self, condition) -> None:
        with self._told:
            assert self._told.wait_for(condition, PATIENCE), (self.log, self.noise)

    async def call(self, channel, message: bytes = b"") -> int:
        """Which worker answered a call with OK."""
        answered = await self.ask(channel, message or predict())
        assert answered.code is grpc.StatusCode.OK, answered.details
        return self.calls[self.made - 1]["worker"]

    async def ask(self, channel, message: bytes) -> Answered:
        """An answer, whose line the log has."""
        self.made += 1
        answered = await ask(channel, PREDICT, message)
        await asyncio.to_thread(self.wait, lambda: len(self.calls) >= self.made)
        return answered

    async def get(self, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(get, self, path)

    async def samples(self) -> dict[tuple[str, frozenset], float]:
        _, text = await self.get("/metrics")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels."""
        found = await self.samples()
        return sum(
            value for (each, have), value in found.items() if each == name and labels.items() <= set(have)
        )


@asynccontextmanager
async def one_channel_each(proxy: Workers) -> AsyncIterator[dict[int, grpc.aio.Channel]]:
    """A channel to each worker; which one a connection comes to is the kernel's choice, so as many as it takes."""
    channels: dict[int, grpc.aio.Channel] = {}
    spare = []
    try:
        # Several at a time: where all are idle, the same worker may take whatever comes.
        for _ in range(10):
            fresh = [grpc.aio.insecure_channel(proxy.target, options=OWN_CONNECTION) for _ in range(10)]
            spare += fresh
            await asyncio.gather(*(channel.channel_ready() for channel in fresh))
            for channel in fresh:
                channels.setdefault(await proxy.call(channel), channel)
            if len(channels) == 2:
                break
        assert len(channels) == 2, "a hundred connections came to one worker"
        yield channels
    finally:
        for channel in spare:
            await channel.close()


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)


async def killed(pid: int) -> None:
    """Kill a process, and wait until it and its sockets are gone."""
    descriptor = os.pidfd_open(pid)
    kill(pid)
    assert await asyncio.to_thread(has_ended, descriptor)


def has_ended(descriptor: int, seconds: float = PATIENCE) -> bool:
    """Whether the process of a pidfd ends in time."""
    return bool(select.select([descriptor], [], [], seconds)[0])


@pytest.fixture
async def serving() -> AsyncIterator[FakeServing]:
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


@pytest.fixture
def start(serving):
    """Start two workers in front of the server."""

    async def start(*flags: str) -> Workers:
        return await asyncio.to_thread(Workers, "--upstream", serving.target, *flags)

    return start
