"""The page from rounds that are made up: each section is there when there is something to say, and marks what it must."""

import dataclasses
from pathlib import Path

import pytest

from tests.bench.contestants import CONTESTANTS
from tests.bench.installation import Tools
from tests.bench.load import Latency, OpenLoop
from tests.bench.payloads import PAYLOADS
from tests.bench.processes import Placement
from tests.bench.report import Run, document, overview
from tests.bench.rounds import OpenLoopResult, Result, Round
from tests.bench.scenarios import CPP, H2LOAD, LIMITED, SLOW, TIMES, WORKERS, Scenario

_PAYLOADS = {each.name: each for each in PAYLOADS}
_CONTESTANTS = {each.name: each for each in CONTESTANTS}
_NOWHERE = Path("/nowhere")
TOOLS = Tools(*["/nowhere/program"] * 3, *[_NOWHERE] * 6)


def result(name: str, scenario: Scenario, rate: float, busy: float = 1.0, cpu: float = 0.02) -> Result:
    return Result(_CONTESTANTS[name], scenario, [Round(rate, 0.001, 0.002, cpu, busy, 80_000_000)])


@pytest.fixture
def run() -> Run:
    forwards = Scenario(H2LOAD, _PAYLOADS["small"], 32, LIMITED)
    refuses = Scenario(CPP, _PAYLOADS["wrong"], 32, LIMITED)
    workers = Scenario(H2LOAD, _PAYLOADS["small"], 256, WORKERS)
    results = [
        result("compiled", forwards, 21_000, busy=0.5, cpu=0.008),
        result("envoy", forwards, 10_000),
        result("compiled", refuses, 3_000),
        result("envoy", refuses, 6_000),
        result("compiled", workers, 10_000),
        result("workers", workers, 19_000),
    ]
    late, early = (OpenLoop(Latency(0.001, 0.004, 0.008), late, 5_000) for late in (0.003, 0.0001))
    open_loops = [
        OpenLoopResult(_CONTESTANTS[name], forwards.payload, own=True, rates=[9_000.0], rounds=[one])
        for name, one in (("compiled", early), ("envoy", late))
    ]
    slow = [result("envoy", SLOW, 200)]
    return Run(
        results,
        open_loops,
        slow,
        1000,
        {},
        [],
        TOOLS,
        Placement("0", "1"),
        1.0,
        1,
        began=0,
        busy=0,
        startup="0.5 s",
    )


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the tables below a heading."""
    section = text.split(f"\n{heading}\n")[1].split("\n## ", maxsplit=1)[0].split("\n### ", maxsplit=1)[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]


def test_a_rate_of_the_load_is_marked_wherever_it_is_shown(run):
    text = document(run)
    assert [f"269 B {TIMES} 32", f"2.10{TIMES}°", f"1.00{TIMES}"] == rows(text, "## At a glance")[2][:3]
    figures = rows(text, f"### 269 B {TIMES} 32, with a third of a core")
    assert [row[1] for row in figures[2:]] == ["21 000°", "10 000"]


def test_a_contestant_with_a_quota_has_no_latency(run):
    assert "p99 ms" not in rows(document(run), f"### 269 B {TIMES} 32, with a third of a core")[0]


def test_refusals_stand_apart_from_what_is_forwarded(run):
    text = document(run)
    assert [row[:3] for row in rows(text, "## Refusals")[2:]] == [
        ["tfs-proxy, compiled, refuses", "3 000", f"0.50{TIMES}"],
        ["Envoy, relays the server's error", "6 000", f"1.00{TIMES}"],
    ]
    assert "wrong dtype" not in text.split("## Every figure")[1]


def test_two_workers_stand_beside_one(run):
    assert rows(document(run), "## Two workers")[2][1:4] == ["10 000", "19 000", f"1.90{TIMES}"]


def test_latency_that_is_mostly_the_generators_lateness_is_marked(run):
    found = rows(document(run), "## Latency at half of the capacity")[2:]
    assert [row[2:5] for row in found] == [["1.00", "4.00", "8.00"], ["1.00", "4.00°", "8.00°"]]


def test_start_and_memory_have_their_place(run):
    assert "## Start and memory\n\n0.5 s" in document(run)


def test_what_was_not_measured_has_no_section(run):
    nothing = dataclasses.replace(run, results=[], open_loops=[], slow=[], startup="")
    headings = [line for line in document(nothing).splitlines() if line.startswith("#")]
    assert headings == ["# Performance", "## The machine", "## How it is measured", "## Every figure"]


def test_what_is_left_out_is_told_with_the_reason(run):
    absent = {_CONTESTANTS["compiled"]: "there is no C compiler"}
    text = document(dataclasses.replace(run, absent=absent, left_out=["There is no quota."]))
    assert "tfs-proxy, compiled is left out: there is no C compiler.\n" in text
    assert "There is no quota.\n" in text


def test_a_run_ends_with_what_is_met_and_what_is_not(run):
    told = overview(run.results)
    assert "NOT MET" not in told
    assert told.count("\nmet ") == 2
