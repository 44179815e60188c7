"""Rounds of one question, against a server that settles its answers before it is let go."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from proxy.core.availability import Unanswered
from proxy.upstream.client import ServingClient
from proxy.upstream.control import ChannelControl
from proxy.upstream.rounds import StatusRounds


@pytest.fixture
async def rounds(serving, channel) -> AsyncIterator[StatusRounds]:
    serving.load("m", 1)
    rounds = StatusRounds(ServingClient(ChannelControl(channel)).versions, max_strangers=2)
    yield rounds
    await rounds.stop()


async def test_all_who_come_before_a_question_is_asked_share_it(serving, rounds):
    answers = await asyncio.gather(*(rounds.versions("m") for _ in range(50)))
    assert {answer[0].version for answer in answers} == {1}
    assert serving.calls["GetModelStatus"] == 1


async def test_whoever_comes_after_a_question_was_asked_gets_the_next_answer(serving, rounds):
    with serving.hold("GetModelStatus") as hold:
        early = asyncio.create_task(rounds.versions("m"))
        await hold.arrived()
        serving.swap("m", 2)
        late = [asyncio.create_task(rounds.versions("m")) for _ in range(10)]
        hold.release()
        assert [status.version for status in await early] == [1]
        assert {answer[0].version for answer in await asyncio.gather(*late)} == {2}
    assert serving.calls["GetModelStatus"] == 2


async def test_no_answer_is_none(serving, rounds):
    serving.fail("GetModelStatus", grpc.StatusCode.UNAVAILABLE)
    assert await rounds.versions("m") == Unanswered("UNAVAILABLE: no text")


async def test_invented_names_are_not_asked_for_without_bound(serving, rounds):
    with serving.hold("GetModelStatus") as hold:
        asking = [asyncio.create_task(rounds.versions(name)) for name in ("a", "b")]
        await hold.arrived(2)
        assert isinstance(await rounds.versions("c"), Unanswered)
        known = asyncio.create_task(rounds.versions("m", known=True))
        await hold.arrived()
        hold.release()
        await asyncio.gather(*asking)
        assert [status.version for status in await known] == [1]


async def test_stopping_leaves_nobody_waiting(serving, rounds):
    with serving.hold("GetModelStatus") as hold:
        asking = [asyncio.create_task(rounds.versions("m")) for _ in range(3)]
        await hold.arrived()
        asking.append(asyncio.create_task(rounds.versions("m")))
        await asyncio.sleep(0)
        await rounds.stop()
        assert await asyncio.gather(*asking) == [Unanswered("the proxy is stopping")] * 4
