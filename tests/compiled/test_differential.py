"""Compiled and interpreted, the hot path sends the same octets and says the same words for the same traffic."""

import subprocess
import sys

import pytest

from proxy.build_info import build
from tests.conftest import EXPLORE
from tests.proxy_process import ROOT

KINDS = ("server", "client", "gate", "arrivals")
SEEDS = 300 * max(1, EXPLORE)


def lines(*flags: str) -> list[str]:
    command = [sys.executable, "-m", "tests.compiled.traffic", "--seeds", str(SEEDS), *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    ).stdout.splitlines()


@pytest.mark.skipif(build().hot_path == "interpreted", reason="the hot path is not compiled here")
def test_random_traffic_has_the_same_outcome_compiled_and_interpreted():
    compiled, interpreted = lines(), lines("--interpreted")
    assert (compiled[0], interpreted[0]) == ("compiled", "interpreted")
    assert len(compiled) == 1 + len(KINDS) * SEEDS
    differing = [
        (one, other) for one, other in zip(compiled[1:], interpreted[1:], strict=True) if one != other
    ]
    assert not differing, f"{len(differing)} of {len(KINDS) * SEEDS}, the first: {differing[0]}"


def test_the_outcome_is_the_same_each_time_and_another_for_each_seed():
    once = lines("--seeds", "10")
    assert once == lines("--seeds", "10")
    assert len({line.split()[-1] for line in once}) == 1 + 10 * len(KINDS)
