"""Whose turn it is, and which messages are read beside others."""

import asyncio
import threading

import pytest

from proxy.gate.reading import SHORT, Reading
from proxy.gate.turns import Slices, Turns
from tests.conftest import interpreted_only


async def test_clients_take_turns_however_many_messages_one_of_them_has():
    turns, order = Turns(), []

    async def read(client):
        async with turns.turn((client,)):
            order.append(client)
            await asyncio.sleep(0)

    reading = [asyncio.create_task(read(client)) for client in ["flood"] * 20 + ["a", "b"]]
    await asyncio.gather(*reading)
    assert order[:4] == ["flood", "flood", "a", "b"]
    assert len(order) == 22


async def test_whoever_gives_up_while_waiting_or_on_being_called_holds_nobody_up():
    turns, order = Turns(), []

    async def read(client):
        async with turns.turn((client,)):
            order.append(client)
            await asyncio.sleep(0)

    async with turns.turn(("first",)):
        order.append("first")
        waiting = [asyncio.create_task(read(number)) for number in range(6)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[3].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()  # it has just been given the turn
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["first", 2, 4, 5]
    async with asyncio.timeout(1), turns.turn(("later",)):
        pass


async def test_a_reading_that_fails_passes_the_turn_on():
    turns = Turns()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn(("a",)):
                raise ZeroDivisionError
    async with asyncio.timeout(1), turns.turn(("b",)):
        pass


async def test_an_address_has_no_more_turns_for_having_more_connections():
    turns, order = Turns(), []

    async def read(client):
        async with turns.turn(client):
            order.append(client[0])
            await asyncio.sleep(0)

    many = [("flood", number) for number in range(20)]
    await asyncio.gather(*(asyncio.create_task(read(client)) for client in [*many, ("a", 1), ("b", 1)]))
    assert order[:4] == ["flood", "flood", "a", "b"]


class Sized:
    """A request of so many octets, which takes as long to read as told."""

    def __init__(self, size, read=lambda: None):
        self.size = size
        self._read = read

    def parts(self):
        self._read()
        return ()


@interpreted_only
async def test_a_short_message_is_read_while_a_long_one_takes_its_time():
    reading, finish = Reading(), threading.Event()
    long = asyncio.create_task(reading.read(Sized(SHORT + 1, lambda: finish.wait(10)), ("a", 1)))
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert await reading.read(Sized(SHORT), ("a", 2)) == ()
        assert not long.done()
    finally:
        finish.set()
        await long


async def test_those_who_waited_for_the_same_thing_go_on_a_few_at_a_time_and_each_client_in_its_turn():
    slices, order = Slices(4), []

    async def go_on(client):
        await slices.turn(client)
        order.append(client[0])

    going = [asyncio.create_task(go_on(("flood", number))) for number in range(40)]
    going.append(asyncio.create_task(go_on(("other", 1))))
    await asyncio.sleep(0)
    assert len(order) <= 4
    going[30].cancel()
    seen = len(order)
    while len(order) < 40:
        await asyncio.sleep(0)
        assert len(order) - seen <= 8
        seen = len(order)
    assert order.index("other") < 10
