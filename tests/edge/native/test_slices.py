"""Whose octets take long to read reads less of them at once, and lets the others have their turn."""

import asyncio
import time

import pytest

from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.shell import SLICE, Exchange, Shell
from proxy.edge.native.slabs import SIZE
from tests.conftest import interpreted_only

pytestmark = interpreted_only


class Transport:
    """A transport that always has something to read, while it may."""

    def __init__(self) -> None:
        self.pauses = 0
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.pauses += 1
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Reader(Shell):
    """Takes so many seconds for an octet, as its own connection."""

    def __init__(self, exchange: Exchange, seconds: float, client: tuple[str, ...]) -> None:
        super().__init__(exchange, Limits(), server=True)
        self.transport = Transport()  # type: ignore[assignment]
        self.turns = 0
        self.largest = 0.0
        self.named = client
        self.seconds = seconds
        self.connection = self  # type: ignore[assignment]

    @property
    def client(self) -> tuple[str, ...]:
        return self.named

    def receive(self, data: memoryview, _now: float) -> None:
        self.largest = len(data) * self.seconds
        until = time.monotonic() + self.largest
        while time.monotonic() < until:
            pass

    def read(self) -> None:
        if self.transport.reading:  # type: ignore[union-attr]
            self.turns += 1
            self.buffer_updated(len(self.get_buffer(-1)))


async def test_a_connection_that_takes_long_reads_what_takes_a_slice():
    reader = Reader(Exchange(), 1e-5, ("a",))
    reader.read()
    assert reader.largest == pytest.approx(16_384e-5)
    for _ in range(50):
        await asyncio.sleep(0)
        reader.read()
    assert reader.largest < 4 * SLICE
    assert reader.transport.pauses


async def test_a_connection_that_does_not_reads_as_much_as_there_is():
    reader = Reader(Exchange(), 0, ("a",))
    for _ in range(20):
        reader.read()
    assert len(reader.get_buffer(-1)) > SIZE // 8


async def test_one_of_those_who_take_long_reads_at_a_time_and_addresses_take_turns():
    exchange = Exchange()
    flood = [Reader(exchange, 2e-5, ("flood", str(number))) for number in range(8)]
    other = Reader(exchange, 2e-5, ("other", "0"))
    for _ in range(4):
        for reader in (*flood, other):
            reader.read()
        await asyncio.sleep(0)
    for reader in (*flood, other):
        reader.turns = 0
    for turn in range(1, 40):
        for reader in (*flood, other):
            reader.read()
        await asyncio.sleep(0)
        assert sum(reader.turns for reader in flood) + other.turns <= 2 * turn + 9
    assert other.turns > 2 * max(reader.turns for reader in flood)
