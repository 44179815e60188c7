"""What fuzzing met and broke is run again, and the machinery finds what is wrong: a fault, a hang, the death of a process."""

import random
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hpack.table import HeaderTable

from proxy.edge.native import inflating, rpc
from proxy.edge.native.http2 import compression
from proxy.edge.native.http2.flow_control import FlowControl
from proxy.wire import push
from tests.conftest import interpreted_only
from tests.fuzz.board import Board
from tests.fuzz.findings import Findings
from tests.fuzz.jobs import plan, run
from tests.fuzz.one import Runner
from tests.fuzz.table import TARGETS
from tests.fuzz.target import CORPUS, Target
from tests.trust.result import ROOT

HERE = [each for each in TARGETS if each.name != "server-reading"]
"""Those that do not load TensorFlow itself, which the proxy never does."""
_CHANGED = 150


def by_name(targets: list[Target]):
    return pytest.mark.parametrize("target", targets, ids=[each.name for each in targets])


# Python takes escapes that are none, under protest, and so does the text format of protobuf that uses it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@by_name(HERE)
def test_what_was_met_breaks_nothing_and_nor_does_what_is_near_it(target):
    rng = random.Random(target.name)
    inputs = target.inputs()
    for data in inputs:
        target.module.check(data)
    for _ in range(_CHANGED):
        target.module.check(target.mutate(rng.choice(inputs), rng)[: target.longest])


def test_the_server_reads_what_was_met_as_the_proxy_does():
    met = sorted((CORPUS / "server-reading").glob("*"))
    command = [sys.executable, "-m", "tests.fuzz", "--play", "server-reading", *map(str, met)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("nothing wrong") == len(met)


def test_every_folder_of_inputs_is_of_a_target():
    assert {path.name for path in CORPUS.iterdir()} <= {each.name for each in TARGETS}


@by_name(list(TARGETS))
def test_changes_are_the_same_for_the_same_generator(target):
    data = b"\x0a\x03abc\x12\x02\x08\x01"
    for seed in range(50):
        assert target.mutate(data, random.Random(seed)) == target.mutate(data, random.Random(seed))


@pytest.fixture
def board(tmp_path):
    return Board.open(tmp_path / "board")


def runner(check, board, folder) -> Runner:
    target = SimpleNamespace(module=SimpleNamespace(check=check), slowest=0.1)
    return Runner(target, board, Findings(folder, "broken"))


def break_off(data: bytes) -> None:
    assert not data.startswith(b"bad")


def test_a_finding_is_kept_once_and_as_small_as_it_was_met(board, tmp_path):
    run_one = runner(break_off, board, tmp_path)
    for data in (b"good", b"bad and long", b"bad", b"bad again"):
        run_one(data)
    (kept,) = (path for path in tmp_path.glob("broken-*") if not path.suffix)
    assert kept.read_bytes() == b"bad"
    told = kept.with_suffix(".txt").read_text()
    assert told.startswith(f"python -m tests.fuzz --play broken {kept}\n")
    assert "AssertionError" in told
    assert (board.executions, board.findings) == (4, 1)


def test_what_takes_long_is_a_finding(board, tmp_path):
    def spin(_: bytes) -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass

    runner(spin, board, tmp_path)(b"slow")
    assert board.findings == 1


def test_whoever_looks_at_a_board_sees_what_was_done_last(board, tmp_path):
    runner(break_off, board, tmp_path)(b"bad")
    other = Board.open(tmp_path / "board")
    assert (other.executions, other.findings, other.at_hand()) == (1, 1, b"bad")


def test_a_job_runs_in_a_process_and_tells_what_it_did(tmp_path):
    target = next(each for each in TARGETS if each.name == "words")
    (job,) = plan([target], 3, 1, guided=False, compiled=False)
    (done,) = run([job], tmp_path, 1, lambda *_: None)
    assert (done.ended, done.findings) == ("", 0)
    assert done.executions > len(target.inputs())


def test_a_process_that_dies_is_a_finding(tmp_path):
    target = next(each for each in TARGETS if each.name == "words")
    (job,) = plan([target], 60, 1, guided=False, compiled=False)
    killed = []

    def kill(running, _) -> None:
        if running and running[0][1] and not killed:
            killed.append(running[0][2])
            running[0][2].kill()

    (done,) = run([job], tmp_path, 1, kill)
    assert done.ended.startswith("ended with -9")
    assert done.findings == 1
    (kept,) = (path for path in (tmp_path / "findings").glob("words-*") if not path.suffix)
    assert "ended with -9" in kept.with_suffix(".txt").read_text()


def forget_what_is_held(monkeypatch) -> None:
    monkeypatch.setattr(FlowControl, "release", lambda *_: None)


def believe_the_cache(monkeypatch) -> None:
    monkeypatch.setattr(compression._CountingTable, "add", HeaderTable.add)


def look_into_nothing(monkeypatch) -> None:
    monkeypatch.setattr(push, "LOOKED_INTO", ())


def take_any_stream(monkeypatch) -> None:
    monkeypatch.setattr(inflating, "_WBITS", {b"gzip": 47, b"deflate": 47})


def leave_percents(monkeypatch) -> None:
    monkeypatch.setattr(rpc, "_PRINTABLE", "".join(map(chr, range(0x20, 0x7F))))


@interpreted_only
@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("http2-server", forget_what_is_held),
        ("hpack", believe_the_cache),
        ("push", look_into_nothing),
        ("inflate", take_any_stream),
        ("status", leave_percents),
    ],
)
def test_a_fault_that_is_put_in_is_found(name, plant, monkeypatch):
    target = next(each for each in TARGETS if each.name == name)
    rng, inputs = random.Random(1), target.inputs()
    plant(monkeypatch)

    def hunt() -> None:
        for _ in range(20_000):
            target.module.check(target.mutate(rng.choice(inputs), rng)[: target.longest])

    with pytest.raises(AssertionError):
        hunt()
