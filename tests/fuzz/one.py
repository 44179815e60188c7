"""`python -m tests.fuzz.one TARGET …`: the process that fuzzes one target for a while.

Law: knows one target and no clock but its own. What it has done stands in a file that it shares with whoever started it
(`Board`), so that it counts however the process ends, the input at hand too. Findings are kept as they come, each
place in the code once, and the rest of the time goes on.

`guided`: atheris chooses inputs by the edges that they reach, in the sources, with the target's own mutator beside
its own. `mutated`: the target's mutator alone, on what is known, with whatever build is imported; no coverage is measured,
which is many times as fast.
"""

import argparse
import contextlib
import ctypes
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.board import Board
from tests.fuzz.findings import Findings

if TYPE_CHECKING:
    from tests.fuzz.target import Target

_OWN = 0.6
"""How many of the changes are by the target's own mutator; the others are libFuzzer's."""

_CHAIN = 8
"""Changes, each run, before another input is begun with."""

_HANGS = 10.0
"""CPU seconds after which an input that is not done is a finding."""


class HangsError(Exception):
    """It takes so long that nobody waits for its end."""


class Runner:
    """Runs a check on one input after another, and keeps what it finds."""

    def __init__(self, target: "Target", board: Board, findings: Findings) -> None:
        self._check = target.module.check
        self._slowest = target.slowest
        self._board = board
        self._findings = findings
        self._seen = -1

    def watch(self) -> None:
        """Break off what hangs, for as long as this process lives."""
        signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, _HANGS, _HANGS)

    def __call__(self, data: bytes) -> None:
        self._board.begin(data)
        began = time.thread_time()
        try:
            self._check(data)
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            self._keep(data, error)
        took = time.thread_time() - began
        if took > self._slowest:
            # What else the machine did, a garbage collection among it, is not the input's fault: once more.
            began = time.thread_time()
            try:
                self._check(data)
            except Exception as error:  # noqa: BLE001
                self._keep(data, error)
            if time.thread_time() - began > self._slowest:
                self._keep(
                    data, HangsError(f"{took:.2f} s for {len(data)} octets, more than {self._slowest} s")
                )

    def _keep(self, data: bytes, error: Exception) -> None:
        self._board.findings += self._findings.keep(data, error)

    def _tick(self, *_: object) -> None:
        if self._seen == self._board.executions:
            raise HangsError(f"not done after {_HANGS} s")
        self._seen = self._board.executions


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.one")
    parser.add_argument("target")
    parser.add_argument("--mode", choices=("guided", "mutated"), required=True)
    parser.add_argument("--seconds", type=float, required=True, help="from its start on")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where inputs and findings are kept")
    parser.add_argument("--python", default="python", help="how this is run, for the command in a finding")
    parser.add_argument("--board", type=Path, required=True)
    told = parser.parse_args()
    until = time.monotonic() + told.seconds
    # Ends with whoever started it, and never takes the machine with it.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    corpus = told.folder / "corpus" / told.target
    corpus.mkdir(parents=True, exist_ok=True)
    fuzz = _guided if told.mode == "guided" else _mutated
    board, findings = Board.open(told.board), Findings(told.folder / "findings", told.target, told.python)

    def make(target: "Target") -> Runner:
        runner = Runner(target, board, findings)
        runner.watch()
        return runner

    fuzz(told.target, make, corpus, until, told.seed)


def _target(name: str) -> "Target":
    """Loads what the target needs, and with it the product."""
    from tests.fuzz.table import TARGETS

    return next(each for each in TARGETS if each.name == name)


MakeRunner = Callable[["Target"], Runner]


def _guided(name: str, make: MakeRunner, corpus: Path, until: float, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["proxy"], enable_loader_override=False):
        target = _target(name)
        inputs = target.inputs()
    first = corpus.parent / f".{name}-seeds"
    first.mkdir(exist_ok=True)
    for number, data in enumerate(inputs):
        (first / str(number)).write_bytes(data)
    words = corpus.parent / f".{name}-words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() > _OWN:
            return atheris.Mutate(data, most)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            data = target.mutate(data, rng)
        return data[:most]

    options = {
        "max_total_time": max(1, int(until - time.monotonic())),
        "max_len": target.longest,
        "seed": seed % 2**31 + 1,
        **({"dict": words} if target.words else {}),
        "print_final_stats": 1,
        # How long and how much is this process's own matter.
        "timeout": 1_000_000,
        "rss_limit_mb": 0,
        "reload": 0,
    }
    arguments = [
        "fuzz",
        *(f"-{option}={value}" for option, value in options.items()),
        str(corpus),
        str(first),
    ]
    atheris.Setup(arguments, make(target), custom_mutator=mutate)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def _mutated(name: str, make: MakeRunner, corpus: Path, until: float, seed: int) -> None:
    target = _target(name)
    rng = random.Random(seed)
    inputs = [*target.inputs(), *_met(corpus)]
    run = make(target)
    for data in inputs:
        run(data)
    while time.monotonic() < until:
        data = rng.choice(inputs)
        for _ in range(_CHAIN):
            data = target.mutate(data, rng)[: target.longest]
            run(data)


def _met(corpus: Path) -> Iterator[bytes]:
    for path in sorted(corpus.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # one that is guided has found a shorter one
            yield path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
