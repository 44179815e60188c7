"""`python -m tests.fuzz --seconds S [--jobs N] [--only TARGET …] [--trust]`: fuzz for a while; what was found stays in .fuzz/.

`--play TARGET FILE …` runs inputs again, as a finding says. The exit code is 1 when there is a finding that still breaks.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.fuzz import report
from tests.fuzz.jobs import Job, plan, run
from tests.fuzz.table import TARGETS
from tests.trust.command import STOPPED, above_zero, count, end_with
from tests.trust.result import ROOT, TREE, Result, commit

FOLDER = ROOT / ".fuzz"
_EVERY = 10.0
_NAMES = [each.name for each in TARGETS]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=above_zero, default=60, help="in all (%(default)s)")
    parser.add_argument(
        "--jobs", type=count, default=os.cpu_count() or 1, help="processes at a time (%(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=_NAMES, default=_NAMES, metavar="TARGET", help=", ".join(_NAMES)
    )
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for what is met and found (%(default)s)")
    parser.add_argument("--trust", action="store_true", help="keep what was found for docs/reliability.md")
    parser.add_argument("--play", nargs="+", metavar=("TARGET", "FILE"), help="run these inputs again")
    told = parser.parse_args(arguments)
    if told.play:
        name, *files = told.play
        if name not in _NAMES or not files:
            parser.error(f"argument --play: a target and files; the targets are {', '.join(_NAMES)}")
        if absent := [file for file in files if not Path(file).is_file()]:
            parser.error(f"argument --play: no such file: {', '.join(absent)}")
        return _play(name, files)
    began = time.monotonic()
    guided = importlib.util.find_spec("atheris") is not None
    if not guided:
        print(
            "atheris is not installed: the targets run by their own mutators, and no coverage guides them (make fuzz)"
        )
    targets = [each for each in TARGETS if each.name in told.only]
    seed = int(time.time()) if told.seed is None else told.seed
    jobs = plan(
        targets, told.seconds * told.jobs, seed, guided=guided, compiled=(TREE.parent / ".built").exists()
    )
    told.folder.mkdir(exist_ok=True)
    shown = _Shown(told.seconds)
    running = commit()
    ended = []
    try:
        for done in run(jobs, told.folder, told.jobs, shown):
            shown.line(done.job.title, done.executions, done.seconds, done.findings, done.ended)
            ended += [f"{done.job.title} {done.ended}"] if done.ended else []
            _remember(
                told.folder,
                {**asdict(done), **asdict(done.job), "run": seed, "commit": running, "date": _date()},
            )
    except KeyboardInterrupt:
        print("\nstopped; what was found stays in", told.folder)
        return STOPPED
    return _told(told.folder, time.monotonic() - began, ended, trust=told.trust)


def _told(folder: Path, seconds: float, ended: list[str], *, trust: bool) -> int:
    failures = [*_open_findings(folder), *ended]
    runs = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    figures, table, skipped = report.of_runs(TARGETS, runs, folder)
    result = Result("fuzz", figures, seconds, [table], failures=failures, skipped=skipped)
    if trust:
        return result.save()
    print(report.as_text(figures, table))
    for failure in failures:
        print(f"FOUND: {failure}")
    return 1 if failures else 0


def _open_findings(folder: Path) -> list[str]:
    """The findings that still break, each with the command that plays it; those that do not any more are taken away."""
    found = []
    for words in sorted((folder / "findings").glob("*.txt")):
        command = words.read_text().partition("\n")[0]
        played = subprocess.run(
            command.replace("python ", f"{sys.executable} ", 1),
            shell=True,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if played.returncode:
            last = (played.stderr.strip().splitlines() or ["no words"])[-1]
            found.append(f"{last[:200]}: {command}")
        else:
            words.with_suffix("").unlink(missing_ok=True)
            words.unlink()
    return found


def _play(name: str, files: Sequence[str]) -> int:
    target = next(each for each in TARGETS if each.name == name)
    for file in files:
        target.module.check(Path(file).read_bytes())
        print(f"{file}: nothing wrong")
    return 0


def _remember(folder: Path, done: dict[str, object]) -> None:
    done.pop("job")
    with (folder / "runs.jsonl").open("a") as file:
        file.write(json.dumps(done) + "\n")


def _date() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


class _Shown:
    """Progress: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._next = 0.0
        self._total = 0

    def __call__(self, running: Sequence[tuple[Job, int, object]], waiting: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.5 if sys.stdout.isatty() else _EVERY)
        total = self._total + sum(count for _, count, _ in running)
        what = ", ".join(f"{job.title} {count:,}" for job, count, _ in running)
        text = f"{now - self._began:4.0f} of {self._seconds:.0f} s, {total:,} executions; {what}; {waiting} to come"
        print(
            f"\r\x1b[K{text[:180]}" if sys.stdout.isatty() else text,
            end="" if sys.stdout.isatty() else "\n",
            flush=True,
        )

    def line(self, title: str, executions: int, seconds: float, findings: int, ended: str) -> None:
        self._total += executions
        told = f"{findings} findings" if findings else ended or "nothing found"
        clear = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{clear}{title}: {executions:,} executions, {executions / seconds:,.0f}/s, {told}", flush=True)


if __name__ == "__main__":
    end_with(main)
