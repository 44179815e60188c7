"""The suite gives the same results however pytest is started."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SUITE = """
import signal, subprocess, sys

def test_a_process_can_be_stopped_by_a_signal():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        process = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1, stderr=-1)
        process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=20)
        assert process.returncode == -number

def test_what_is_kept_is_made_once(kept):
    made = []
    for _ in range(2):
        folder = kept("things-of-a-test", b"of this", lambda folder: made.append((folder / "x").write_text("x")))
        assert (folder / "x").read_text() == "x"
    assert len(made) <= 1
"""


@pytest.mark.parametrize("flags", [(), ("-p", "no:cacheprovider")], ids=["cache", "no cache"])
@pytest.mark.parametrize("before", ["", "trap '' INT HUP TERM;"], ids=["heeding", "ignoring"])
def test_a_parent_that_ignores_signals_and_a_missing_cache_change_nothing(tmp_path, flags, before):
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text(SUITE)
    pytest_of_it = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--rootdir",
        tmp_path,
        "-c",
        ROOT / "pyproject.toml",
        *flags,
        tmp_path,
    ]
    # A shell of its own ignores them: Python of this process must not run between fork and exec, beside gRPC's threads.
    done = subprocess.run(
        ["/bin/sh", "-c", f'{before} exec "$@"', "sh", *pytest_of_it],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
