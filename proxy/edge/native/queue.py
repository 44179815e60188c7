"""
Who waits for a connection, in which order, and for how long while none can be had.

Law: knows those who wait and the time; whether there is a connection is whoever keeps the queue to say. There is no bound
on it here: who waits holds room that is bounded elsewhere.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, final

from proxy.edge.native.http2.connection import Connection

# Who may no longer wait goes together with who may not much longer.
_TOGETHER: Final = 0.01


class Waiter(Protocol):
    """Who waits for a connection: a call, or a question about models."""

    def connected(self, connection: Connection) -> None:
        """Open the stream now: the connection takes one."""

    def unreachable(self, reason: str) -> None:
        """Give up: no connection can be had."""


@final
class Held:
    """Whoever waits for the server to come back before asking it anything."""

    def __init__(self) -> None:
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connected(self, connection: Connection) -> None:  # noqa: ARG002
        if not self.told.done():
            self.told.set_result(None)

    def unreachable(self, reason: str) -> None:  # noqa: ARG002
        if not self.told.done():
            self.told.set_result(None)


@final
class Queue:
    """
    Those who wait. `patience` is for how many seconds they do while no connection can be had; `why` tells why none can
    be, and `flush` is called when some have been told so.
    """

    def __init__(self, patience: float, why: Callable[[], str], flush: Callable[[], None]) -> None:
        self.patience = patience
        self._why = why
        self._flush = flush
        self._waiting: OrderedDict[int, Waiter] = OrderedDict()
        # Who waits although no connection can be had, and until when, the first in front.
        self._held: OrderedDict[int, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call: Waiter, *, first: bool) -> None:
        """Put a call into the queue; `first`: before all who wait already."""
        self._waiting[id(call)] = call
        if first:
            self._waiting.move_to_end(id(call), last=False)

    def hold(self, call: Waiter) -> None:
        """Let a call wait although no connection can be had, from now on, if it does not yet."""
        self._held.setdefault(id(call), time.monotonic() + self.patience)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.patience, self._let_go)

    def next(self) -> Waiter:
        """Take out who is first."""
        key, call = self._waiting.popitem(last=False)
        if self._held:
            self._held.pop(key, None)
        return call

    def forget(self, call: Waiter) -> None:
        """Let a call that waits go."""
        self._waiting.pop(id(call), None)
        if self._held:
            self._held.pop(id(call), None)

    def reached(self) -> None:
        """There is a connection: all may wait for it as long as they like."""
        self._held.clear()

    def failed(self) -> None:
        """There is no connection, and none can be had: who waits is told so, at once or when its time is over."""
        if not self.patience:
            self.give_up(self._why())
            return
        for call in self._waiting.values():
            self.hold(call)

    def give_up(self, reason: str) -> None:
        """Tell all that no connection can be had."""
        waiting, self._waiting = self._waiting, OrderedDict()
        self._held.clear()
        for call in waiting.values():
            call.unreachable(reason)
        self._flush()

    def stop(self, reason: str) -> None:
        """The same, for good."""
        self.give_up(reason)
        if self._timer is not None:
            self._timer.cancel()

    def _let_go(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._held:
            key, until = next(iter(self._held.items()))
            if until > now + _TOGETHER:
                self._timer = asyncio.get_running_loop().call_later(until - now, self._let_go)
                break
            del self._held[key]
            call = self._waiting.pop(key, None)
            if call is not None:
                call.unreachable(self._why())
        self._flush()
