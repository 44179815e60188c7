"""Every command of the suite refuses what makes no sense, and ends clean when it is stopped."""

import argparse
import os
import signal
import subprocess
import sys

import pytest

from tests.trust.command import STOPPED, above_zero, count
from tests.trust.parts import PARTS
from tests.trust.result import ROOT

STOPPING = """
import sys
from tests.trust.command import end_with, finished
CHILD = '''
import sys, time
try:
    print("running", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.6)
    print("tidied up", flush=True)
'''
end_with(lambda: finished([sys.executable, "-c", CHILD]).returncode)
"""


@pytest.mark.parametrize("text", ["0", "-1", "", "x", "nan", "inf"])
def test_a_number_that_makes_no_sense_is_refused(text):
    for read in (count, above_zero):
        with pytest.raises(argparse.ArgumentTypeError, match="above zero"):
            read(text)


def test_however_short_the_run_a_part_that_takes_any_time_gets_a_second():
    for part in PARTS:
        if part.share:
            assert count(part.started(0.5)[part.command.index("--seconds") + 1]) == 1


def test_what_is_stopped_lets_the_command_within_it_tidy_up():
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPING],
        cwd=ROOT,
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        os.killpg(process.pid, signal.SIGINT)
        said, complaint = process.communicate(timeout=60)
    assert said == "tidied up\n"
    assert complaint.strip().startswith("stopped;")
    assert "Traceback" not in complaint
    assert process.returncode == STOPPED


@pytest.mark.parametrize("module", sorted({part.command[1] for part in PARTS} - {"tests.trust.suite"}))
def test_the_command_of_a_part_says_what_it_takes_and_refuses_the_rest(module):
    # What tests.trust.suite does not know is pytest's.
    asked = [
        subprocess.Popen([sys.executable, "-m", module, word], cwd=ROOT, text=True, stdout=-1, stderr=-1)
        for word in ("--help", "--nonsense")
    ]
    (said, _), (_, complaint) = (each.communicate(timeout=60) for each in asked)
    assert said.startswith("usage: python -m tests.")
    assert [each.returncode for each in asked] == [0, 2]
    assert "--nonsense" in complaint
