"""Deadlines are kept within a step, and cost nothing once a call is over."""

import asyncio
import time

from proxy.edge.native.deadlines import STEP, Deadlines


class Waiting:
    due = 0

    def __init__(self):
        self.expired = asyncio.get_running_loop().create_future()

    def expire(self, before):
        self.expired.set_result(time.monotonic())


async def test_a_call_expires_soon_after_its_deadline_and_not_before():
    flushed = []
    deadlines = Deadlines(lambda: flushed.append(True))
    deadline = time.monotonic() + 0.12
    calls = [Waiting() for _ in range(3)]
    for call in calls:
        deadlines.add(call, deadline)
    deadlines.remove(calls[2])
    expired = await asyncio.wait_for(asyncio.gather(calls[0].expired, calls[1].expired), 5)
    assert min(expired) >= deadline
    assert not calls[2].expired.done()
    assert flushed
    deadlines.stop()


async def test_calls_that_are_over_leave_nothing_behind():
    deadlines = Deadlines(lambda: None)
    for number in range(1000):
        call = Waiting()
        deadlines.add(call, time.monotonic() + 3600.0 * number)
        deadlines.remove(call)
    assert deadlines._steps == {}
    deadlines.stop()


async def test_a_deadline_in_the_past_expires_at_the_next_step():
    deadlines = Deadlines(lambda: None)
    call = Waiting()
    deadlines.add(call, time.monotonic() - 10)
    await asyncio.wait_for(call.expired, 100 * STEP)
    deadlines.stop()
