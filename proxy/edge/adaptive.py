"""How many calls the server is let have at a time, found out from how it does (additive increase, multiplicative decrease).

Law: arithmetic on the times that it is handed. A call that the server turned away as too much (RESOURCE_EXHAUSTED), or
did not answer in time although it took longer than successful ones do, lowers the limit to a part of what was under
way, once for all calls that were under way together: who began before the last decrease says nothing new. Calls that
succeed raise it again, by about one for each limit's worth of them. It is never less than one, so that there is always a
call that can tell.
"""

from typing import Final

from proxy.core.reasons import Code
from proxy.edge.admission import Limits

_PART: Final = 0.75
"""What is left of the limit after a decrease."""
_USUAL: Final = 0.05
"""The weight of the newest in the mean duration of successful calls."""
_FULL: Final = int(Code.RESOURCE_EXHAUSTED)
_LATE: Final = int(Code.DEADLINE_EXCEEDED)


class AdaptiveLimit:
    """A limit on the calls under way, of at most `most`."""

    __slots__ = ("_limit", "_lowered", "_most", "_usual", "calls")

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._lowered = float("-inf")
        # The mean duration of successful calls: a client that gives less time says nothing of the server.
        self._usual = 0.0
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
                self._limit = max(1.0, min(self._limit, calls) * _PART)
                self._lowered = now
        elif code == 0:
            self._usual += (now - began - self._usual) * _USUAL
            self._limit = min(self._limit + 1 / self._limit, self._most)


def adaptive_of(limits: Limits, most: int) -> AdaptiveLimit | None:
    """The limit that was asked for, of at most so many calls; None: there is none, and nothing is counted."""
    return AdaptiveLimit(most) if limits.adaptive else None
