"""
Deadlines of many calls under one timer.

Law: coarse on purpose. The client keeps its own time; the proxy's part is that no call outlives its deadline by
long, so calls are looked after in steps of 50 ms, and adding and removing one costs a dictionary operation.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol, final

STEP: Final = 0.05


class Expiring(Protocol):
    """What has a deadline: `due` is the step in which it expires, kept here."""

    due: int

    def expire(self, before: int) -> None:
        """Learn that the deadline has passed; `before` others were told so in the same step."""


@final
class Deadlines:
    """
    Calls by the step in which they expire; the timer runs only while there are any.

    `after` is called once calls have been told.
    """

    def __init__(self, after: Callable[[], None]) -> None:
        self._after = after
        self._steps: dict[int, dict[int, Expiring]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._past = 0

    def add(self, call: Expiring, deadline: float) -> None:
        """Watch a call until `deadline` (of `time.monotonic`)."""
        if self._timer is None:
            self._past = int(time.monotonic() / STEP)
            self._timer = asyncio.get_running_loop().call_later(STEP, self._tick)
        due = int(deadline / STEP) + 1
        if due <= self._past:
            due = self._past + 1
        call.due = due
        step = self._steps.get(due)
        if step is None:
            step = self._steps[due] = {}
        step[id(call)] = call

    def remove(self, call: Expiring) -> None:
        """Forget a call that is over."""
        step = self._steps.get(call.due)
        if step is not None:
            step.pop(id(call), None)
            if not step:
                del self._steps[call.due]

    def stop(self) -> None:
        """Forget everything."""
        self._steps.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = int(time.monotonic() / STEP)
        if now - self._past > len(self._steps):
            due = sorted(step for step in self._steps if step <= now)
        else:
            due = [step for step in range(self._past + 1, now + 1) if step in self._steps]
        self._past = now
        expired = [call for step in due for call in self._steps.pop(step).values()]
        for before, call in enumerate(expired):
            call.expire(before)
        self._after()
        self._timer = asyncio.get_running_loop().call_later(STEP, self._tick) if self._steps else None
