"""One problem while it is counted: how often and when it came, who sends it, its newest examples.

Law: bounded in senders and examples whatever is sent. Which problems are kept is not decided here.
"""

from collections import deque
from datetime import datetime
from typing import Final

from proxy.observe.mistakes import Mistake
from proxy.observe.problem import Example, Problem, Sender, id_of, stamp

MINUTES: Final = 60
MOST_SENDERS: Final = 16
SHOWN_SENDERS: Final = 8
MOST_EXAMPLES: Final = 5

Key = tuple[str, str, str, str, str]
"""Kind, model, signature, reason, field."""
Who = tuple[str, str, str]
"""Address, identity, user agent."""


class _Sends:
    __slots__ = ("count", "first", "last")

    def __init__(self, now: datetime) -> None:
        self.count = 0
        self.first = self.last = now


class ProblemGroup:
    """One problem while it is counted."""

    def __init__(self, key: Key, holder: str, now: datetime) -> None:
        self.key = key
        self.holder = holder
        self.id = id_of(key)
        self.count = 0
        self.first = self.last = now
        self.signature = ""
        self.version: int | None = None
        self.examples: deque[Example] = deque(maxlen=MOST_EXAMPLES)
        self._minutes = deque([0], maxlen=MINUTES)
        self._minute = _minute(now)
        self._senders: dict[Who, _Sends] = {}
        self._forgotten = 0
        self.found: Mistake

    def add(self, found: Mistake, who: Who, now: datetime) -> None:
        self.found = found
        self.count += 1
        self.last = now
        self._reach(_minute(now))
        self._minutes[-1] += 1
        sends = self._senders.get(who)
        if sends is None:
            if len(self._senders) >= MOST_SENDERS:
                self._forget_sender()
            sends = self._senders[who] = _Sends(now)
        sends.count += 1
        sends.last = now

    def _reach(self, minute: int) -> None:
        """Begin the minutes until this one; a clock that was put back counts in the last."""
        passed = minute - self._minute
        if passed > 0:
            self._minutes.extend([0] * min(passed, MINUTES))
            self._minute = minute

    def _forget_sender(self) -> None:
        """Of the address that has most of them, which may invent user agents, the one that sends least."""
        addresses = [peer for peer, _, _ in self._senders]
        least = min(self._senders.items(), key=lambda each: (-addresses.count(each[0][0]), each[1].count))
        del self._senders[least[0]]
        self._forgotten += 1

    def problem(self, now: datetime) -> Problem:
        kind, model, _, reason, field = self.key
        self._reach(_minute(now))
        minutes = tuple(self._minutes)
        most = sorted(self._senders.items(), key=lambda each: each[1].count, reverse=True)
        found = self.found
        return Problem(
            self.id,
            kind,
            model,
            reason,
            field,
            self.signature,
            self.version,
            found.code,
            self.count,
            stamp(self.first),
            stamp(self.last),
            self._minute,
            (0,) * (MINUTES - len(minutes)) + minutes,
            found.expected,
            found.got,
            found.hint,
            found.reason.about.remedy,
            f"docs/runbook.md#{reason.lower()}",
            tuple(
                Sender(*who, sends.count, stamp(sends.first), stamp(sends.last))
                for who, sends in most[:SHOWN_SENDERS]
            ),
            self._forgotten + max(0, len(most) - SHOWN_SENDERS),
            tuple(reversed(self.examples)),
        )


def _minute(when: datetime) -> int:
    return int(when.timestamp() // 60)
