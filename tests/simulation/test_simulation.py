"""Clients, data plane and server in one process without sockets: whatever goes wrong, every call ends once, and as it must."""

import ctypes
import subprocess
import sys

import pytest

from tests.conftest import ROOT, interpreted_only

PLANTS = (
    "octets are never given back",
    "every request passes",
    "memory is used again too early",
    "who waits is forgotten",
    "an end is told twice",
    "windows are not opened again",
)
"""See plants.py, which must not be imported here: it brings a clock that stands."""


def simulate(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_whatever_goes_wrong_every_call_ends_once_and_nothing_is_held():
    done = simulate("--seeds", "0:8", "--calls", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seeds: 8, broken: 0" in done.stdout


def test_a_seed_plays_the_same_each_time():
    if ctypes.CDLL(None).personality(0xFFFFFFFF) < 0:
        pytest.skip("this machine does not let a process have the same addresses each time")
    once, again = (simulate("--seeds", "7", "--calls", "60").stdout.splitlines()[-1] for _ in range(2))
    assert once == again
    assert "calls 60" in once


@interpreted_only
@pytest.mark.parametrize("plant", PLANTS)
def test_a_fault_that_is_put_in_is_found(plant):
    done = simulate("--seeds", "0:40", "--calls", "60", "--until-broken", "--plant", plant)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Broken" in done.stdout, done.stdout
