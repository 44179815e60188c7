"""--max-connection-age: clients are asked to connect anew, and no call is lost by it."""

import asyncio

import grpc

from tests.edge.conftest import PREDICT, ask, judged, predict

AGES = 3


async def connections_of(channel, seen):
    """Count how often the channel comes to be connected."""
    state = channel.get_state()
    while True:
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
        seen.append(state)


async def test_under_load_connections_are_made_anew_and_no_call_fails(start_proxy, connect):
    proxy = await start_proxy("--max-connection-age", "0.7")
    channel = connect(proxy)
    await judged(proxy, channel)
    seen, codes = [], []
    watch = asyncio.create_task(connections_of(channel, seen))

    async def call_on():
        while seen.count(grpc.ChannelConnectivity.READY) < AGES:
            codes.append((await ask(channel, PREDICT, predict())).code)

    async with asyncio.timeout(20):
        await asyncio.gather(*(call_on() for _ in range(4)))
    watch.cancel()
    assert len(codes) > 50
    assert set(codes) == {grpc.StatusCode.OK}
