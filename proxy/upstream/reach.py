"""ReachWatch: while the server cannot be reached, finds out why.

Law: looks only while there is no connection, at a steady pace, whether or not there are calls; nobody ever
waits for it. What it found is forgotten as soon as a connection stands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from proxy.diagnosis.reach import Reach

Probe = Callable[[], Awaitable[Reach]]


class ReachWatch:
    """Probes the way to the server `patience` seconds after the connection is lost, and then every `interval`.

    `changed` is to be told what the way to the server says of itself (see `control.Way`). `found` is called with
    each finding that differs from the one before.
    """

    def __init__(
        self,
        probe: Probe,
        found: Callable[[Reach], None] = lambda _: None,
        *,
        patience: float = 0.2,
        interval: float = 10.0,
    ) -> None:
        self._probe = probe
        self._found = found
        self._patience = patience
        self._interval = interval
        self._task: asyncio.Task[None] | None = None
        self._up: bool | None = None
        self._was_up = False
        self.latest: Reach | None = None
        """What stands in the way; None while the server can be reached or nothing is known yet."""

    @property
    def up(self) -> bool | None:
        """Whether a connection stands; None until the first is known."""
        return self._up

    def start(self) -> None:
        """Begin: without a connection after `patience` seconds the first probe follows."""
        if self._up is not True:
            self._look()

    def changed(self, up: bool) -> None:
        """The connection came or went."""
        self._was_up = self._was_up or up
        self._up = up
        if up:
            self.latest = None
            self._end()
        elif self._task is None:
            if self._was_up:
                # All that is known until the first probe.
                self.latest = Reach("", was_up=True)
            self._look()

    async def stop(self) -> None:
        """Look no more."""
        task = self._task
        self._end()
        if task is not None:
            with suppress(asyncio.CancelledError):
                await task

    def _look(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="reach of the upstream")

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watch(self) -> None:
        await asyncio.sleep(self._patience)
        while True:
            # Without its certificate files, which were there at the start, a probe knows nothing.
            with suppress(OSError, ValueError):
                reach = replace(await self._probe(), was_up=self._was_up)
                # How long an attempt took is no news.
                if self.latest is None or _seen(reach) != _seen(self.latest):
                    self.latest = reach
                    self._found(reach)
            await asyncio.sleep(self._interval)


def _seen(reach: Reach) -> Reach:
    return replace(reach, attempts=tuple(replace(each, seconds=0.0) for each in reach.attempts))
