"""What every command of the suite has in common: how its numbers are read, and how Ctrl-C ends it.

Law: knows no part. A number that makes no sense is refused when it is read, with exit code 2; a run that was stopped keeps
nothing, says so in a line, and leaves no process and no network behind.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

STOPPED = 130
"""The exit code of what Ctrl-C ended, as a shell has it."""


def count(text: str) -> int:
    """A whole number above zero, for `type=` of an argument."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def above_zero(text: str) -> float:
    """Seconds, minutes or a rate, for `type=` of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def finished(command: Sequence[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """Run another command of the suite. Ctrl-C is for that one: what it has started is ended by it, and waited for."""
    with subprocess.Popen(command, text=True, **how) as process:
        try:
            out, _ = process.communicate()
        except KeyboardInterrupt:
            # `subprocess.run` would kill it a quarter of a second later.
            process.wait()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out)


def end_with(main: Callable[[], int]) -> NoReturn:
    """Run it and end the process with its exit code."""
    try:
        code = main()
    except KeyboardInterrupt:
        print("\nstopped; of this run nothing was kept for docs/reliability.md", file=sys.stderr, flush=True)
        code = STOPPED
    sys.stdout.flush()
    if code == STOPPED:
        # What was under way would tell at length how it was broken off.
        os._exit(code)
    sys.exit(code)
