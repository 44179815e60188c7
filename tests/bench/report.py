"""Results as words: docs/performance.md, and the table that ends a run.

Law: only what was measured in this run, and the machine it was measured on. Every figure is the median of the
rounds; every ratio is the median of the ratios within each round.
"""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.contestants import Contestant
from tests.bench.installation import ENVOY, MITMPROXY, Tools
from tests.bench.processes import Placement
from tests.bench.rounds import TIMES, Result, Round, Scenario

ROOT = Path(__file__).parents[2]
_NONE = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Run:
    """One run: its results, and the circumstances that a reader has to know. `began` in seconds since epoch;
    `busy` is the share of the processors that others took just before."""

    results: Sequence[Result]
    slow: Sequence[Result]
    slow_ms: int
    absent: Mapping[Contestant, str]
    tools: Tools
    placement: Placement
    seconds: float
    rounds: int
    began: float
    busy: float


def document(run: Run) -> str:
    """The whole report in Markdown."""
    parts = [
        _INTRODUCTION,
        "## At a glance\n\nRequests per second as a multiple of Envoy's in the same round; more is better:\n",
        _markdown(*_glance(run.results, lambda one: one.rate)),
        "CPU time per request as a multiple of Envoy's; less is better:\n",
        _markdown(*_glance(run.results, lambda one: one.cpu)),
        _targets(run.results),
        "## The machine\n",
        _machine(run),
        "## How it is measured\n",
        _METHOD.format(rounds=run.rounds, seconds=run.seconds, placement=_placement(run.placement)),
        *(f"{each.title} is left out: {lacking}.\n" for each, lacking in run.absent.items()),
        "## Every figure\n",
        _FIGURES,
    ]
    for scenario in _scenarios(run.results):
        parts += [f"### {scenario.title}\n", _markdown(*_figures(run.results, scenario))]
        parts += _failures(run.results, scenario)
    if run.slow:
        scenario = run.slow[0].scenario
        parts += [
            f"## Memory before a slow server\n\n{scenario.title} calls at a time, {_SLOW.format(ms=run.slow_ms)}",
            _markdown(["", "peak MB", "requests/s"], [_memory(each) for each in run.slow]),
            *_failures(run.slow, scenario),
        ]
    return "\n".join(parts)


def overview(results: Sequence[Result]) -> str:
    """The table that ends a run, for a terminal: requests per second as a multiple of Envoy's."""
    header, rows = _glance(results, lambda one: one.rate)
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    return "\n".join(["", "requests per second, as a multiple of Envoy's", "", *lines, ""])


# === figures ===


def _scenarios(results: Iterable[Result]) -> list[Scenario]:
    return list(dict.fromkeys(result.scenario for result in results))


def _find(results: Iterable[Result], name: str, scenario: Scenario) -> Result | None:
    for result in results:
        if result.contestant.name == name and result.scenario is scenario:
            return result
    return None


_Figure = Callable[[Round], float | None]


def _value(result: Result, figure: _Figure) -> float | None:
    values = [value for value in map(figure, result.rounds) if value is not None]
    return None if result.failure or not values else median(values)


def _ratio(result: Result | None, other: Result | None, figure: _Figure) -> float | None:
    """The median over the rounds of `result`'s figure by that of `other`."""
    if result is None or other is None or result.failure or other.failure:
        return None
    pairs = [(figure(mine), figure(its)) for mine, its in zip(result.rounds, other.rounds, strict=True)]
    ratios = [mine / its for mine, its in pairs if mine is not None and its]
    return median(ratios) if ratios else None


def _spread(result: Result) -> float | None:
    """Half the distance between the best and the worst round, of the median."""
    rates = [each.rate for each in result.rounds]
    return None if result.failure or not rates else (max(rates) - min(rates)) / 2 / median(rates)


def _glance(results: Sequence[Result], figure: _Figure) -> tuple[list[str], list[list[str]]]:
    names = dict.fromkeys(result.contestant.name for result in results)
    rows = []
    for scenario in _scenarios(results):
        envoy = _find(results, "envoy", scenario)
        found = [_find(results, name, scenario) for name in names]
        rows.append([scenario.title, *(_times(_ratio(each, envoy, figure)) for each in found)])
    return ["", *names], rows


def _figures(results: Sequence[Result], scenario: Scenario) -> tuple[list[str], list[list[str]]]:
    direct, envoy = _find(results, "direct", scenario), _find(results, "envoy", scenario)
    columns: tuple[tuple[str, _Figure, Callable[[float], str], bool], ...] = (
        ("requests/s", lambda one: one.rate, lambda rate: f"{rate:,.0f}".replace(",", " "), True),
        ("median ms", lambda one: one.median, _milliseconds, True),
        ("p99 ms", lambda one: one.p99, _milliseconds, True),
        ("CPU s / 1 000", lambda one: one.cpu, lambda cpu: f"{cpu:.3f}", False),
        ("peak MB", lambda one: one.peak, _megabytes, False),
    )
    header = ["", "requests/s", "±", *(("÷ direct", "÷ Envoy"))]
    header += [cell for name, *_, both in columns[1:] for cell in (name, *(["÷ direct"] * both), "÷ Envoy")]
    rows = []
    for result in (each for each in results if each.scenario is scenario):
        row = [result.contestant.title]
        for name, figure, shown, both in columns:
            value = _value(result, figure)
            row.append(_NONE if value is None else shown(value))
            if name == "requests/s":
                spread = _spread(result)
                row.append(_NONE if spread is None else f"{spread:.0%}")
            row += [_times(_ratio(result, direct, figure))] * both
            row.append(_times(_ratio(result, envoy, figure)))
        rows.append(row)
    return header, rows


def _memory(result: Result) -> list[str]:
    rate, peak = _value(result, lambda one: one.rate), _value(result, lambda one: one.peak)
    if rate is None or peak is None:
        return [result.contestant.title, _NONE, _NONE]
    return [result.contestant.title, _megabytes(peak), f"{rate:,.0f}".replace(",", " ")]


def _failures(results: Iterable[Result], scenario: Scenario) -> list[str]:
    return [
        f"{each.contestant.title} failed: `{' '.join(each.failure.split())[:300]}`\n"
        for each in results
        if each.scenario is scenario and each.failure
    ]


# === what the product holds itself to ===

_TARGETS: tuple[tuple[str, str, str, float], ...] = (
    ("small", "envoy", "requests/s, of Envoy's", 0.8),
    ("image", "envoy", "requests/s, of Envoy's", 1.0),
    ("float", "envoy", "requests/s, of Envoy's", 1.0),
    ("small", "passthrough", "requests/s, of a grpc.aio pass-through's", 5),
    ("small", "ext_proc", "requests/s, of Envoy's with ext_proc", 3),
    ("small", "mitmproxy", "requests/s, of mitmproxy's", 10),
)


def _targets(results: Sequence[Result]) -> str:
    """Each target beside every figure that bears on it."""
    rows = []
    for payload, other, words, least in _TARGETS:
        for scenario in _scenarios(results):
            if scenario.payload.name != payload or scenario.concurrency == 1:
                continue
            mine, its = _find(results, "native", scenario), _find(results, other, scenario)
            ratio = _ratio(mine, its, lambda one: one.rate)
            if ratio is not None:
                met = "yes" if ratio >= least else "**no**"
                rows.append([scenario.title, words, f"≥ {least:g}{TIMES}", _times(ratio), met])
    for scenario in _scenarios(results):
        ours, envoys = _added(results, "native", scenario), _added(results, "envoy", scenario)
        if scenario.concurrency == 1 and ours is not None and envoys is not None:
            met = "yes" if ours <= envoys else "**no**"
            words = "added median latency, no more than Envoy's"
            rows.append([scenario.title, words, f"≤ {envoys * 1e3:.2f} ms", f"{ours * 1e3:.2f} ms", met])
    if not rows:
        return ""
    table = _markdown(["", "native edge, judging and metrics on", "aim", "measured", "met"], rows)
    return f"{_AIMS}\n{table}"


def _added(results: Sequence[Result], name: str, scenario: Scenario) -> float | None:
    """Seconds of median latency that a contestant adds to a direct call: the median over the rounds."""
    one, direct = _find(results, name, scenario), _find(results, "direct", scenario)
    if one is None or direct is None or one.failure or direct.failure:
        return None
    return median(mine.median - its.median for mine, its in zip(one.rounds, direct.rounds, strict=True))


# === circumstances ===


def _machine(run: Run) -> str:
    cpu = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    facts = {
        "processor": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else _NONE,
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "tfs-proxy": f"{version('tfs-proxy')}, {_told('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}",
        "Python": f"{platform.python_version()}, grpcio {version('grpcio')}, uvloop {version('uvloop')}",
        "Envoy": ENVOY,
        "nginx": _told(run.tools.nginx, "-v"),
        "HAProxy": _told(run.tools.haproxy, "-v"),
        "mitmproxy": ", ".join(MITMPROXY),
        "server and C++ client": f"grpc++ {_told('pkg-config', '--modversion', 'grpc++')}",
        "load": _told(run.tools.h2load, "--version"),
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.began)),
        "busy with other things": f"{run.busy:.0%} of the processors, just before",
        "command": f"`make bench{_options()}`",
    }
    return _markdown(["", ""], [[name, fact] for name, fact in facts.items()])


def _options() -> str:
    return f" BENCH='{' '.join(sys.argv[1:])}'" if sys.argv[1:] else ""


def _told(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or _NONE


def _placement(placement: Placement) -> str:
    if placement.proxy is None:
        return "No process is bound to a core."
    return f"Contestants run on core {placement.proxy}, the server and the load on core {placement.rest}."


# === cells ===


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def _times(ratio: float | None) -> str:
    if ratio is None:
        return _NONE
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2
    return f"{ratio:.{digits}f}{TIMES}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


_INTRODUCTION = """\
# Performance

tfs-proxy measured beside the proxies that one might put in its place. `make bench` has written this page;
`make bench BENCH=--help` shows how to measure less, or something else.
"""

_AIMS = """\
What the native edge is held to: requests per second where there are many calls at a time, and added latency where
there is one.
"""

_METHOD = """\
The server is a small C++ gRPC server that answers every Predict with ten scores and never looks at a tensor;
so what is seen is the proxy. In each of {rounds} rounds every contestant is started afresh and meets every scenario for {seconds:g} s
(longer where that is too short), one right after the other; another one begins each round. {placement}

- Everyone has one worker (HAProxy and Envoy one thread, nginx one worker process), no TLS and no access log.
  `tests/bench/contestants.py` holds every configuration.
- Both edges of tfs-proxy judge every request against the live signature and count it, as they do by default. So
  do *Envoy + ext_proc + our gate* (a grpc.aio service that Envoy asks about each request body, with the gate
  that tfs-proxy has) and *mitmproxy + add-on* (parses the request, compares dtype and shape). The others only
  relay: Envoy with its `grpc_stats` filter, nginx, HAProxy and twenty lines of grpc.aio.
- Load comes from `h2load`, up to eight connections with the calls shared among them; and, one call at a time, from
  a C++ and a Python gRPC client. *1 000 models*: all of them are known to the proxy before the load; the C++
  client goes round through all, h2load asks for one.
- Before each round the C++ client sends every request of the scenario once and compares the answer. A round
  counts only when h2load has lost nothing and the server itself has answered at least as many calls as h2load got
  answers. Before that a request with a wrong dtype must be refused by those who judge and pass the others.
- CPU is the user and system time of the contestant's processes from `/proc/PID/stat`, by the calls that the
  server has answered meanwhile. Peak memory is their `VmHWM`, set back before each measurement;
  what a process keeps of earlier, lighter scenarios counts too.
"""

_SLOW = """each answered by the server {ms} ms after it has arrived;
every contestant freshly started.
"""

_FIGURES = """\
The median of the rounds; ± is half the distance between the best and the worst round. Ratios are taken within
each round; their median is shown. More requests per second are better, less of everything else.
"""
