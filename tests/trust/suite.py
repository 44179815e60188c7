"""`python -m tests.trust.suite PART [--both-builds] [--set NAME=VALUE …] [pytest's arguments …]`: tests as a part.

Law: knows pytest's report, and nothing of what the tests are about. What a row of the table is called is the test's
function and the words of its parameters; a test that is skipped is told with its reason and never counted as passed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.trust.result import ROOT, TREE, Result, Table


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
        skipped.append("the compiled build: not made here (make compiled)")
    ran = [case for case in cases if case.outcome != "skipped"]
    figures = {"passed": f"{sum(case.outcome == 'passed' for case in ran)} of {len(ran)}"}
    failures = [f"{case.name} ({case.build}): {case.why}" for case in ran if case.outcome == "failed"]
    if not ran:
        failures.append("no test ran")
    result = Result(
        told.part, figures, time.monotonic() - began, [_table(cases, builds)], (), failures, skipped
    )
    return result.save()


def run(build: str, pytests: Sequence[str], environment: dict[str, str]) -> list[Case]:
    """Run pytest with these arguments, of the sources or of the compiled tree; what it reports."""
    tree = TREE if build == "compiled" else ROOT
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
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
            check=False,
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


def _title(case: Case) -> str:
    function = re.sub(r"\[.*", "", case.name, flags=re.DOTALL)
    return f"{case.module.rpartition('test_')[2]}: {function.removeprefix('test_').replace('_', ' ')}"


if __name__ == "__main__":
    sys.exit(main())
