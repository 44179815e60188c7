"""A new proxy takes the place of a running one on the same port, and no call is lost."""

import asyncio
from collections import Counter

import grpc
import pytest

from tests.edge.conftest import PREDICT, predict
from tests.proxy_process import ProxyProcess
from tests.test_app import start as start_command
from tests.workers.conftest import OWN_CONNECTION


class Load:
    """Clients that call all the time: some over one connection, some over a new one for each call."""

    def __init__(self, target: str) -> None:
        self.codes: Counter[object] = Counter()
        self._target = target
        self._over = False
        self._made = asyncio.Event()
        self._clients = [asyncio.create_task(each()) for each in (self._steady, self._fresh) * 3]

    async def more(self, calls: int) -> None:
        """Wait until so many more calls have been made."""
        enough = self.codes.total() + calls
        async with asyncio.timeout(30):
            while self.codes.total() < enough:
                self._made.clear()
                await self._made.wait()

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self._clients)

    async def _steady(self) -> None:
        async with self._channel() as channel:
            while not self._over:
                await self._call(channel)

    async def _fresh(self) -> None:
        while not self._over:
            async with self._channel() as channel:
                await self._call(channel)

    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._target, options=OWN_CONNECTION)

    async def _call(self, channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(PREDICT)(predict(), timeout=20)
        code = await call.code()
        self.codes[code if code is grpc.StatusCode.OK else (code, await call.details())] += 1
        self._made.set()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_call_is_lost_when_a_new_proxy_takes_the_place_of_the_old_one(serving, workers):
    flags = ("--upstream", serving.target, "--reuse-port", "--workers", workers)
    proxy = await asyncio.to_thread(ProxyProcess, *flags)
    target = proxy.target
    load = Load(target)
    for _ in range(2):
        await load.more(20)
        new = await asyncio.to_thread(ProxyProcess, *flags, "--listen", target)
        await load.more(20)
        assert await asyncio.to_thread(proxy.stop) == 0
        assert not proxy.noise
        await load.more(20)
        proxy = new
    await load.end()
    assert list(load.codes) == [grpc.StatusCode.OK], load.codes
    assert await asyncio.to_thread(proxy.stop) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_does_not_ask_to_share_a_port_finds_it_taken(workers):
    with ProxyProcess("--upstream", "127.0.0.1:1", "--reuse-port", "--workers", workers) as proxy:
        done = start_command("--workers", workers, "--listen", proxy.target)
        assert done.returncode == 2
        assert "in use" in done.stderr


def test_a_port_that_is_not_shared_is_not_taken_by_who_asks_to():
    with ProxyProcess("--upstream", "127.0.0.1:1") as proxy:
        for workers in ("1", "2"):
            done = start_command("--workers", workers, "--reuse-port", "--listen", proxy.target)
            assert done.returncode == 2
            assert "in use" in done.stderr


def test_a_unix_socket_is_not_shared(tmp_path):
    done = start_command("--reuse-port", "--listen", f"unix:{tmp_path}/grpc.sock")
    assert done.returncode == 2
    assert "not a Unix socket" in " ".join(done.stderr.split())
