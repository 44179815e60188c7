"""Whose long message is read next."""

import asyncio

import pytest

from proxy.gate.reading import ReadingTurns


async def test_clients_take_turns_however_many_messages_one_of_them_has():
    turns, order = ReadingTurns(), []

    async def read(client):
        async with turns.turn(client):
            order.append(client)
            await asyncio.sleep(0)

    reading = [asyncio.create_task(read(client)) for client in ["flood"] * 20 + ["a", "b"]]
    await asyncio.gather(*reading)
    assert order[:4] == ["flood", "flood", "a", "b"]
    assert len(order) == 22


async def test_whoever_gives_up_while_waiting_or_on_being_called_holds_nobody_up():
    turns, order = ReadingTurns(), []

    async def read(client):
        async with turns.turn(client):
            order.append(client)
            await asyncio.sleep(0)

    async with turns.turn("first"):
        order.append("first")
        waiting = [asyncio.create_task(read(number)) for number in range(6)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[3].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()  # it has just been given the turn
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["first", 2, 4, 5]
    async with asyncio.timeout(1), turns.turn("later"):
        pass


async def test_a_reading_that_fails_passes_the_turn_on():
    turns = ReadingTurns()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("a"):
                raise ZeroDivisionError
    async with asyncio.timeout(1), turns.turn("b"):
        pass
