"""`python -m tests.clients [--install] [--both-builds] [--only NAME …]`: every client, both edges; the result is a part.

`--install` has Debian's packages installed first, where that is possible (as root). `--outcomes FOLDER` is how a build
is run: it prints what came of it as JSON, and leaves clients that it made in that folder.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.clients.playing import STEPS, directly, judged_server, reconnecting, through
from tests.clients.programs import DEBIAN, PROGRAMS, RECONNECTING, Program, here
from tests.clients.script import INPUTS, SCRIPT
from tests.clients.serving import Serving, signatures
from tests.proxy_process import EDGES
from tests.trust.command import end_with, finished
from tests.trust.result import NOT_COMPILED, ROOT, TREE, Result, Table


def main() -> int:
    names = [each.name for each in PROGRAMS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.clients", description="Every client plays the script."
    )
    parser.add_argument("--install", action="store_true", help="Debian's packages first (as root)")
    parser.add_argument(
        "--both-builds", action="store_true", help="with the hot path compiled too (make compiled)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help="; ".join(names)
    )
    parser.add_argument("--outcomes", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    chosen = [each for each in PROGRAMS if each.name in told.only]
    if told.outcomes:
        print(json.dumps(_outcomes(chosen, told.outcomes)))
        return 0
    began = time.monotonic()
    refused = _install() if told.install else ""
    builds = {"interpreted": ROOT} | ({"compiled": TREE} if told.both_builds and TREE.exists() else {})
    with tempfile.TemporaryDirectory() as made:
        outcomes = {build: _of_build(tree, told.only, made) for build, tree in builds.items()}
    result = _result(chosen, outcomes, time.monotonic() - began)
    if refused:
        result.skipped.append(refused)
    if told.both_builds and "compiled" not in builds:
        result.skipped.append(NOT_COMPILED)
    return result.save()


def _install() -> str:
    """Why nothing was installed; "" when it was."""
    if os.geteuid():
        return "Debian's packages were not installed: not as this user"
    quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    packages = [each for program, those in DEBIAN.items() if shutil.which(program) is None for each in those]
    for command in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
        if subprocess.run(("apt-get", "-qq", *command), check=False, **quiet).returncode:
            return f"Debian's packages were not installed: apt-get {command[0]} failed"
    return ""


def _of_build(tree: Path, only: Sequence[str], made: str) -> dict[str, Any]:
    done = finished(
        (sys.executable, "-m", "tests.clients", "--outcomes", made, "--only", *only),
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
    )
    done.check_returncode()
    return json.loads(done.stdout)


def _outcomes(chosen: Sequence[Program], made: Path) -> dict[str, Any]:
    """`missing` by client, `versions` by client, and `wrong` by client, edge and case. Clients are left in `made`."""

    def kept(_: str, made_of: bytes, make: Callable[[Path], None]) -> Path:
        done = made / hashlib.sha256(made_of).hexdigest()
        if not done.exists():
            making = Path(tempfile.mkdtemp(dir=made))
            make(making)
            making.rename(done)
        return done

    found: dict[str, Any] = {"missing": {}, "versions": {}, "wrong": {}}
    with tempfile.TemporaryDirectory() as messages:
        there, found["missing"] = here(chosen, kept)
        with Serving(signatures(INPUTS)) as serving:
            direct = {each.name: directly(each, kept, Path(messages), serving) for each in there}
        for edge, flags in EDGES.items():
            with judged_server(flags) as (serving, proxy):
                for each in there:
                    version, wrong = through(each, kept, Path(messages), serving, proxy, direct[each.name])
                    found["versions"][each.name] = version
                    found["wrong"].setdefault(each.name, {})[edge] = wrong
            for name, wrong in reconnecting(there, kept, Path(messages), flags).items():
                found["wrong"][name][edge] |= wrong
    return found


def _result(chosen: Sequence[Program], outcomes: dict[str, dict[str, Any]], seconds: float) -> Result:
    runs = [(build, edge) for build in outcomes for edge in EDGES]
    failures, skipped, rows = [], [], []
    passed = asked = 0
    for each in chosen:
        missing = next((told["missing"].get(each.name) for told in outcomes.values()), None)
        if missing:
            skipped.append(f"{each.name}: {missing}")
            continue
        cells = []
        for build, edge in runs:
            wrong = outcomes[build]["wrong"][each.name][edge]
            right = sum(not why for why in wrong.values())
            passed, asked = passed + right, asked + len(wrong)
            cells.append(f"{right} of {len(wrong)}")
            failures += [f"{each.name}, {edge} {build}: {case}: {why}" for case, why in wrong.items() if why]
        versions = next(told["versions"][each.name] for told in outcomes.values())
        rows.append((each.name, versions, *cells))
    clients = Table(
        "What each client must hear, of the cases that it can play, and what it heard; a case that is missing to a client "
        "is told below.",
        ("client", "version", *(f"{edge} edge, {build}" for build, edge in runs)),
        rows,
    )
    lacking: dict[tuple[str, str], int] = {}
    for each in chosen:
        for case in SCRIPT:
            if why := each.why_not(case):
                lacking[each.name, why] = lacking.get((each.name, why), 0) + 1
        if RECONNECTING in each.lacks:
            lacking[each.name, each.lacks[RECONNECTING]] = len(STEPS)
    skipped += [f"{name}, {count} case{'s' * (count > 1)}: {why}" for (name, why), count in lacking.items()]
    if not rows:
        return Result("clients", {}, seconds, skipped=skipped)
    figures = {"cases passed": f"{passed} of {asked}", "clients": f"{len(rows)} of {len(chosen)}"}
    return Result("clients", figures, seconds, [clients, _by_case(outcomes)], (), failures, skipped)


def _by_case(outcomes: dict[str, dict[str, Any]]) -> Table:
    """By group of cases, and gRPC's interop cases each by itself: by how many of the clients, edges and builds they passed."""
    counts: dict[str, list[bool]] = {}
    for told in outcomes.values():
        for edges in told["wrong"].values():
            for wrong in edges.values():
                for title, why in wrong.items():
                    group = title if title.startswith("interop: ") else title.partition(":")[0]
                    counts.setdefault(group, []).append(not why)
    return Table(
        "The same by kind of case; `interop` are gRPC's own, after its interop-test-descriptions.md, with octets for messages.",
        ("case", "passed"),
        [(group, f"{sum(all_of)} of {len(all_of)}") for group, all_of in counts.items()],
    )


if __name__ == "__main__":
    end_with(main)
