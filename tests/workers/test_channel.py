"""Orders reach a worker's loop whenever they come, and a supervisor that is gone ends it."""

import asyncio
import socket
import subprocess
import sys

import pytest

from proxy.workers.channel import DRAIN, HURRY, LEAVE, RELOAD, Assignment, Orders, Report
from tests.proxy_process import ROOT

TASK = Assignment(1, 2, "/nowhere/settings.yaml", "127.0.0.1:1", None, "/nowhere/1.sock", "info")

WORKER = """
import socket, sys, threading
from proxy.workers.channel import Orders, Report
orders = Orders(socket.socket(fileno=int(sys.argv[1])))
orders.report(Report())
threading.Event().wait()  # a loop that hangs
"""


@pytest.fixture
def channel():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_what_is_told_arrives_as_it_was():
    assert Assignment.read(TASK.line()) == TASK
    assert Report.read(Report("a sentence").line()) == Report("a sentence")


async def orders_of(channel, *lines: bytes) -> Orders:
    ours, theirs = channel
    for line in (TASK.line(), *lines):
        ours.sendall(line)
    orders = await asyncio.to_thread(Orders, theirs, lambda _: None)
    assert orders.assignment == TASK
    return orders


async def test_an_order_that_came_before_the_loop_is_obeyed(channel):
    orders = await orders_of(channel, DRAIN)
    ends = orders.ends()
    await asyncio.wait_for(ends.first.wait(), 5)
    assert not ends.second.is_set()
    channel[0].sendall(HURRY)
    await asyncio.wait_for(ends.second.wait(), 5)
    channel[0].sendall(DRAIN)


async def test_settings_may_be_read_anew_many_times_and_that_ends_nothing(channel):
    orders = await orders_of(channel, RELOAD)
    ends = orders.ends()
    for _ in range(3):
        async with asyncio.timeout(5):
            await ends.again.wait()
        ends.again.clear()
        channel[0].sendall(RELOAD)
    assert not ends.first.is_set()
    channel[0].sendall(DRAIN)
    async with asyncio.timeout(5):
        await ends.first.wait()


@pytest.mark.parametrize(("order", "drains"), [(DRAIN, True), (LEAVE, False)])
async def test_it_is_said_whether_anyone_has_to_notice_first(channel, order, drains):
    orders = await orders_of(channel, order)
    ends = orders.ends()
    await asyncio.wait_for(ends.first.wait(), 5)
    assert ends.drains is drains


async def test_an_order_may_come_in_pieces(channel):
    orders = await orders_of(channel)
    ends = orders.ends()
    for octet in HURRY:
        channel[0].sendall(bytes([octet]))
    await asyncio.wait_for(ends.second.wait(), 5)
    assert ends.first.is_set()


def test_a_worker_whose_supervisor_is_gone_ends_even_if_its_loop_hangs():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(theirs.fileno())], cwd=ROOT, pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        ours.sendall(TASK.line())
        assert Report.read(ours.recv(100)) == Report()
        # After a hurry there is nothing left to wait for.
        ours.sendall(HURRY)
        ours.close()
        assert worker.wait(20) == 1


def test_a_worker_that_is_given_no_task_ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.close()
        with pytest.raises(SystemExit):
            Orders(theirs)
