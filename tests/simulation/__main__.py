"""`python -m tests.simulation [--seeds FIRST:LAST] [--seconds S] [--calls N] [--trust PART]`: play worlds, tell what they showed.

The exit code is 1 when a seed broke; the seed plays it again, in the same folder step by step the same.
"""

import argparse
import ctypes
import os
import sys
import time as real_time

_ADDR_NO_RANDOMIZE = 0x0040000
if os.environ.get("PYTHONHASHSEED") != "0":
    # The order of a set goes by hashes and addresses, which would be others each time.
    ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])

_seconds = real_time.perf_counter

import grpc  # noqa: E402

from tests.simulation.loop import CLOCK, StuckError  # noqa: E402  isort: skip

import traceback  # noqa: E402
from collections import Counter  # noqa: E402

from proxy.build_info import build  # noqa: E402
from tests.simulation.peers import Broken  # noqa: E402
from tests.simulation.plants import PLANTS  # noqa: E402
from tests.simulation.world import World  # noqa: E402
from tests.trust.command import above_zero, count, end_with  # noqa: E402
from tests.trust.result import Result, Table  # noqa: E402

DONE = {
    "swap": "another version with another signature",
    "restart": "server restarted with another version",
    "away": "server gone for up to 5 s",
    "go away": "connection asked to go by the server",
    "cut": "connection reset, anywhere",
    "deaf": "peer that does not read for up to 8 s",
    "leave": "client gone, with all its calls",
    "cancel": "call cancelled",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "--seeds",
        type=seeds,
        default="0:20",
        metavar="FIRST:LAST",
        help="LAST not among them; or one SEED, with where it broke (%(default)s)",
    )
    parser.add_argument("--seconds", type=above_zero, help="stop after so long")
    parser.add_argument("--calls", type=count, default=150, help="in one world (%(default)s)")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first seed that broke")
    parser.add_argument("--trust", metavar="PART", help="keep what was found for docs/reliability.md")
    parser.add_argument("--plant", choices=PLANTS, help="put a fault in, which must be found")
    told = parser.parse_args()
    if told.plant:
        PLANTS[told.plant]()
    total: Counter[str] = Counter()
    broken: list[str] = []
    began = _seconds()
    for seed in told.seeds:
        CLOCK.now = 1000.0
        try:
            total += World(seed).play(told.calls)
        except (Broken, StuckError, ValueError) as error:
            broken.append(f"seed {seed}: {type(error).__name__}: {error}")
            print(broken[-1])
            if len(told.seeds) == 1:
                traceback.print_exc()
        total["seeds"] += 1
        if broken and told.until_broken:
            break
        if told.seconds and _seconds() - began > told.seconds:
            break
    took = _seconds() - began
    print(f"seeds: {total['seeds']}, broken: {len(broken)}, steps: {total['steps']}, {took:.1f} s")
    print(", ".join(f"{name} {count}" for name, count in sorted(total.items())))
    if told.trust:
        return _result(told.trust, total, took, broken).save()
    return 1 if broken else 0


def seeds(text: str) -> range:
    """FIRST:LAST, or one seed."""
    first, colon, last = text.partition(":")
    if not first.isdecimal() or (colon and not last.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither FIRST:LAST nor one seed")
    found = range(int(first), int(last) if colon else int(first) + 1)
    if not found:
        raise argparse.ArgumentTypeError(f"there is no seed in {text}: LAST is not among them")
    return found


def _result(part: str, total: Counter[str], took: float, broken: list[str]) -> Result:
    figures = {
        "worlds, each of a seed": f"{total['seeds']:,}",
        "steps of the scheduler": f"{total['steps']:,}, {total['steps'] / took * 60:,.0f} a minute",
        "calls": f"{total['calls']:,}",
        "hot path": build().hot_path,
        "seeds that broke": str(len(broken)),
    }
    done = [(words, f"{total[kind]:,}") for kind, words in DONE.items()]
    ends = [
        (_status(int(kind.removeprefix("status "))), f"{count:,}")
        for kind, count in sorted(total.items())
        if kind.startswith("status ")
    ]
    ends.append(("cancelled by the client", f"{total['cancelled']:,}"))
    tables = [
        Table("What was done to the worlds:", ("what", "times"), done),
        Table("How the calls ended:", ("status", "calls"), ends),
    ]
    return Result(part, figures, took, tables, failures=broken)


def _status(number: int) -> str:
    """Of a call: of gRPC, or below zero the error that its stream was reset with."""
    if number < 0:
        return f"stream reset with error {-1 - number} of HTTP/2"
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


if __name__ == "__main__":
    end_with(main)
