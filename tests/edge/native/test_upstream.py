"""A connection to the server: how it leaves, and how its silence is noticed."""

import asyncio

import h2.errors
import h2.events

from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.pool_options import PoolOptions
from tests.edge.native.conftest import PATIENCE, REQUEST, outcome


async def test_a_connection_that_goes_away_is_replaced_and_closed_when_its_calls_are_over(
    start_frames, start_pool
):
    server, target = await start_frames()
    pool = await start_pool(target)
    old = await outcome(pool)
    peer = server.peers[0]
    peer.h2.close_connection(h2.errors.ErrorCodes.NO_ERROR)
    peer.flush()
    await asyncio.wait_for(peer.closed.wait(), PATIENCE)
    assert await outcome(pool) is not old


async def test_the_reason_in_a_goaway_is_what_calls_are_told(start_frames, start_pool):
    server, target = await start_frames()
    pool = await start_pool(target)
    connection = await outcome(pool)
    told = asyncio.get_running_loop().create_future()

    class Sink:
        def on_reset(self, stream, code, reason, unprocessed):
            told.set_result(reason)

    connection.open(Sink(), encode_fields(tuple((k.encode(), v.encode()) for k, v in REQUEST)))
    pool.exchange.flush()
    peer = server.peers[0]
    await peer.next(h2.events.RequestReceived)
    peer.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings", last_stream_id=1)
    peer.flush()
    peer.transport.close()
    reason = await asyncio.wait_for(told, PATIENCE)
    assert "ENHANCE_YOUR_CALM" in reason
    assert "too_many_pings" in reason


async def test_silence_is_pinged_only_while_there_are_calls_and_closed_without_an_answer(
    start_frames, start_pool
):
    server, target = await start_frames(lambda *_: None)
    options = PoolOptions(first_backoff=0.02, keepalive=0.1, keepalive_timeout=0.2)
    pool = await start_pool(target, options=options)
    connection = await outcome(pool)
    peer = server.peers[0]
    await asyncio.sleep(0.3)
    seen = [peer.events.get_nowait() for _ in range(peer.events.qsize())]
    assert not [event for event in seen if isinstance(event, h2.events.PingReceived)]
    told = asyncio.get_running_loop().create_future()

    class Sink:
        def on_reset(self, stream, code, reason, unprocessed):
            told.set_result(reason)

    connection.open(Sink(), encode_fields(tuple((k.encode(), v.encode()) for k, v in REQUEST)))
    pool.exchange.flush()
    await peer.next(h2.events.PingReceived)
    peer.transport.pause_reading()
    assert "does not answer pings" in await asyncio.wait_for(told, PATIENCE)
