"""The ground itself: what it would not let pass."""

import asyncio

import pytest

from tests.edge.conftest import predict
from tests.faults.ground import Ground, tell
from tests.safety.clients import channel_to


async def test_bystanders_of_a_quiet_proxy_see_nothing_and_leave_nothing(ground: Ground):
    async with ground.undisturbed() as bystanders:
        await bystanders.served_again(20)


async def test_a_call_that_stays_is_noticed(ground: Ground):
    before = await ground.settled()
    async with channel_to(ground.proxy.target) as channel:
        held = asyncio.create_task(tell(channel, predict("m"), metadata=(("x-held", "1"),)))
        while (await asyncio.to_thread(ground.at)).streams == before.streams:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        more = " ".join((await asyncio.to_thread(ground.at)).beyond(before, 0))
        ground.server.order("release")
        assert (await held).code == "OK"
    assert "sockets" in more
    assert "calls in flight" in more
    assert "streams of the server" in more
    await ground.comes_to_rest(before)


async def test_a_bystander_that_is_told_an_error_is_noticed(ground: Ground):
    async def disturb() -> None:
        async with ground.undisturbed() as bystanders:
            ground.server.order("fail", method="Predict", code="ABORTED")
            while "ABORTED" not in bystanders.seen():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            ground.server.order("mend", method="Predict")

    with pytest.raises(AssertionError, match="ABORTED"):
        await disturb()
