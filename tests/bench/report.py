"""Results as words: docs/performance.md, and the table that ends a run.

Law: only what was measured in this run, and the machine it was measured on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench import aims, prose
from tests.bench.contestants import Contestant
from tests.bench.figures import (
    Figure,
    capacity,
    find,
    held_up_by_load,
    rate,
    ratio,
    scenarios_of,
    spread,
    throughput,
    value,
)
from tests.bench.installation import Tools
from tests.bench.machine import facts
from tests.bench.open_loops import open_loops
from tests.bench.processes import Placement
from tests.bench.rounds import OpenLoopResult, Result
from tests.bench.scenarios import CORE, FREE, LIMITED, SETTINGS, WORKERS, Scenario, Setting
from tests.bench.tables import HELD_UP, markdown, megabytes, milliseconds, percent, plain, times, whole


@dataclass(frozen=True)
class Run:
    """One run: its results, and the circumstances that a reader has to know. `began` in seconds since epoch;
    `busy` is the share of the processors that others took just before. `left_out` says what and why."""

    results: Sequence[Result]
    open_loops: Sequence[OpenLoopResult]
    slow: Sequence[Result]
    slow_ms: int
    absent: Mapping[Contestant, str]
    left_out: Sequence[str]
    tools: Tools
    placement: Placement
    seconds: float
    rounds: int
    began: float
    busy: float
    startup: str = ""
    """The section "Start and memory", as Markdown."""


def document(run: Run) -> str:
    """The whole report in Markdown."""
    parts = [
        prose.INTRODUCTION,
        *(f"{each.title} is left out: {lacking}.\n" for each, lacking in run.absent.items()),
        *(f"{each}\n" for each in run.left_out),
        *_section("## At a glance\n", _glances(run.results)),
        *_section(f"## What it is held to\n\n{prose.AIMS}", aims.table(run.results)),
        *_section(f"## Two workers\n\n{prose.WORKERS}", _workers(run.results)),
        *_section(f"## Refusals\n\n{prose.REFUSALS}", _refusals(run.results)),
        *_section(f"## Latency at half of the capacity\n\n{prose.OPEN_LOOP}", open_loops(run.open_loops)),
        *_section("## Start and memory\n", run.startup),
        *_section(
            f"## Memory before a slow server\n\n{prose.SLOW.format(ms=run.slow_ms)}", _memory(run.slow)
        ),
        "## The machine\n",
        markdown(["", ""], [[name, fact] for name, fact in facts(run.tools, run.began, run.busy).items()]),
        "## How it is measured\n",
        prose.METHOD.format(rounds=run.rounds, seconds=run.seconds, placement=_placement(run.placement)),
        "## Every figure\n",
        prose.FIGURES,
    ]
    for setting in SETTINGS:
        for scenario in _forwarding(run.results, setting):
            parts += [
                f"### {scenario.title}, {setting.title}\n",
                markdown(*_figures(run.results, scenario)),
                *_failures(run.results, scenario),
            ]
    return "\n".join(parts)


def overview(results: Sequence[Result]) -> str:
    """The table that ends a run, for a terminal."""
    parts = []
    for setting in SETTINGS:
        scenarios = _forwarding(results, setting)
        if scenarios and setting is not WORKERS:
            parts += [f"\nrequests per second {setting.title}, as a multiple of Envoy's\n"]
            parts += [plain(*_glance(results, scenarios, rate))]
    for each in aims.judged(results):
        parts.append(
            f"{'met' if each.met else 'NOT MET':8} {each.scenario}: {each.what} {each.aim}: {each.measured}"
        )
    return "\n".join([*parts, ""])


def _section(head: str, body: str) -> list[str]:
    return [head, body] if body else []


def _forwarding(results: Sequence[Result], *settings: Setting) -> list[Scenario]:
    return [each for each in scenarios_of(results, *settings) if not each.payload.wrong]


def _names(results: Iterable[Result], scenarios: Sequence[Scenario]) -> list[str]:
    return list(dict.fromkeys(each.contestant.name for each in results if each.scenario in scenarios))


# === at a glance ===


def _glances(results: Sequence[Result]) -> str:
    parts = []
    for setting, words in (
        (LIMITED, prose.GLANCE_LIMITED),
        (CORE, prose.GLANCE_CORE),
        (FREE, prose.GLANCE_FREE),
    ):
        if scenarios := _forwarding(results, setting):
            header, rows = _glance(results, scenarios, rate)
            if setting is LIMITED:
                for other in ("haproxy", "nginx"):
                    header.append(f"compiled ÷ {other}")
                    for row, scenario in zip(rows, scenarios, strict=True):
                        row.append(_against(results, other, scenario))
            parts += [words, markdown(header, rows)]
    if scenarios := _forwarding(results, CORE):
        parts += [prose.GLANCE_CAPACITY, markdown(*_glance(results, scenarios, capacity))]
    return "\n".join(parts)


def _against(results: Sequence[Result], other: str, scenario: Scenario) -> str:
    found, by_rate = throughput(find(results, "compiled", scenario), find(results, other, scenario))
    return times(found, "" if by_rate else HELD_UP)


def _glance(
    results: Sequence[Result], scenarios: Sequence[Scenario], figure: Figure
) -> tuple[list[str], list[list[str]]]:
    """Each contestant's figure as a multiple of Envoy's."""
    names = _names(results, scenarios)
    rows = []
    for scenario in scenarios:
        envoy = find(results, "envoy", scenario)
        row = [scenario.title]
        for name in names:
            found = find(results, name, scenario)
            held_up = figure is rate and held_up_by_load(found)
            row.append(times(ratio(found, envoy, figure), HELD_UP if held_up else ""))
        rows.append(row)
    return ["", *names], rows


# === parts of their own ===


def _workers(results: Sequence[Result]) -> str:
    rows = []
    for scenario in scenarios_of(results, WORKERS):
        one, two = find(results, "compiled", scenario), find(results, "workers", scenario)
        found, _ = throughput(two, one)
        rates = [whole(value(each, rate), HELD_UP if held_up_by_load(each) else "") for each in (one, two)]
        shares = [percent(value(each, lambda one: one.busy)) for each in (one, two)]
        rows.append([scenario.title, *rates, times(found), *shares])
    header = ["", "one, requests/s", "two, requests/s", "two ÷ one", "one, busy", "two, busy"]
    return markdown(header, rows) if rows else ""


def _refusals(results: Sequence[Result]) -> str:
    rows = []
    for scenario in (each for each in scenarios_of(results, LIMITED) if each.payload.wrong):
        envoy = find(results, "envoy", scenario)
        for result in (each for each in results if each.scenario is scenario):
            kind = "refuses" if result.contestant.judges else "relays the server's error"
            mark = HELD_UP if held_up_by_load(result) else ""
            row = [f"{result.contestant.title}, {kind}", whole(value(result, rate), mark)]
            row += [times(ratio(result, envoy, rate)), whole(value(result, capacity))]
            row += [
                times(ratio(result, envoy, capacity)),
                milliseconds(value(result, lambda one: one.median)),
            ]
            rows.append([*row, percent(value(result, lambda one: one.busy))])
    header = ["", "calls/s", "÷ Envoy", "calls per CPU s", "÷ Envoy", "median ms", "busy"]
    return markdown(header, rows) if rows else ""


def _memory(slow: Sequence[Result]) -> str:
    if not slow:
        return ""
    rows = [
        [each.contestant.title, megabytes(value(each, lambda one: one.peak)), whole(value(each, rate))]
        for each in slow
    ]
    return "\n".join([markdown(["", "peak MB", "requests/s"], rows), *_failures(slow, slow[0].scenario)])


# === every figure ===

_Column = tuple[str, Figure, Callable[[float | None], str], tuple[str, ...]]
_COLUMNS: tuple[_Column, ...] = (
    ("median ms", lambda one: one.median, milliseconds, ("direct", "envoy")),
    ("p99 ms", lambda one: one.p99, milliseconds, ("direct", "envoy")),
    ("requests per CPU s", capacity, whole, ("envoy", "haproxy", "nginx")),
    ("peak MB", lambda one: one.peak, megabytes, ("envoy",)),
)
_UNLIMITED = ("median ms", "p99 ms")
"""Columns that say nothing of a contestant that is kept waiting for its quota."""
_TITLES = {"direct": "direct", "envoy": "Envoy", "haproxy": "HAProxy", "nginx": "nginx"}


def _figures(results: Sequence[Result], scenario: Scenario) -> tuple[list[str], list[list[str]]]:
    columns = [each for each in _COLUMNS if scenario.setting.share is None or each[0] not in _UNLIMITED]
    header = ["", "requests/s", "±", "÷ direct", "÷ Envoy", "busy"]
    for name, _, _, others in columns:
        header += [name, *(f"÷ {_TITLES[other]}" for other in others)]
    rows = []
    for result in (each for each in results if each.scenario is scenario):
        row = [
            result.contestant.title,
            whole(value(result, rate), HELD_UP if held_up_by_load(result) else ""),
        ]
        row += [percent(spread(result)), *_ratios(results, result, rate, ("direct", "envoy"))]
        row.append(percent(value(result, lambda one: one.busy)))
        for _, figure, shown, others in columns:
            row += [shown(value(result, figure)), *_ratios(results, result, figure, others)]
        rows.append(row)
    return header, rows


def _ratios(results: Sequence[Result], result: Result, figure: Figure, others: Sequence[str]) -> list[str]:
    return [times(ratio(result, find(results, other, result.scenario), figure)) for other in others]


def _failures(results: Iterable[Result], scenario: Scenario) -> list[str]:
    return [
        f"{each.contestant.title} failed: `{' '.join(each.failure.split())[:300]}`\n"
        for each in results
        if each.scenario is scenario and each.failure
    ]


def _placement(placement: Placement) -> str:
    return f"contestants on core {placement.proxy}, the server and the load on core {placement.rest}"
