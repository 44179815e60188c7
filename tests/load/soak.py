"""`python -m tests.load.soak --seconds S [--edge E] [--trust]`: mixed traffic for a long time, and whether anything grows.

Law: what grows is found by comparing the medians of the first and the last fifth of the time after the warm-up, which
no single moment decides; what is left at the end, when everybody has gone, is counted.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.load.crowd import Crowd, counted
from tests.load.pictures import Curve, picture
from tests.load.standing import MB, builds, busy, descriptors, fetch, memory, metric, standing
from tests.load.traffic import INVENTIVE
from tests.proxy_process import EDGES, ROOT, ProxyProcess
from tests.trust.command import above_zero, count, end_with
from tests.trust.result import PICTURES, Picture, Result, Table

FILLING, FILLING_RATE = 60.0, 800.0
"""So long, and with so many calls a second, what is remembered of requests is filled before."""
WARM_UP, LEAST_WARM_UP = 0.2, 120
"""The part of the time in which the rest fills: the history, the heaps of the C library,
connections of all ages; and the seconds that it takes at least."""
GROWTH = 0.02
PUT_OFF = 0.001
"""The part of the calls that may be told to come again: a busy machine lets a question wait for seconds."""
FEW = 5
"""Tasks or descriptors that the last fifth may have more than the first: calls come and go."""
PROGRESS = 30
"""Samples, which are about a second each, between two lines that tell how far it is."""
LONG_ENOUGH = 240.0
"""Seconds below which nothing is said of growth."""
PATIENCE = 60.0


@dataclass
class Sample:
    """What was seen at a time. Octets, counts, seconds; the counters are since the start."""

    time: float
    resident: int
    anonymous: int
    share: int
    descriptors: int
    in_flight: float
    scrape: float
    ok: int
    refused: int
    late: int
    tasks: int = 0
    lag: float = 0.0


@dataclass
class Soaked:
    """All that one run has shown."""

    crowd: Crowd
    seconds: float
    filling: Crowd
    samples: list[Sample] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


@asynccontextmanager
async def server(*flags: str) -> AsyncIterator[str]:
    """The server in a process of its own; where it is."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.load.server", *flags)
    # Ctrl-C is for whoever started it, with whom it ends.
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=pipe, stdout=pipe, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def soak(edge: str, build: str, seconds: float, connections: int, rate: float, *flags: str) -> Soaked:
    """Run it."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        env = {"TFS_PROXY_TOLD": str(told)}
        async with (
            server() as target,
            standing(target, edge, build, *flags, module="tests.load.inside", env=env) as proxy,
        ):
            soaked = Soaked(
                Crowd(proxy.target, edge, connections, rate), seconds, Crowd(proxy.target, edge, 0, 1)
            )
            # Everything loaded that any kind of call needs, and everything remembered that is.
            await Crowd(proxy.target, edge, 10, 100, seed=2).run(2.0)
            soaked.filling = Crowd(proxy.target, edge, 50, FILLING_RATE, seed=3, kinds=INVENTIVE)
            print("filling what is remembered of requests", flush=True)
            await soaked.filling.run(min(FILLING, seconds / 5))
            soaked.before = await _at_rest(proxy, told)
            sampling, began = asyncio.create_task(_sample(proxy, soaked)), time.time()
            await soaked.crowd.run(seconds)
            sampling.cancel()
            with suppress(asyncio.CancelledError):
                await sampling
            soaked.after = await _at_rest(proxy, told, soaked.before)
        # The last to go take their time.
        soaked.samples = [sample for sample in soaked.samples if sample.time <= began + seconds]
        _join(soaked.samples, _lines(told))
    return soaked


def _lines(told: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in told.read_text().splitlines()]


async def _at_rest(
    proxy: ProxyProcess, told: Path, before: dict[str, float] | None = None
) -> dict[str, float]:
    """What there is when nobody is there: waited for until it is no more than `before`, or for a while."""
    until = time.monotonic() + (PATIENCE if before is not None else 10)
    while True:
        length = len(_lines(told))
        while len(_lines(told)) < length + 2:  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.1)  # a line each second
        scrape = await asyncio.to_thread(fetch, proxy, "/metrics")
        found = {
            "tasks": _lines(told)[-1]["tasks"],
            "descriptors": descriptors(proxy.process.pid),
            "connections": metric(scrape, "tfs_proxy_connections"),
            "calls in flight": metric(scrape, "tfs_proxy_in_flight"),
            "octets in flight": metric(scrape, "tfs_proxy_inflight_bytes"),
        }
        calm = (
            found["connections"] == found["calls in flight"] == 0
            if before is None
            else not _more(before, found)
        )
        if calm or time.monotonic() > until:
            return found


def _more(before: dict[str, float], after: dict[str, float]) -> list[str]:
    return [
        f"{name} at rest: {before[name]:.0f} before, {after[name]:.0f} afterwards"
        for name in before
        if after[name] > before[name]
    ]


async def _sample(proxy: ProxyProcess, soaked: Soaked) -> None:
    pid = proxy.process.pid
    while True:
        if len(soaked.samples) % PROGRESS == 0:
            _progress(soaked)
        await asyncio.sleep(1)
        began = time.monotonic()
        try:
            scrape = await asyncio.to_thread(fetch, proxy, "/metrics")
        except OSError as error:
            soaked.crowd.note("/metrics", str(error))
            continue
        took = time.monotonic() - began
        now = memory(pid)
        codes = soaked.crowd.codes
        soaked.samples.append(
            Sample(
                *(time.time(), now.resident, now.anonymous, now.share, descriptors(pid)),
                *(metric(scrape, "tfs_proxy_in_flight"), took),
                *(codes["ok"], codes["refused"], codes["cancelled or late"]),
            )
        )


def _progress(soaked: Soaked) -> None:
    crowd, last = soaked.crowd, soaked.samples[-1:]
    resident = f", {last[0].resident / MB:.0f} MiB resident" if last else ""
    print(
        f"{len(soaked.samples)} of {soaked.seconds:.0f} s: {crowd.sent.total():,} calls, "
        f"{crowd.wrong.total()} not as expected{resident}",
        flush=True,
    )


def _join(samples: Sequence[Sample], lines: Sequence[dict[str, float]]) -> None:
    """Give each sample what the proxy said last before it."""
    for sample in samples:
        last = [line for line in lines if line["time"] <= sample.time][-1:]
        if last:
            sample.tasks, sample.lag = int(last[0]["tasks"]), last[0]["lag"]


def fifths(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and the last fifth after the warm-up."""
    rest = values[max(int(len(values) * WARM_UP), min(LEAST_WARM_UP, len(values) // 2)) :]
    part = max(1, len(rest) // 5)
    return median(rest[:part]), median(rest[-part:])


def wrong(soaked: Soaked) -> list[str]:
    """What was found wrong, a line each."""
    crowd = soaked.crowd
    unexpected = crowd.wrong + soaked.filling.wrong
    found = [f"{count} of {kind!r} were not as expected" for kind, count in unexpected.most_common()]
    found += [f"for example, {example}" for example in [*crowd.examples, *soaked.filling.examples][:5]]
    put_off = crowd.put_off + soaked.filling.put_off
    if put_off > PUT_OFF * (crowd.sent.total() + soaked.filling.sent.total()) + FEW:
        found.append(f"{put_off} calls were told to come again, because the server could not be asked")
    found += _more(soaked.before, soaked.after)
    if soaked.seconds >= LONG_ENOUGH:
        first, last = fifths([sample.anonymous for sample in soaked.samples])
        if last > first * (1 + GROWTH):
            found.append(
                f"memory grows: {first / MB:.1f} MiB became {last / MB:.1f} MiB ({last / first - 1:+.1%})"
            )
        for name, values in (
            ("tasks", [sample.tasks for sample in soaked.samples]),
            ("descriptors", [sample.descriptors for sample in soaked.samples]),
        ):
            first, last = fifths(values)
            if last > first * (1 + GROWTH) + FEW:
                found.append(f"{name} grow: {first:.0f} became {last:.0f}")
    return found


def figures(soaked: Soaked, edge: str, build: str) -> dict[str, str]:
    """What a reader wants to know."""
    samples, crowd = soaked.samples, soaked.crowd
    told = {
        "edge, build": f"{edge}, {build}",
        "calls": f"{crowd.sent.total():,}, {crowd.sent.total() / soaked.seconds:,.0f} a second",
        "calls before, to fill what is remembered": f"{soaked.filling.sent.total():,}",
        "answers that were not as expected": f"{crowd.wrong.total() + soaked.filling.wrong.total()}",
        "told to come again, since the server was asked in vain": f"{crowd.put_off + soaked.filling.put_off}",
        "connections": f"{crowd.connected:,} in all",
    }
    for name, values, unit in (
        ("memory without files", [sample.anonymous / MB for sample in samples], " MiB"),
        ("resident memory", [sample.resident / MB for sample in samples], " MiB"),
        ("tasks", [sample.tasks for sample in samples], ""),
        ("descriptors", [sample.descriptors for sample in samples], ""),
    ):
        first, last = fifths(values)
        told[f"{name}, median of the first and the last fifth after warm-up"] = (
            f"{first:.4g}{unit}, {last:.4g}{unit} ({last / first - 1:+.1%})"
        )
    lags = sorted(sample.lag for sample in samples)
    told["worst lag of the event loop in a second"] = (
        f"median {median(lags) * 1e3:.1f} ms, 99 % below {lags[len(lags) * 99 // 100] * 1e3:.0f} ms, most {lags[-1] * 1e3:.0f} ms"
    )
    scrapes = sorted(sample.scrape for sample in samples)
    told["/metrics answered"] = f"median {median(scrapes) * 1e3:.0f} ms, most {scrapes[-1] * 1e3:.0f} ms"
    told["left at rest"] = ", ".join(f"{name} {value:.0f}" for name, value in soaked.after.items())
    told["left at rest, before the load"] = ", ".join(
        f"{name} {value:.0f}" for name, value in soaked.before.items()
    )
    told["the machine"] = busy()
    return told


def pictures(soaked: Soaked, folder: Path) -> list[Picture]:
    """Write the curves there."""
    samples = soaked.samples
    seconds = [sample.time - samples[0].time for sample in samples]
    rates = [
        [(getattr(b, name) - getattr(a, name)) / (b.time - a.time) for a, b in pairwise(samples)]
        for name in ("ok", "refused", "late")
    ]
    drawn = {
        "soak-memory.svg": (
            "Memory of the process while all kinds of calls come and go.",
            picture(
                *("Memory", "MiB", seconds),
                [
                    Curve("resident", [sample.resident / MB for sample in samples]),
                    Curve("without files", [sample.anonymous / MB for sample in samples]),
                ],
            ),
        ),
        "soak-counts.svg": (
            "Tasks of asyncio, open descriptors and calls in flight.",
            picture(
                *("Tasks, descriptors, calls", "count", seconds),
                [
                    Curve("tasks", [sample.tasks for sample in samples]),
                    Curve("descriptors", [sample.descriptors for sample in samples]),
                    Curve("calls in flight", [sample.in_flight for sample in samples]),
                ],
            ),
        ),
        "soak-lag.svg": (
            "How late the event loop was at most, in each second.",
            picture(
                *("Lag of the event loop", "ms", seconds),
                [Curve("worst of a second", [sample.lag * 1e3 for sample in samples], max)],
            ),
        ),
        "soak-answers.svg": (
            "Answers a second, by what they were; each was the one that was expected, but for those listed as wrong.",
            picture(
                *("Answers", "per second", seconds[1:]),
                [
                    Curve(name, rate)
                    for name, rate in zip(("OK", "refused", "cancelled or late"), rates, strict=True)
                ],
            ),
        ),
    }
    for name, (_, text) in drawn.items():
        (folder / name).write_text(text)
    return [Picture(name, caption) for name, (caption, _) in drawn.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--seconds", type=above_zero, default=300.0, help="of load (%(default)s)")
    parser.add_argument("--edge", choices=EDGES, default="native", help="(%(default)s)")
    parser.add_argument("--build", choices=builds(), default=builds()[0], help="(%(default)s)")
    parser.add_argument("--connections", type=count, default=200, help="at a time (%(default)s)")
    parser.add_argument("--rate", type=above_zero, default=300.0, help="calls a second (%(default)s)")
    parser.add_argument(
        "--trust", action="store_true", help="keep result and pictures for docs/reliability.md"
    )
    told = parser.parse_args(arguments)
    began = time.monotonic()
    soaked = asyncio.run(soak(told.edge, told.build, told.seconds, told.connections, told.rate))
    took = time.monotonic() - began
    rows = counted([soaked.filling, soaked.crowd])
    table = Table("What was asked, and how it ended.", ("calls", "sent", "ended", "not as expected"), rows)
    if not told.trust:
        for row in rows:
            print(*row, sep="\t")
        for name, figure in figures(soaked, told.edge, told.build).items():
            print(f"{name}: {figure}")
        print(*wrong(soaked), sep="\n")
        folder = Path(os.environ.get("TFS_PROXY_SOAK", tempfile.gettempdir()))
        print(folder, [each.file for each in pictures(soaked, folder)])
        return 1 if wrong(soaked) else 0
    shown = pictures(soaked, PICTURES)
    result = Result("soak", figures(soaked, told.edge, told.build), took, [table], shown, wrong(soaked))
    if told.seconds < LONG_ENOUGH:
        result = replace(result, skipped=[f"growth: told only of {LONG_ENOUGH:.0f} s of load or more"])
    return result.save()


if __name__ == "__main__":
    end_with(main)
