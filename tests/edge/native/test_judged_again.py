"""What was judged by what another server said is judged again before it is sent: nothing slips through a restart."""

import asyncio

import h2.events
import h2.settings
import pytest

from proxy.edge.native.pool_options import PoolOptions
from proxy.gate import Admit
from tests.edge.native.conftest import PREDICT_HEAD, REQUEST, RST, refusal, until
from tests.edge.native.test_cut_through import image, prefixed, send

ONE = PoolOptions(connections_per_address=1, first_backoff=0.02, longest_backoff=0.05)


def status_of(event):
    return dict(event.headers)["grpc-status"]


class OneAtATime:
    """A server that takes one call at a time, and answers when told."""

    def __init__(self):
        self.seen = []

    def __call__(self, peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        elif isinstance(event, h2.events.StreamEnded):
            self.seen.append((peer, event.stream_id))

    def answer(self):
        peer, number = self.seen[-1]
        peer.answer(number)


@pytest.fixture
async def busy(start_frames, start_edge, start_client):
    """A server that has one call, an edge and a client."""
    server = OneAtATime()
    edge = await start_edge((await start_frames(server))[1], pool_options=ONE)
    await until(lambda: edge._pool._shells[0].connection.table.peer_concurrent_streams == 1)
    client = await start_client(edge)
    client.request(PREDICT_HEAD, b"first")
    await until(lambda: server.seen)
    return server, edge, client


async def test_a_call_that_had_to_wait_is_refused_where_it_fits_no_more(busy, doorkeeper, witness):
    server, edge, client = busy
    waits = client.request(PREDICT_HEAD, b"waits")
    await until(lambda: "1 waiting" in repr(edge._pool))
    doorkeeper.decide = lambda _: refusal()
    server.answer()
    assert status_of(await client.next(h2.events.ResponseReceived, stream_id=waits)) == "3"
    assert len(server.seen) == 1
    await until(lambda: len(witness.outcomes) == 2)
    assert edge._plane.load.bytes == edge._plane.load.calls == 0


async def test_calls_whose_judgement_takes_time_still_get_their_turn(busy, doorkeeper):
    """…though each has to be judged again when it comes, and others wait behind it."""
    server, edge, client = busy
    doorkeeper.slow = asyncio.Event()
    doorkeeper.slow.set()
    numbers = {client.request(PREDICT_HEAD, b"%d" % number) for number in range(5)}
    await until(lambda: "5 waiting" in repr(edge._pool))
    for count in range(2, 7):
        server.answer()
        await until(lambda count=count: len(server.seen) == count)
    server.answer()
    while numbers:
        ended = await client.next(h2.events.TrailersReceived)
        assert status_of(ended) == "0"
        numbers.discard(ended.stream_id)


async def test_a_relayed_call_that_had_to_wait_is_just_sent(busy, doorkeeper):
    server, edge, client = busy
    waits = client.request(REQUEST, b"waits")
    await until(lambda: "1 waiting" in repr(edge._pool))
    doorkeeper.decide = lambda _: refusal()
    server.answer()
    await until(lambda: len(server.seen) == 2)
    server.answer()
    assert status_of(await client.next(h2.events.TrailersReceived, stream_id=waits)) == "0"


async def test_half_a_message_that_had_to_wait_is_left_to_the_server(busy, doorkeeper):
    server, edge, client = busy
    waits = client.request(PREDICT_HEAD, None)
    client.h2.send_data(waits, (100).to_bytes(5, "big") + b"half", end_stream=True)
    client.flush()
    await until(lambda: "1 waiting" in repr(edge._pool))
    doorkeeper.decide = lambda _: refusal()
    server.answer()
    await until(lambda: len(server.seen) == 2)


@pytest.mark.parametrize("slow", [False, True])
async def test_a_call_that_a_leaving_server_did_not_take_is_judged_by_what_the_next_one_says(
    start_frames, start_edge, start_client, doorkeeper, slow
):
    asked = []

    def leave(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            asked.append(event.stream_id)
            doorkeeper.decide = lambda _: refusal()
            peer.h2.close_connection(last_stream_id=0)

    _, target = await start_frames(leave)
    if slow:
        doorkeeper.slow = asyncio.Event()
        doorkeeper.slow.set()
    client = await start_client(await start_edge(target))
    number = client.request(PREDICT_HEAD, b"request")
    assert status_of(await client.next(h2.events.ResponseReceived, stream_id=number)) == "3"
    assert asked == [1]


async def test_a_judgement_during_which_another_server_came_is_made_again(
    start_frames, start_edge, start_client, doorkeeper
):
    decided = []

    def decide(message):
        decided.append(message)
        return Admit() if len(decided) == 1 else refusal()

    reached = []
    server, target = await start_frames(
        lambda _, event: isinstance(event, h2.events.StreamEnded) and reached.append(event)
    )
    edge = await start_edge(target)
    client = await start_client(edge)
    doorkeeper.slow, doorkeeper.decide = asyncio.Event(), decide
    number = client.request(PREDICT_HEAD, b"request")
    await until(lambda: doorkeeper.messages)
    server.peers[0].transport.abort()
    await until(lambda: edge._pool.arrivals == 2)
    doorkeeper.slow.set()
    assert status_of(await client.next(h2.events.ResponseReceived, stream_id=number)) == "3"
    assert decided == [b"request"] * 2
    assert reached == []


@pytest.mark.parametrize("decides", ["at once", "later"])
async def test_a_long_message_that_flowed_is_judged_again_too(
    start_frames, start_edge, start_client, doorkeeper, decides
):
    reached = []

    def refuse_once(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            reached.append(event.stream_id)
            doorkeeper.decide_view = (lambda _: refusal()) if decides == "at once" else None
            doorkeeper.late = lambda _: refusal()
            peer.h2.reset_stream(event.stream_id, RST.REFUSED_STREAM)

    _, target = await start_frames(refuse_once)
    client = await start_client(await start_edge(target))
    doorkeeper.decide_view = lambda _: Admit()
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, prefixed(image())[:2000])
    event = await client.next(h2.events.ResponseReceived, stream_id=number)
    assert status_of(event) == "3"
    assert reached == [1]
