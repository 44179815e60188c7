"""The pool: connecting, failing in words, coming back, leaving."""

import asyncio
import socket

import h2.errors
import h2.events
import pytest

from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.pool import Pool, PoolOptions
from proxy.edge.native.shell import Exchange
from tests.edge.native.conftest import PATIENCE, REQUEST, Peer, until

QUICK = PoolOptions(first_backoff=0.02, longest_backoff=0.05, connect_timeout=0.5)


class Caller:
    """Wants a stream; remembers what it got."""

    def __init__(self):
        self.told = asyncio.get_running_loop().create_future()

    def connected(self, connection):
        self.told.set_result(connection)

    def unreachable(self, reason):
        self.told.set_result(reason)


@pytest.fixture
async def start_pool(stack):
    async def start(target, **options):
        changes = []
        pool = Pool(
            target, Exchange(), options=options.pop("options", QUICK), on_change=changes.append, **options
        )
        pool.changes = changes
        await pool.start()
        stack.push_async_callback(pool.stop)
        return pool

    return start


async def outcome(pool):
    connection = pool.pick()
    if connection is not None:
        return connection
    caller = Caller()
    pool.wait(caller)
    return await asyncio.wait_for(caller.told, PATIENCE)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_a_call_may_come_before_the_connection(start_frames, start_pool):
    _, target = await start_frames()
    pool = await start_pool(target)
    connection = await outcome(pool)
    assert connection.can_open()
    assert pool.changes == [True]
    assert await outcome(pool) is connection


async def test_a_port_where_nobody_listens_is_named_at_once(start_pool):
    port = closed_port()
    pool = await start_pool(f"127.0.0.1:{port}")
    reason = await outcome(pool)
    assert reason == f"cannot reach 127.0.0.1:{port} (127.0.0.1:{port}: connection refused)"
    assert await outcome(pool) == reason, "the next call does not wait again"
    assert pool.changes[0] is False


async def test_a_name_that_does_not_resolve_is_named(start_pool):
    reason = await outcome(await start_pool("no-such-host.invalid:8500"))
    assert "cannot be resolved" in reason


async def test_a_name_that_cannot_be_one_is_no_end_of_trying(start_pool):
    reason = await outcome(await start_pool("no..such:8500"))
    assert "cannot be resolved" in reason


async def test_every_address_of_a_list_takes_its_turn(start_frames, start_pool):
    targets = [(await start_frames())[1] for _ in range(2)]
    pool = await start_pool(f"ipv4:{','.join(targets)}")
    await outcome(pool)
    await until(lambda: len(pool._shells) == 2)
    assert {str(pool.pick().handler.address) for _ in range(4)} == set(targets)


async def test_a_server_that_speaks_http_1_is_recognised(start_pool, stack):
    async def serve(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    stack.callback(server.close)
    reason = await outcome(await start_pool(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert "does not speak HTTP/2" in reason


async def test_a_server_that_says_nothing_is_given_up(start_pool, stack):
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    stack.callback(server.close)
    reason = await outcome(await start_pool(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert "no HTTP/2 SETTINGS in time" in reason


async def test_a_server_that_comes_back_is_found_again(start_frames, start_pool):
    server, target = await start_frames()
    pool = await start_pool(target)
    assert not isinstance(await outcome(pool), str)
    server.stop()
    await until(lambda: pool.changes[-1] is False)
    assert isinstance(await outcome(pool), str)
    await start_frames(port=int(target.rpartition(":")[2]))
    await until(lambda: pool.changes[-1] is True)
    assert not isinstance(await outcome(pool), str)
    assert pool.changes == [True, False, True]


async def test_every_address_of_a_name_takes_its_turn(start_frames, start_pool, monkeypatch):
    first, target = await start_frames()
    port = int(target.rpartition(":")[2])
    loop = asyncio.get_running_loop()
    second = await loop.create_server(lambda: Peer(client=False), "127.0.0.2", port)

    async def resolve(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for last in (1, 2)]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    pool = await start_pool(f"name.test:{port}")
    await outcome(pool)
    await until(lambda: len(pool._shells) == 2)
    picked = [pool.pick().handler.address[0] for _ in range(6)]
    assert sorted(picked) == ["127.0.0.1"] * 3 + ["127.0.0.2"] * 3
    assert picked[0] != picked[1]
    assert first.peers
    second.close()


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
