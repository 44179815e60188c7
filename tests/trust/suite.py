"""`python -m tests.trust.suite PART [--both-builds] [--set NAME=VALUE …] [pytest's arguments …]`: tests as a part.

Law: knows pytest's report, and nothing of what the tests are about. A row of the table is a test function, with
`--columns A,B` one for each of its cases, whose parameters A and B stand beside each other; a test that is skipped is
told with its reason and never counted as passed.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.trust.command import end_with, finished
from tests.trust.result import NOT_COMPILED, ROOT, TREE, Result, Table


@dataclass(frozen=True)
class Case:
    """One test: `outcome` is passed, failed or skipped, `why` its first line."""

    module: str
    name: str
    build: str
    outcome: str
    why: str


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.trust.suite", description="Run tests as a part of the suite."
    )
    parser.add_argument("part")
    parser.add_argument(
        "--both-builds", action="store_true", help="with the hot path compiled too (make compiled)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="in the environment")
    parser.add_argument(
        "--columns",
        default="",
        metavar="A,B",
        help="values of a parameter that are columns; a row for each case",
    )
    told, pytests = parser.parse_known_args(arguments)
    began = time.monotonic()
    builds = ["interpreted", *(["compiled"] if told.both_builds and TREE.exists() else [])]
    cases = [
        case
        for build in builds
        for case in run(build, pytests, dict(pair.split("=", 1) for pair in told.set))
    ]
    skipped = [f"{case.name} ({case.build}): {case.why}" for case in cases if case.outcome == "skipped"]
    if told.both_builds and "compiled" not in builds:
        skipped.append(NOT_COMPILED)
    ran = [case for case in cases if case.outcome != "skipped"]
    figures = {"passed": f"{sum(case.outcome == 'passed' for case in ran)} of {len(ran)}"}
    failures = [f"{case.name} ({case.build}): {case.why}" for case in ran if case.outcome == "failed"]
    if not ran:
        failures.append("no test ran")
    table = case_by_case(cases, builds, told.columns.split(",")) if told.columns else _table(cases, builds)
    if told.columns:
        survived = sum(not any("failed" in cell for cell in row[1:]) for row in table.rows)
        figures = {"rows without a failure": f"{survived} of {len(table.rows)}"} | figures
    result = Result(told.part, figures, time.monotonic() - began, [table], (), failures, skipped)
    return result.save()


def run(build: str, pytests: Sequence[str], environment: dict[str, str]) -> list[Case]:
    """Run pytest with these arguments, of the sources or of the compiled tree; what it reports."""
    tree = TREE if build == "compiled" else ROOT
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        finished(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--junit-xml={report}",
                *pytests,
            ],
            cwd=tree,
            env=os.environ | environment | {"PYTHONPATH": str(tree)},
        )
        if not report.exists():
            return [Case("", "pytest", build, "failed", "it left no report")]
        return [_case(each, build) for each in ET.parse(report).iter("testcase")]


def _case(found: ET.Element, build: str) -> Case:
    outcome, why = "passed", ""
    for tag, means in (("skipped", "skipped"), ("failure", "failed"), ("error", "failed")):
        child = found.find(tag)
        if child is not None:
            outcome, why = means, (child.get("message") or "").partition("\n")[0]
    return Case(found.get("classname", ""), found.get("name", ""), build, outcome, why)


def _table(cases: Sequence[Case], builds: Sequence[str]) -> Table:
    """A row for each test function: of how many of its cases each build passed."""
    passed = Counter((_title(case), case.build) for case in cases if case.outcome == "passed")
    ran = Counter((_title(case), case.build) for case in cases if case.outcome != "skipped")
    titles = list(dict.fromkeys(_title(case) for case in cases))
    rows = [
        (
            title,
            *(
                f"{passed[title, build]} of {ran[title, build]}" if ran[title, build] else "skipped"
                for build in builds
            ),
        )
        for title in titles
    ]
    return Table("", ("test", *builds), rows)


def case_by_case(cases: Sequence[Case], builds: Sequence[str], columns: Sequence[str]) -> Table:
    """A row for each case; what has none of the columns' parameters counts for all of them."""
    rows: dict[str, dict[tuple[str, str], list[str]]] = {}
    for case in cases:
        parameters = re.search(r"\[(.*)\]", case.name, flags=re.DOTALL)
        words = parameters[1] if parameters else ""
        own = [each for each in columns if each in words.split("-")]
        for each in own:
            words = "-".join(word for word in words.split("-") if word != each)
        title = _title(case)
        if words:
            title += " " if title.endswith((" that", " that is")) else ": "
            title += words.replace("-", " ")
        for each in own or columns:
            rows.setdefault(title, {}).setdefault((each, case.build), []).append(case.outcome)
    cells = [(each, build) for each in columns for build in builds]
    return Table(
        "",
        ("what", *(f"{each}, {build}" for each, build in cells)),
        [(title, *(_outcome(found.get(cell, [])) for cell in cells)) for title, found in rows.items()],
    )


def _outcome(outcomes: Sequence[str]) -> str:
    """The worst of them; "" where there was nothing to run."""
    return next((each for each in ("failed", "skipped", "passed") if each in outcomes), "")


def _title(case: Case) -> str:
    function = re.sub(r"\[.*", "", case.name, flags=re.DOTALL)
    words = function.removeprefix("test_").replace("_s_", "'s ").replace("_", " ")
    return f"{case.module.rpartition('test_')[2]}: {words}"


if __name__ == "__main__":
    end_with(main)
