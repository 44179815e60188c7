"""Processes are found, bound and held to a quota, with real ones."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import cgroup
from tests.bench.processes import Service, listeners

FAMILY = """
import subprocess
children = [subprocess.Popen(["cat"], stdin=subprocess.PIPE) for _ in range(2)]
print(*(child.pid for child in children), flush=True)
input()
"""


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen]:
    """It ends when what it reads does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started


def group_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.split(":", 2)[2] for line in lines if line.split(":")[1] == "cpu")


def test_processes_below_the_first_are_its_workers():
    with process(sys.executable, "-c", FAMILY) as first:
        children = [int(pid) for pid in first.stdout.readline().split()]
        assert sorted(Service([first]).workers()) == sorted([child] for child in children)
        first.stdin.write("\n")


def test_a_process_alone_is_its_own_worker():
    with process("cat") as alone:
        assert Service([alone]).workers() == [[alone.pid]]


def test_a_service_is_bound_to_cores_and_let_go():
    core = min(os.sched_getaffinity(0))
    with process("cat") as bound:
        service = Service([bound])
        service.place(str(core))
        assert os.sched_getaffinity(bound.pid) == {core}
        service.place(None)
        assert os.sched_getaffinity(bound.pid) == os.sched_getaffinity(0)


def test_sockets_that_listen_on_a_port_are_counted():
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(socket.socket()) for _ in range(2))
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        first.listen()
        assert listeners(port) == 1
        second.bind(("127.0.0.1", port))
        assert listeners(port) == 1
        second.listen()
        assert listeners(port) == 2


def test_where_there_is_no_quota_the_reason_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "_CONTROLLER", tmp_path)
    assert str(tmp_path) in cgroup.lacking()


def test_a_process_is_held_to_a_quota_for_a_while():
    if reason := cgroup.lacking():
        pytest.skip(reason)
    with process("cat") as held:
        before = group_of(held.pid)
        with cgroup.quota([[held.pid]], 0.25):
            folder = Path("/sys/fs/cgroup/cpu") / group_of(held.pid).strip("/")
            period, quota = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("period", "quota"))
            assert quota / period == 0.25
        assert group_of(held.pid) == before
        assert not folder.exists()
