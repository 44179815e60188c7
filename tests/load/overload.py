"""`python -m tests.load.overload [--seconds S]`: three times as many calls as the server can answer, whether or not it does.

Law: an open loop: a call begins when it is due, whatever became of those before, and is timed from then. What the
server can do at most is measured first, through the same proxy, with as many calls at a time as it works on.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import uvloop

from tests.edge.conftest import PREDICT, predict
from tests.load.frames import Call, Connection, framed, head
from tests.load.soak import server
from tests.load.standing import MB, builds, busy, fetch, memory, standing
from tests.proxy_process import ProxyProcess
from tests.trust.command import above_zero, end_with
from tests.trust.result import Result, Table

TIMES = 3
AT_ONCE, MILLISECONDS = {"native": 8, "grpcio": 4}, 20
"""What the server works on at a time, and how long: the server is to be what cannot do more, and not the edge."""
DEADLINE = 1.0
CONNECTIONS = 16
REQUEST = framed(predict(shape=(32, 3)))
LIMITS: dict[str, tuple[str, ...]] = {
    "--max-concurrent-calls 24": ("--max-concurrent-calls", "24"),
    "--max-model-calls 16": ("--max-model-calls", "16"),
    "--adaptive": ("--adaptive",),
    "none": (),
}
UNBOUNDED = "none"
"""Without a limit the proxy cannot know what the server bears, and nothing is refused: it is shown, and not judged."""

PART_OF_PEAK = 0.9
REFUSED_WITHIN = 0.05
MEMORY = 64 * MB
RECOVERS_WITHIN = 2.0
PATIENCE = 10.0
_HEALTH = "/grpc.health.v1.Health/Check"
_REFUSED = 8


@dataclass
class Load:
    """What became of calls: seconds by code, from when each was due."""

    seconds: float
    offered: int = 0
    took: dict[int, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    """How late each was sent."""
    unexpected: Counter[str] = field(default_factory=Counter)

    def rate(self, code: int) -> float:
        return len(self.took.get(code, ())) / self.seconds

    def ended(self, call: Call, seconds: float) -> None:
        code = call.code
        assert code is not None
        self.took.setdefault(code, []).append(seconds)
        if code not in {0, 4, _REFUSED}:
            self.unexpected[f"{code} {call.reason}"] += 1


@dataclass
class Watched:
    """How the proxy's own services answered meanwhile: seconds each; `failed` says which did not."""

    admin: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    most: int = 0


@dataclass
class Shown:
    """One setting under overload."""

    setting: str
    peak: float
    load: Load
    watched: Watched
    before: int
    recovered: float
    """Seconds after the last call was due until a call was served at once."""
    again: float
    """Calls a second that are served afterwards, with as many at a time as the server works on."""


async def _connected(target: str, count: int) -> list[Connection]:
    return [await Connection.connect(target) for _ in range(count)]


async def closed_loop(target: str, together: int, seconds: float) -> Load:
    """So many calls at a time."""
    load = Load(seconds)
    connections = await _connected(target, min(together, CONNECTIONS))
    block = head(PREDICT, target)
    until = time.monotonic() + seconds

    async def one(connection: Connection) -> None:
        while (began := time.monotonic()) < until:
            over = asyncio.Event()
            call = Call("", lambda _: over.set())  # noqa: B023 - it is awaited before the next
            load.offered += 1
            connection.begin(call, block, REQUEST)
            await over.wait()
            load.ended(call, time.monotonic() - began)

    await asyncio.gather(*(one(connections[number % len(connections)]) for number in range(together)))
    for connection in connections:
        connection.close()
    return load


async def open_loop(target: str, rate: float, seconds: float, warm_up: float) -> Load:
    """Calls at so many a second, a Poisson process; those of the warm-up are not counted."""
    load, dice = Load(seconds), Random(1)
    connections = await _connected(target, CONNECTIONS)
    block = head(PREDICT, target, ("grpc-timeout", f"{DEADLINE * 1000:.0f}m"))
    begun = left = 0
    all_over = asyncio.Event()
    start = time.monotonic() + 0.1
    counted, end = start + warm_up, start + warm_up + seconds

    def ended(call: Call) -> None:
        nonlocal left
        left -= 1
        if call.told >= counted:
            load.ended(call, time.monotonic() - call.told)
        if not left and time.monotonic() > end:
            all_over.set()

    due = start
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        while due <= now and due < end:
            call = Call("", ended)
            call.told = due
            if due >= counted:
                load.offered += 1
                load.late.append(now - due)
            left += 1
            connections[begun % CONNECTIONS].begin(call, block, REQUEST)
            begun += 1
            due += dice.expovariate(rate)
    if left:
        async with asyncio.timeout(PATIENCE):
            await all_over.wait()
    for connection in connections:
        connection.close()
    return load


async def _watch(proxy: ProxyProcess, watched: Watched) -> None:
    """Ask what an operator and a balancer ask, again and again."""

    async def admin() -> None:
        for path in _in_turn("/metrics", "/readyz", "/"):
            began = time.monotonic()
            try:
                await asyncio.to_thread(fetch, proxy, path)
            except OSError as error:
                watched.failed.append(f"{path}: {error}")
            watched.admin.append(time.monotonic() - began)
            watched.most = max(watched.most, memory(proxy.process.pid).resident)
            await asyncio.sleep(0.1)

    async def health() -> None:
        connection = await Connection.connect(proxy.target)
        block = head(_HEALTH, proxy.target)
        while True:
            over, began = asyncio.Event(), time.monotonic()
            call = Call("", lambda _: over.set())  # noqa: B023 - it is awaited before the next
            connection.begin(call, block, framed(b""))
            await over.wait()
            watched.health.append(time.monotonic() - began)
            if call.code or bytes(call.body) != framed(b"\x08\x01"):
                watched.failed.append(f"health: {call.code} {call.reason} {bytes(call.body)!r}")
                if connection.lost:
                    connection = await Connection.connect(proxy.target)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(admin())
        group.create_task(health())


def _in_turn(*paths: str) -> Iterator[str]:
    while True:
        yield from paths


@contextmanager
def _watching(proxy: ProxyProcess) -> Iterator[Watched]:
    watched = Watched()
    task = asyncio.create_task(_watch(proxy, watched))
    try:
        yield watched
    finally:
        task.cancel()


async def _recovery(target: str) -> float:
    """Seconds until a call is served."""
    began = time.monotonic()
    while not (await closed_loop(target, 1, 0.001)).took.get(0):
        assert time.monotonic() < began + PATIENCE, "never recovered"
    return time.monotonic() - began


async def shown(edge: str, build: str, setting: str, seconds: float, warm_up: float = 2.0) -> Shown:
    """One setting of one edge, under overload."""
    at_once = AT_ONCE[edge]
    capacity = ("--at-once", str(at_once), "--milliseconds", str(MILLISECONDS))
    async with server(*capacity) as upstream, standing(upstream, edge, build, *LIMITS[setting]) as proxy:
        peak = (await closed_loop(proxy.target, 2 * at_once, min(3.0, seconds))).rate(0)
        before = memory(proxy.process.pid).resident
        with _watching(proxy) as watched:
            load = await open_loop(proxy.target, TIMES * peak, seconds, warm_up)
        recovered = await _recovery(proxy.target)
        again = (await closed_loop(proxy.target, 2 * at_once, min(3.0, seconds))).rate(0)
    return Shown(setting, peak, load, watched, before, recovered, again)


def rank(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def wrong(found: Shown) -> list[str]:
    """What falls short of what is asked, a line each."""
    load, watched, said = found.load, found.watched, []
    if load.unexpected:
        said.append(f"statuses that nobody expects: {dict(load.unexpected)}")
    said += watched.failed[:3]
    if watched.most - found.before > MEMORY:
        said.append(f"memory: {found.before / MB:.0f} MiB became {watched.most / MB:.0f}")
    if found.recovered > RECOVERS_WITHIN:
        said.append(f"the first call was served {found.recovered:.1f} s after the last of the overload")
    if found.setting != UNBOUNDED:
        if load.rate(0) < PART_OF_PEAK * found.peak:
            said.append(f"goodput {load.rate(0):.0f} of {found.peak:.0f} a second")
        if (median := rank(load.took.get(_REFUSED, ()), 0.5)) > REFUSED_WITHIN:
            said.append(f"half of the refusals took more than {median * 1e3:.0f} ms")
        if found.again < PART_OF_PEAK * found.peak:
            said.append(f"afterwards {found.again:.0f} of {found.peak:.0f} a second are served")
    return said


COLUMNS = (
    *("limit", "edge, build", "capacity/s", "offered/s", "goodput/s", "refused/s", "late/s"),
    *("refused in ms: p50", "p99", "admin ms: p50", "p99", "health ms: p50", "p99"),
    *("MiB before", "most", "served again after ms"),
)


def row(found: Shown, who: str) -> tuple[str, ...]:
    load, watched = found.load, found.watched
    refused = load.took.get(_REFUSED, ())
    times = (
        f"{rank(values, share) * 1e3:.1f}" if values else "none"
        for values in (refused, watched.admin, watched.health)
        for share in (0.5, 0.99)
    )
    return (
        *(found.setting, who, f"{found.peak:.0f}", f"{load.offered / load.seconds:.0f}"),
        *(f"{load.rate(code):.0f}" for code in (0, _REFUSED, 4)),
        *times,
        *(f"{found.before / MB:.0f}", f"{found.watched.most / MB:.0f}", f"{found.recovered * 1e3:.0f}"),
    )


async def _all(seconds: float) -> tuple[list[tuple[str, ...]], list[str], list[float]]:
    rows, failures, late = [], [], []
    for edge, build in [("native", build) for build in builds()] + [("grpcio", builds()[0])]:
        for setting in LIMITS:
            found = await shown(edge, build, setting, seconds)
            rows.append(row(found, f"{edge}, {build}"))
            print(*rows[-1], sep="\t", flush=True)
            failures += [f"{setting}, {edge}, {build}: {each}" for each in wrong(found)]
            late += found.load.late
    return rows, failures, late


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.overload", description=__doc__)
    parser.add_argument("--seconds", type=above_zero, default=10.0, help="of each setting (%(default)s)")
    told = parser.parse_args(arguments)
    began, was_busy = time.monotonic(), busy()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows, failures, late = runner.run(_all(told.seconds))
    figures = {
        "server": ", ".join(
            f"{count} calls at a time behind the {edge} edge" for edge, count in AT_ONCE.items()
        )
        + f", {MILLISECONDS} ms each",
        "offered": f"{TIMES} times what it answers, over {CONNECTIONS} connections, each call with {DEADLINE:.0f} s",
        "sent later than due, p99": f"{rank(late, 0.99) * 1e3:.1f} ms",
        "the machine, before": was_busy,
    }
    table = Table("", COLUMNS, rows)
    return Result("overload", figures, time.monotonic() - began, [table], failures=failures).save()


if __name__ == "__main__":
    end_with(main)
