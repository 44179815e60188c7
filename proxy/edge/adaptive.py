"""How many calls the server is let have at a time, found out from how it does (additive increase, multiplicative decrease).

Law: arithmetic on the times that it is handed. A call that the server turned away as too much (RESOURCE_EXHAUSTED), or
did not answer in time although it took longer than successful ones do, lowers the limit to a part of what was under
way, once for all calls that were under way together: who began before the last decrease says nothing new. Calls that
succeed raise it again, by about one for each limit's worth of them. It is never less than one, so that there is always a
call that can tell.

A call that was late tells more: in the time that it had, the server answers so many and no more (Little's law), and with
more than that at a time there is always one that is late. So the limit is lowered to a part of that at once, where it
would take a deadline for each step otherwise, and what the server works on meanwhile nobody waits for any more.
"""

from typing import Final

from proxy.core.reasons import Code
from proxy.edge.admission import Limits

_PART: Final = 0.75
"""What is left of the limit after a decrease."""
_USUAL: Final = 0.05
"""The weight of the newest in the mean duration of successful calls."""
_LEAST_PART: Final = 0.25
"""What is left of it at least, however little was answered: a pause of the server is not its pace."""
_WINDOW: Final = 10.0
"""Seconds of which it is known how many calls succeeded."""
_FULL: Final = int(Code.RESOURCE_EXHAUSTED)
_LATE: Final = int(Code.DEADLINE_EXCEEDED)


class AdaptiveLimit:
    """A limit on the calls under way, of at most `most`."""

    __slots__ = ("_good", "_limit", "_lowered", "_most", "_since", "_usual", "calls")

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._lowered = float("-inf")
        # The mean duration of successful calls: a client that gives less time says nothing of the server.
        self._usual = 0.0
        # Calls that succeeded, and since when they are counted: since the first, or for a window's length.
        self._good = 0.0
        self._since = 0.0
        self.calls = 0

    def adopt(self, most: int) -> None:
        """Hold to at most so many from now on; where nothing has lowered the limit, to as many."""
        self._limit = float(most) if self._limit >= self._most else min(self._limit, most)
        self._most = most

    @property
    def limit(self) -> int:
        """Calls that there may be at a time."""
        return int(self._limit)

    def enter(self) -> bool:
        """Take a call in, if there is room; then it must leave."""
        if self.calls >= self.limit:
            return False
        self.calls += 1
        return True

    def leave(self, began: float, now: float, code: int | None) -> None:
        """A call that `began` so is over; `code` is how the server ended it, None: it was not the server."""
        calls = self.calls
        self.calls -= 1
        if code == _FULL or (code == _LATE and now - began >= self._usual):
            if began > self._lowered:
                under_way = min(self._limit, calls)
                left = under_way * _PART
                if code == _LATE and self._good:
                    answered = self._good * (now - began) / max(now - self._since, now - began)
                    left = max(under_way * _LEAST_PART, min(under_way, answered) * _PART)
                self._limit = max(1.0, left)
                self._lowered = now
        elif code == 0:
            self._count(began, now)
            self._usual += (now - began - self._usual) * _USUAL
            self._limit = min(self._limit + 1 / self._limit, self._most)

    def _count(self, began: float, now: float) -> None:
        if not self._good:
            self._since = began
        elif (counted := now - self._since) > _WINDOW:
            # As many a second as on the average, for half of the time.
            self._good *= _WINDOW / 2 / counted
            self._since = now - _WINDOW / 2
        self._good += 1


def adaptive_of(limits: Limits, most: int) -> AdaptiveLimit | None:
    """The limit that was asked for, of at most so many calls; None: there is none, and nothing is counted."""
    return AdaptiveLimit(most) if limits.adaptive else None
