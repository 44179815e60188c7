"""A fake server, a channel to it, a clock that a test moves, and a listener that keeps what it was told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc.aio
import pytest

from proxy.upstream.channel import open_channel
from tests.fake_serving import FakeServing


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Heard:
    """A listener that keeps what it was told."""

    fetches: list = field(default_factory=list)
    drifts: list = field(default_factory=list)
    versions: list = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def something(self):
        """Wait until something more is heard."""
        self._more.clear()
        await asyncio.wait_for(self._more.wait(), 10)

    def signature_fetched(self, key, result, seconds):
        assert seconds >= 0
        self.fetches.append((key, result))
        self._more.set()

    def signature_drifted(self, drift):
        self.drifts.append(drift)
        self._more.set()

    def versions_changed(self, model, versions):
        self.versions.append((model, versions))
        self._more.set()

    def upstream_changed(self, up):
        raise AssertionError("nobody here watches the connection")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def serving() -> AsyncIterator[FakeServing]:
    async with FakeServing() as serving:
        yield serving


@pytest.fixture
async def channel(serving: FakeServing) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(serving.target) as channel:
        yield channel
