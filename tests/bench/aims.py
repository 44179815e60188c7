"""What the compiled build is held to: one process, judging and metrics on, beside what was measured.

Law: an aim is a row here; it is judged by figures of one run, and where the load was the limit by CPU time, which
the row then says.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.bench.figures import added, find, scenarios_of, throughput
from tests.bench.rounds import Result
from tests.bench.scenarios import CORE, CPP, H2LOAD, LIMITED, TIMES, WORKERS, Scenario
from tests.bench.tables import markdown, times

_OURS = "compiled"


class Throughput(NamedTuple):
    """At least `least` times as many requests per second as `other`, many calls at a time."""

    load: str
    payload: str
    other: str
    least: float


THROUGHPUT = (
    Throughput(H2LOAD, "small", "haproxy", 1.0),
    Throughput(H2LOAD, "small", "envoy", 2.0),
    Throughput(H2LOAD, "image", "nginx", 1.0),
    Throughput(H2LOAD, "image", "envoy", 1.2),
    Throughput(H2LOAD, "float", "nginx", 1.0),
    Throughput(H2LOAD, "float", "envoy", 1.2),
    Throughput(CPP, "orders", "envoy", 1.0),
    Throughput(CPP, "many", "envoy", 1.4),
)
WORKERS_LEAST = 1.8
ADDED_AT_MOST = {"small": 0.7, "image": 0.7}
"""Of what Envoy adds to a single call; of other payloads 1."""

_TITLES = {"haproxy": "HAProxy's", "envoy": "Envoy's", "nginx": "nginx's"}


class Judged(NamedTuple):
    """An aim, and what came of it."""

    scenario: str
    what: str
    aim: str
    measured: str
    met: bool


def judged(results: Sequence[Result]) -> list[Judged]:
    """Each aim on which something was measured."""
    return [*_throughputs(results), *_added_latencies(results), *_workers(results)]


def table(results: Sequence[Result]) -> str:
    """The aims as a table; "" when nothing bears on them."""
    rows = [[*each[:4], "yes" if each.met else "**no**"] for each in judged(results)]
    return (
        markdown(["", "compiled, one process, judging and metrics on", "aim", "measured", "met"], rows)
        if rows
        else ""
    )


def _measured_with(results: Sequence[Result], aim: Throughput) -> list[Scenario]:
    """With a third of a core; with a core of its own where there is no quota."""
    for setting in (LIMITED, CORE):
        found = [
            each
            for each in scenarios_of(results, setting)
            if (each.load, each.payload.name) == (aim.load, aim.payload) and each.concurrency > 1
        ]
        if found:
            return found
    return []


def _throughputs(results: Sequence[Result]) -> Iterator[Judged]:
    for aim in THROUGHPUT:
        for scenario in _measured_with(results, aim):
            mine, its = find(results, _OURS, scenario), find(results, aim.other, scenario)
            found, by_rate = throughput(mine, its)
            if found is not None:
                what = "requests/s" if by_rate else "requests per CPU second"
                what = f"{what}, of {_TITLES[aim.other]}"
                yield Judged(
                    scenario.title, what, f"≥ {aim.least:g}{TIMES}", times(found), found >= aim.least
                )


def _added_latencies(results: Sequence[Result]) -> Iterator[Judged]:
    for figure, words in ((lambda one: one.median, "median"), (lambda one: one.p99, "p99")):
        for scenario in scenarios_of(results, CORE):
            ours, envoys = (added(results, name, scenario, figure) for name in (_OURS, "envoy"))
            if scenario.concurrency > 1 or ours is None or envoys is None:
                continue
            most = ADDED_AT_MOST.get(scenario.payload.name, 1.0)
            what = f"added {words} latency, at most {most:g}{TIMES} Envoy's"
            aim, measured = f"≤ {most * envoys * 1e3:.3f} ms", f"{ours * 1e3:.3f} ms"
            yield Judged(scenario.title, what, aim, measured, ours <= most * envoys)


def _workers(results: Sequence[Result]) -> Iterator[Judged]:
    for scenario in scenarios_of(results, WORKERS):
        two, one = find(results, "workers", scenario), find(results, _OURS, scenario)
        found, by_rate = throughput(two, one)
        if found is not None:
            what = f"two workers, {'requests/s' if by_rate else 'requests per CPU second'}, of one's"
            aim = f"≥ {WORKERS_LEAST:g}{TIMES}"
            yield Judged(scenario.title, what, aim, times(found), by_rate and found >= WORKERS_LEAST)
