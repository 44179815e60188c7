"""Faults of the proxy's own machine: its disk is full, its log is not read, there are no descriptors, its clock jumps."""

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.conftest import EXPLORE
from tests.faults.ground import Ground, marked
from tests.faults.machine import (
    Abandoned,
    Clock,
    Unread,
    as_seen_by,
    filled,
    on_a_machine,
    small_disk,
    with_mounts,
)
from tests.faults.test_vanishing import MARK, balance
from tests.safety.clients import BAD, ask_predict, channel_to
from tests.safety.counting import HELD
from tests.safety.serving import CountingServer

DAY = 86_400
JUMPS = {"a day on": DAY, "two days back": -2 * DAY, "ten years on": 3650 * DAY, "an hour back": -3600}


@pytest.fixture(scope="session")
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        yield server


async def told(channel: grpc.aio.Channel, message: bytes, **how: Any) -> tuple[str, str]:
    """Status and reason of a Predict; the call itself, which would keep the connection, is let go."""
    answer = await ask_predict(channel, message, **how)
    return answer.code.name, answer.reason


async def is_served(channel: grpc.aio.Channel) -> None:
    """Wait until a call is good; a client that is not let in asks again."""
    async with asyncio.timeout(20):
        while await told(channel, marked(MARK)) != ("OK", ""):
            pass


# === the log ===


@pytest.mark.parametrize("kind", [Unread, Abandoned], ids=["is not read", "has lost its reader"])
async def test_a_log_that(edge: str, server: CountingServer, tmp_path: Path, kind: type):
    with on_a_machine(edge, server, tmp_path, "--access-log", kind=kind) as ground:
        async with ground.undisturbed() as bystanders:
            # Twice what a pipe takes.
            await bystanders.served_again(400, seconds=30)


async def test_the_disk_of_captures_is_full(edge: str, server: CountingServer, tmp_path: Path):
    disk = tmp_path / "disk"
    before = with_mounts(small_disk(disk, "512k"))
    flags = ("--capture", str(disk / "captures"), "--capture-sample", "100%", "--access-log")
    with on_a_machine(edge, server, tmp_path, *flags, before=before) as ground:
        async with ground.undisturbed() as bystanders:
            await bystanders.served_again(20)
            with filled(as_seen_by(ground.proxy, disk)):
                await asyncio.to_thread(ground.proxy.wait_for, "capture_paused")
                await bystanders.served_again(40)
                assert ground.count("tfs_proxy_capture_paused") == 1
                dropped = ground.count("tfs_proxy_captured_total", result="dropped")
                assert dropped > 0
            if EXPLORE:
                await asyncio.to_thread(ground.proxy.wait_for, "capture_resumed")
                assert ground.count("tfs_proxy_capture_paused") == 0


# === descriptors ===


@contextlib.contextmanager
def no_descriptors(ground: Ground) -> Iterator[None]:
    """The proxy can open nothing more while the block runs, whoever in it has taken them all."""
    pid = ground.proxy.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    # The lowest that is free is the next one.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(opened) + 1)) - opened), hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


async def test_descriptors_are_exhausted_by_whatever_else_the_process_does(ground: Ground):
    said = len(ground.proxy.log)
    quick = ("grpc.min_reconnect_backoff_ms", 100)
    async with ground.undisturbed(every=0.1) as bystanders:  # noqa: SIM117  what comes late is closed before
        async with channel_to(ground.proxy.target, quick) as late:
            host, _, port = ground.proxy.admin.rpartition(":")
            with no_descriptors(ground), socket.create_connection((host, int(port)), 5):
                asking = asyncio.create_task(is_served(late))
                burned = processor_seconds(ground)
                began = time.monotonic()
                await bystanders.served_again(40)
                assert not asking.done(), "there was a descriptor left"
                share = (processor_seconds(ground) - burned) / (time.monotonic() - began)
            # Who came meanwhile is served, at the latest as soon as there are descriptors again.
            await asking
            assert ground.get("/livez")[0] == 200
    assert len(ground.proxy.log) - said < 20, ground.proxy.log[said:][:5]
    assert share < 0.6, f"{share}: it asks again and again for what it cannot have"
    assert balance(ground) == 0


def processor_seconds(ground: Ground) -> float:
    fields = Path(f"/proc/{ground.proxy.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# === the clock ===


async def test_the_wall_clock_jumps(edge: str, server: CountingServer, tmp_path: Path):
    """Neither calls nor their deadlines go by it; what is written with a time goes on to be written."""
    clock = Clock(tmp_path / "clock")
    with on_a_machine(edge, server, tmp_path, env=clock.env) as ground:
        async with ground.undisturbed() as bystanders, channel_to(ground.proxy.target) as channel:
            for jump, seconds in JUMPS.items():
                held = asyncio.create_task(told(channel, marked(MARK), metadata=((HELD, "1"),), timeout=1.0))
                await bystanders.served_again(3)
                clock.jump(seconds)
                asked = time.monotonic()
                assert (await held)[0] == "DEADLINE_EXCEEDED", jump
                assert time.monotonic() - asked < 3, jump
                assert (await told(channel, BAD))[1] == "RANK_MISMATCH", jump
                for path in ("/", "/metrics", "/readyz", "/api/status", "/api/problems", "/api/history"):
                    code, text = await asyncio.to_thread(ground.get, path)
                    assert code == 200, (jump, path, text[:300])
                await bystanders.served_again(10)
