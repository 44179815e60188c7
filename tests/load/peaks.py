"""`python -m tests.load.peaks`: what the process has before a peak, at it, and ten seconds after.

Law: one peak after another, each on a proxy of its own; what is too much afterwards is one number for all of them.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.edge.conftest import PREDICT, predict
from tests.load.frames import Call, Connection, framed, head
from tests.load.server import Server
from tests.load.standing import MB, PATIENCE, builds, busy, in_flight, memory, standing
from tests.proxy_process import ProxyProcess
from tests.trust.command import end_with
from tests.trust.result import Result, Table

LEFT = 48 * MB
"""So much more than before may be left of any peak."""
AFTER = 10.0
SMALL = framed(predict())
LARGE = framed(predict(shape=(90_000, 3)))
"""1.08 MB."""
TALL = framed(predict("tall"))
LARGE_CALLS, HELD_CALLS, CONNECTIONS = 256, 3000, 800


class Peak(NamedTuple):
    """Octets."""

    before: int
    most: int
    after: int


class Crowd:
    """Calls on some connections, and how they ended."""

    def __init__(self, target: str, connections: Sequence[Connection]) -> None:
        self._head = head(PREDICT, target)
        self.connections = connections
        self.codes: Counter[int] = Counter()
        self.begun = 0
        self._all = asyncio.Event()

    def begin(self, count: int, body: bytes) -> None:
        """Begin so many calls at once."""
        self.begun += count
        self._all.clear()
        for number in range(count):
            self.connections[number % len(self.connections)].begin(Call("", self._ended), self._head, body)

    async def answered(self) -> None:
        """Wait for all of them; each must have been served."""
        async with asyncio.timeout(PATIENCE):
            await self._all.wait()
        assert self.codes == {0: self.begun}, self.codes

    def _ended(self, call: Call) -> None:
        self.codes[call.code or 0] += 1
        if self.codes.total() == self.begun:
            self._all.set()


@asynccontextmanager
async def crowd(target: str, connections: int = 16) -> AsyncIterator[Crowd]:
    """Connected clients."""
    those = [await Connection.connect(target) for _ in range(connections)]
    try:
        yield Crowd(target, those)
    finally:
        for each in those:
            each.close()


async def _held(proxy: ProxyProcess, server: Server, connections: int, calls: int, body: bytes) -> int:
    """All calls are at the server at a time, which answers none until then."""
    async with crowd(proxy.target, connections) as clients:
        with server.hold("Predict") as hold:
            clients.begin(calls, body)
            await hold.arrived(calls)
            most = memory(proxy.process.pid).resident
            hold.release()
        await clients.answered()
    return most


async def large_requests(proxy: ProxyProcess, server: Server) -> int:
    return await _held(proxy, server, 16, LARGE_CALLS, LARGE)


async def large_answers(proxy: ProxyProcess, server: Server) -> int:
    """Nobody reads them at first."""
    async with crowd(proxy.target) as clients:
        for each in clients.connections:
            assert each.transport is not None
            each.transport.pause_reading()
        clients.begin(LARGE_CALLS, TALL)
        most, grown = 0, time.monotonic()
        while time.monotonic() < grown + 1:
            now = memory(proxy.process.pid).resident
            if now > most + MB:
                most, grown = now, time.monotonic()
            await asyncio.sleep(0.05)
        for each in clients.connections:
            assert each.transport is not None
            each.transport.resume_reading()
        await clients.answered()
    return most


async def held_calls(proxy: ProxyProcess, server: Server) -> int:
    return await _held(proxy, server, 16, HELD_CALLS, SMALL)


async def many_connections(proxy: ProxyProcess, server: Server) -> int:
    return await _held(proxy, server, CONNECTIONS, CONNECTIONS, SMALL)


PEAKS: dict[str, Callable[[ProxyProcess, Server], Awaitable[int]]] = {
    f"{LARGE_CALLS} requests of 1.08 MB": large_requests,
    f"{LARGE_CALLS} answers of 1.05 MB that nobody reads": large_answers,
    f"{HELD_CALLS} calls that wait": held_calls,
    f"{CONNECTIONS} connections with a call each": many_connections,
}


async def at_rest(proxy: ProxyProcess) -> int:
    """What it has resident once it has answered a few calls of each kind."""
    async with crowd(proxy.target) as clients:
        clients.begin(64, SMALL)
        clients.begin(1, LARGE)
        clients.begin(1, TALL)
        await clients.answered()
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(in_flight, proxy):  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)
    return memory(proxy.process.pid).resident


async def _measured(edge: str, build: str, peak: Callable[[ProxyProcess, Server], Awaitable[int]]) -> Peak:
    async with Server() as server, standing(server.target, edge, build) as proxy:
        before = await at_rest(proxy)
        most = await peak(proxy, server)
        await asyncio.sleep(AFTER)
        return Peak(before, most, memory(proxy.process.pid).resident)


async def _all() -> tuple[list[tuple[str, ...]], list[str]]:
    rows, failures = [], []
    for edge, build in (*(("native", build) for build in builds()), ("grpcio", builds()[0])):
        for name, peak in PEAKS.items():
            found = await _measured(edge, build, peak)
            rows.append((name, f"{edge}, {build}", *(f"{octets / MB:.0f}" for octets in found)))
            print(*rows[-1], flush=True)
            if found.after - found.before > LEFT:
                failures.append(
                    f"{name}, {edge}, {build}: {found.before / MB:.0f} MiB became {found.after / MB:.0f}"
                )
    return rows, failures


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m tests.load.peaks",
        description=f"What the process has resident before a peak, at it, and {AFTER:.0f} seconds after.",
    ).parse_args()
    began = time.monotonic()
    rows, failures = asyncio.run(_all())
    table = Table(
        "MiB resident.", ("peak", "edge, build", "before", "at the peak", f"{AFTER:.0f} s after"), rows
    )
    most = max(int(row[-1]) - int(row[2]) for row in rows)
    figures = {
        "peaks": f"{len(rows)}",
        f"most that was left of one after {AFTER:.0f} s": f"{most} MiB",
        "the machine": busy(),
    }
    return Result("peaks", figures, time.monotonic() - began, [table], failures=failures).save()


if __name__ == "__main__":
    end_with(main)
