"""The age of clients' connections: one that is old is asked to go, and what it still has ends in its time."""

import asyncio

import grpc
import h2.events

from proxy.edge.admission import Limits
from tests.edge.conftest import ask
from tests.edge.native.conftest import until


async def test_calls_under_way_end_in_their_time_and_what_does_not_is_cut_off(
    start_frames, start_edge, channel_to
):
    held = []

    def hold(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            held.append((peer, event.stream_id))

    limits = Limits(max_connection_age=0.2, age_grace=0.6)
    edge = await start_edge((await start_frames(hold))[1], limits=limits)
    channel = channel_to(edge)
    ends, stays = (asyncio.create_task(ask(channel, "/some.Service/Method", b"")) for _ in range(2))
    await until(lambda: len(held) == 2)
    (shell,) = edge._clients.shells
    await until(lambda: shell._leaving_since is not None)
    for peer, number in held[:1]:
        peer.answer(number)
    done, (left,) = await asyncio.wait({ends, stays}, return_when=asyncio.FIRST_COMPLETED)
    assert done.pop().result().code is grpc.StatusCode.OK
    assert "older than" in (await left).details
    assert left.result().code is grpc.StatusCode.UNAVAILABLE
    await until(lambda: shell not in edge._clients.shells)


async def test_not_all_go_at_the_same_time(start_frames, start_edge, start_client):
    edge = await start_edge((await start_frames())[1], limits=Limits(max_connection_age=60.0))
    for _ in range(8):
        await start_client(edge)
    await until(lambda: len(edge._clients.shells) == 8)
    ages = {shell._part_of_age for shell in edge._clients.shells}
    assert len(ages) == 8
    assert all(0.9 <= age <= 1.1 for age in ages)
