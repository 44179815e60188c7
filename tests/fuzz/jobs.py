"""Processes that fuzz, a few at a time: what is to run, and what became of it.

Law: knows processes and the clock, and no target but by its name and its part of the time. A process that dies or hangs is
a finding, of the input that it had at hand.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.fuzz.board import Board
from tests.fuzz.findings import Findings
from tests.fuzz.target import Target
from tests.trust.result import ROOT, TREE

_STANDS_STILL = 120.0
"""Seconds without one more execution, after which a process is ended."""


@dataclass(frozen=True)
class Job:
    """`mode`: guided or mutated. `compiled`: with the hot path compiled."""

    target: str
    mode: str
    compiled: bool
    seconds: float
    seed: int

    def python(self, folder: Path) -> str:
        """How Python is run for it, for a shell in the root of the repository."""
        if not self.compiled:
            return "python"
        paths = (_compiled_proxy(folder), ROOT, TREE)
        return f"PYTHONPATH={os.pathsep.join(map(str, paths))} python -P"

    @property
    def title(self) -> str:
        return f"{self.target} {self.mode}{', compiled' if self.compiled else ''}"


@dataclass(frozen=True)
class Done:
    """What a job did. `edges`: of the product's code, None where they were not measured."""

    job: Job
    executions: int
    seconds: float
    edges: int | None
    findings: int
    ended: str = ""


def plan(targets: Sequence[Target], seconds: float, seed: int, *, guided: bool, compiled: bool) -> list[Job]:
    """Jobs that take so many seconds of a core in all, each target by its share.

    What is compiled is run so too, for half of its time: that is fast, and is what is shipped.
    """
    shares = sum(each.share for each in targets)
    found = []
    for number, target in enumerate(targets):
        ways = [("guided", False)] if guided else [("mutated", False)]
        if target.hot and compiled:
            ways.append(("mutated", True))
        part = seconds * target.share / shares / len(ways)
        found += [Job(target.name, *way, part, seed * 1000 + number) for way in ways]
    return sorted(found, key=lambda job: -job.seconds)


class _Running:
    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self._folder = folder
        handle, name = tempfile.mkstemp(dir=folder, prefix=".board-")
        os.close(handle)
        self._file = Path(name)
        self.board = Board.open(self._file)
        self._log = (folder / f"{job.target}-{job.mode}.log").open("w+")
        paths = (_compiled_proxy(folder), ROOT, TREE) if job.compiled else (ROOT,)
        self._began = time.monotonic()
        self._moved = self._began, 0
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "tests.fuzz.one", job.target, "--mode", job.mode),
                *("--seconds", str(job.seconds), "--seed", str(job.seed)),
                *("--folder", str(folder), "--board", str(self._file)),
                *("--python", job.python(folder)),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdout=self._log,
            stderr=self._log,
            # Ctrl-C is for whoever started it, who ends it.
            start_new_session=True,
        )

    def is_over(self) -> bool:
        """Whether it has ended; one that stands still is ended."""
        if self.process.poll() is not None:
            return True
        executions = self.board.look()
        if executions != self._moved[1]:
            self._moved = time.monotonic(), executions
        elif time.monotonic() - self._moved[0] > _STANDS_STILL:
            self.process.kill()
            self.process.wait()
            return True
        return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def done(self) -> Done:
        executions, findings = self.board.look(), self.board.findings
        code = self.process.returncode
        ended = ""
        self._log.flush()
        self._log.seek(0)
        text = self._log.read()
        if code and code != -15:
            ended = f"ended with {code} after {executions} executions"
            error = RuntimeError(f"the process {ended}:\n{text[-3000:]}")
            kept = Findings(self._folder / "findings", self.job.target, self.job.python(self._folder))
            findings += kept.keep(self.board.at_hand(), error)
        covered = re.findall(r"^#\d+\s.*?\bcov: (\d+)", text, re.MULTILINE)
        self._log.close()
        self._file.unlink()
        edges = int(covered[-1]) if covered else None
        return Done(self.job, executions, time.monotonic() - self._began, edges, findings, ended)


def _compiled_proxy(folder: Path) -> Path:
    """A folder in which `proxy` is the compiled one, and nothing else is: the tests are those of the sources."""
    path = folder / ".compiled"
    path.mkdir(exist_ok=True)
    link = path / "proxy"
    if not link.is_symlink():
        link.symlink_to(TREE / "proxy")
    return path


class Progress(Protocol):
    """Is told of what runs, each with its executions and its process, and of how many jobs wait."""

    def __call__(
        self, running: Sequence[tuple[Job, int, "subprocess.Popen[bytes]"]], waiting: int, /
    ) -> None: ...


def run(jobs: Sequence[Job], folder: Path, at_once: int, progress: Progress) -> Iterator[Done]:
    """Run them all, `at_once` at a time; whoever stops iterating stops them."""
    waiting = list(jobs)
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Running(waiting.pop(0), folder))
            time.sleep(0.2)
            for each in [each for each in running if each.is_over()]:
                running.remove(each)
                yield each.done()
            progress([(each.job, each.board.look(), each.process) for each in running], len(waiting))
    finally:
        for each in running:
            each.stop()
            each.done()
