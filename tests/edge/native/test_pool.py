"""The pool: every address in its turn, what is lost comes back, and nobody waits in vain."""

import asyncio
import socket

from tests.edge.native.conftest import Peer, outcome, until


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
