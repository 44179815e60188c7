"""`python -m tests.trust.threats [--trust]`: the threat model of SECURITY.md, each threat with the tests that show it stopped.

Law: the table in SECURITY.md is the only list; a threat that names no test, or one that is not there, is a failure.
"""

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.trust.command import end_with
from tests.trust.result import ROOT, Result, Table
from tests.trust.suite import Case, run

SECURITY = ROOT / "SECURITY.md"


@dataclass(frozen=True)
class Threat:
    """A row: who wants what, and the test files that show that they do not get it."""

    who: str
    what: str
    tests: Sequence[str]


def threats(text: str) -> list[Threat]:
    """The rows of the table under "Threat model"; where `who` is empty it is that of the row above."""
    section = text.partition("## Threat model\n")[2].partition("\n## ")[0]
    found: list[Threat] = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| ") or cells[0] == "who, and where":
            continue
        who = cells[0] or found[-1].who
        found.append(Threat(who, cells[1], re.findall(r"`(tests/[^`]+\.py)`", cells[-1])))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trust.threats", description=__doc__)
    parser.add_argument("--trust", action="store_true", help="keep what was found for docs/reliability.md")
    told = parser.parse_args()
    began = time.monotonic()
    rows = threats(SECURITY.read_text())
    files = sorted({file for threat in rows for file in threat.tests})
    cases = run("interpreted", files, {})
    shown = [_shown(threat, cases) for threat in rows]
    failures = [
        f"{threat.what}: {count}" for threat, (good, count) in zip(rows, shown, strict=True) if not good
    ]
    table = Table(
        "",
        ("who", "what they could want", "shown by", "passed"),
        [
            (
                threat.who,
                threat.what,
                ", ".join(f"[{_short(file)}](../{file})" for file in threat.tests),
                count,
            )
            for threat, (_, count) in zip(rows, shown, strict=True)
        ],
    )
    figures = {
        "threats whose tests pass": f"{sum(good for good, _ in shown)} of {len(rows)}",
        "tests": str(sum(case.outcome == "passed" for case in cases)),
    }
    result = Result("threats", figures, time.monotonic() - began, [table], (), failures)
    return result.save() if told.trust else result.tell()


def _shown(threat: Threat, cases: Sequence[Case]) -> tuple[bool, str]:
    """Whether its tests are there and pass, and how many do."""
    modules = {file.removesuffix(".py").replace("/", ".") for file in threat.tests}
    ran = [case for case in cases if case.outcome != "skipped" and _module(case, modules)]
    passed = sum(case.outcome == "passed" for case in ran)
    there = all(any(_module(case, {module}) for case in ran) for module in modules)
    return bool(ran) and there and passed == len(ran), f"{passed} of {len(ran)}"


def _module(case: Case, modules: set[str]) -> bool:
    # Of a test in a class, pytest names the class behind the module.
    return any(case.module == module or case.module.startswith(module + ".") for module in modules)


def _short(file: str) -> str:
    return file.removeprefix("tests/").removesuffix(".py").replace("/test_", "/")


if __name__ == "__main__":
    end_with(main)
