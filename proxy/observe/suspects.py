"""Which requests were in flight when the server died: one of them may be why.

Law: an observer that keeps names, dtypes and shapes, never values; bounded in deaths and in suspects of each,
whatever clients send. Calls that are lost within a second died with the same server.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from proxy.core.reasons import Reason
from proxy.observe.outcome import Outcome
from proxy.observe.refusals import cut, shapes_of

ONE_DEATH_SECONDS: Final = 1.0
SUSPECTS: Final = 32
DEATHS: Final = 20


@dataclass(frozen=True, slots=True)
class Suspect:
    """One call that was in flight; `inputs` maps alias to dtype and shape (empty: not a Predict)."""

    peer: str
    method: str
    model: str
    signature: str
    inputs: dict[str, str]
    seconds: float
    text: str


@dataclass(slots=True)
class Death:
    """A lost connection; `calls` counts every call lost with it, `suspects` are the first of them."""

    time: str
    calls: int = 0
    suspects: list[Suspect] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Suspects:
    """A ring of the newest `entries` deaths; an `EndObserver`. `deaths` counts all of them."""

    def __init__(
        self,
        entries: int = DEATHS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ring: deque[Death] = deque(maxlen=entries)
        self._clock = clock
        self._now = now
        self._last = float("-inf")
        self.deaths = 0

    def __iter__(self) -> Iterator[Death]:
        """Newest first."""
        return reversed(self._ring)

    def call_ended(self, outcome: Outcome) -> None:
        """Remember a call that was lost with its connection."""
        if outcome.diagnosis is not Reason.UPSTREAM_RESET:
            return
        now = self._clock()
        if now - self._last > ONE_DEATH_SECONDS:
            self.deaths += 1
            self._last = now
            self._ring.append(Death(self._now().isoformat(timespec="milliseconds")))
        death = self._ring[-1]
        death.calls += 1
        if len(death.suspects) < SUSPECTS:
            key = outcome.request.key if outcome.request is not None else None
            death.suspects.append(
                Suspect(
                    cut(outcome.peer),
                    cut(outcome.method),
                    cut(outcome.model or (key.model if key is not None else "")),
                    cut(outcome.signature),
                    shapes_of(outcome.request),
                    round(outcome.seconds, 3),
                    cut(outcome.text, 500),
                )
            )
