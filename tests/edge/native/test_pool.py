"""The pool: every address in its turn, what is lost comes back, and nobody waits in vain."""

import asyncio
import socket

import h2.events
import h2.settings
import pytest

from proxy.edge.native.http2.compression import encode_fields
from tests.edge.native.conftest import PATIENCE, REQUEST, Caller, Peer, outcome, until


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_a_call_may_come_before_the_connection(start_frames, start_pool):
    _, target = await start_frames()
    pool = await start_pool(target)
    connection = await outcome(pool)
    assert connection.can_open()
    assert await outcome(pool) is connection


async def test_a_port_where_nobody_listens_is_named_at_once(start_pool):
    port = closed_port()
    pool = await start_pool(f"127.0.0.1:{port}")
    reason = await outcome(pool)
    assert reason == f"cannot reach 127.0.0.1:{port} (127.0.0.1:{port}: connection refused)"
    assert await outcome(pool) == reason, "the next call does not wait again"


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


async def test_a_server_that_comes_back_is_found_again(start_frames, start_pool):
    server, target = await start_frames()
    pool = await start_pool(target)
    assert not isinstance(await outcome(pool), str)
    server.stop()
    await until(lambda: pool.pick() is None)
    assert isinstance(await outcome(pool), str)
    await start_frames(port=int(target.rpartition(":")[2]))
    await until(lambda: pool.pick() is not None)


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


async def test_whoever_watches_hears_of_a_server_before_it_gets_a_call(start_frames, start_pool):
    """…and each time that it may be another one."""
    heard = []

    class Waits(Caller):
        def connected(self, connection):
            heard.append("call")
            super().connected(connection)

    server, target = await start_frames()
    pool = await start_pool(target, on_change=heard.append)
    assert pool.up is None
    call = Waits()
    pool.wait(call)
    await call.told
    assert heard == [True, "call"]
    server.peers[0].transport.abort()
    await until(lambda: pool.arrivals == 2)
    assert heard == [True, "call", True], "a server that came back at once is told too"
    server.stop()
    await until(lambda: pool.up is False)
    await start_frames(port=int(target.rpartition(":")[2]))
    await until(lambda: pool.up)
    assert heard[3:] == [False, True]


async def test_another_connection_to_the_same_server_is_no_news(start_frames, start_pool):
    heard = []

    def few(peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})

    _, target = await start_frames(few)
    pool = await start_pool(target, on_change=heard.append)
    await until(lambda: pool._shells and pool._shells[0].connection.table.peer_concurrent_streams == 1)
    opened(pool, await outcome(pool))
    assert not isinstance(await outcome(pool), str)
    assert len(pool._shells) == 2
    assert heard == [True]


class Sink:
    """Takes whatever comes."""

    def __init__(self):
        self.ended = False

    def on_head(self, stream, block, ended):
        self.ended = ended

    def on_data(self, stream, pieces, size, ended):
        pass

    def on_trailers(self, stream, block):
        self.ended = True


def opened(pool, connection):
    """A call on the connection, whose request is complete."""
    sink = Sink()
    block = encode_fields(tuple((k.encode(), v.encode()) for k, v in REQUEST))
    sink.stream = connection.open(sink, block, end=True)
    pool.exchange.flush()
    return sink


@pytest.mark.parametrize("left", [0, 1, 1000])
async def test_a_connection_is_replaced_before_its_stream_numbers_run_out(start_frames, start_pool, left):
    held = []

    def hold_the_first(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            if held:
                peer.answer(event.stream_id)
            else:
                held.append((peer, event.stream_id))

    server, target = await start_frames(hold_the_first)
    pool = await start_pool(target)
    old = await outcome(pool)
    under_way = opened(pool, old)
    await until(lambda: held)
    old.table.next_stream = 2**31 + 1 - 2 * left
    for _ in range(2000):
        connection = await outcome(pool)
        assert not isinstance(connection, str)
        if connection is not old:
            break
        call = opened(pool, connection)
        await until(lambda call=call: call.ended)
        pool.freed(connection)
    assert connection is not old
    call = opened(pool, connection)
    await until(lambda: call.ended)
    assert not server.peers[0].closed.is_set(), "a call is under way on the old one"
    assert not under_way.ended
    held[0][0].answer(held[0][1])
    await until(lambda: under_way.ended)
    pool.freed(old)
    await asyncio.wait_for(server.peers[0].closed.wait(), PATIENCE)
    assert len(pool._shells) == 1
    assert not pool._leaving


async def test_what_is_leaving_is_closed_with_the_pool(start_frames, start_pool):
    server, target = await start_frames(lambda *_: None)
    pool = await start_pool(target)
    old = await outcome(pool)
    opened(pool, old)
    old.table.next_stream = 2**31 + 1
    assert await outcome(pool) is not old
    await pool.stop()
    for peer in server.peers:
        await asyncio.wait_for(peer.closed.wait(), PATIENCE)


@pytest.mark.parametrize("answer", ["an error", "none"])
async def test_a_server_that_comes_back_while_its_name_is_gone_is_found_where_it_was(
    start_frames, start_pool, monkeypatch, answer
):
    server, target = await start_frames()
    port = int(target.rpartition(":")[2])
    gone = False

    async def resolve(*_, **__):
        if gone and answer == "none":
            await asyncio.Event().wait()
        if gone:
            raise OSError(-3, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    pool = await start_pool(f"name.test:{port}")
    await outcome(pool)
    gone = True
    server.stop()
    await until(lambda: "refused" in pool._failing)
    assert "the name cannot be resolved" in pool._failing
    await start_frames(port=port)
    await until(lambda: pool.pick() is not None)
