"""When what is known of a servable may be used, must be asked again, or is not to be had.

Law: pure decisions over an entry, the time and the event; the clock, the questions and the waiting are the
cache's. Times are seconds of one monotonic clock. An entry counts from when its question was *asked*, not
from when the answer came: the answer may describe any moment after the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from proxy.core.availability import AVAILABLE, Absence, Unanswered, VersionStatus
from proxy.core.types import ModelKey, Servable


class Decision(Enum):
    """What to do for a request."""

    USE = auto()
    """The entry is good enough."""
    REFRESH = auto()
    """The entry is good enough for this request; ask again in the background."""
    WAIT = auto()
    """Only a fresh answer will do."""
    UNKNOWN = auto()
    """Nobody can say at the moment, and asking has just failed: there is nothing newer than the entry."""


class Event(Enum):
    """What the entry is wanted for."""

    ADMIT = auto()
    """To judge a request that has just arrived."""
    REFUSE = auto()
    """To refuse a request that does not fit the entry."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `refresh_after`: age at which a servable is asked for again in the background. `absent_for`:
    how long an absence stands. `failure_for`: how long, at least, a failed question is not repeated.
    `recheck_interval`: at most one recheck, and one invalidation by an answer of the server, per key in this time.
    `patience`: how long a request waits at most for a question, and the renewal of what is known is waited for
    by anyone: after that, what was last known serves.
    """

    refresh_after: float = 30.0
    absent_for: float = 1.0
    failure_for: float = 1.0
    recheck_interval: float = 1.0
    patience: float = 2.0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of one key.

    `found` is the last answer (None: there never was one), `asked_at` when it was asked for, `answered_at` when it
    came, `rechecked_at` when it was last asked for on behalf of a refusal, `quiet_until` until when a `failure`
    forbids to ask again, `observed_at` when an answer to somebody's request last made it `outdated`.
    """

    found: Servable | Absence | None = None
    asked_at: float = -inf
    answered_at: float = -inf
    outdated: bool = False
    rechecked_at: float = -inf
    quiet_until: float = -inf
    failure: Unanswered | None = None
    observed_at: float = -inf


def decide(
    entry: Entry | None, now: float, event: Event, limits: Limits = DEFAULT_LIMITS, arrived: float = inf
) -> Decision:
    """What to do with `entry` at `now`. `arrived` is when the request to be refused came in: an answer to a
    question asked later cannot be stale for it.
    """
    if entry is None:
        return Decision.WAIT
    failing = now < entry.quiet_until
    if not entry.outdated and entry.found is not None:
        if event is Event.REFUSE:
            if confirms(entry.asked_at, entry.rechecked_at, now, limits, arrived):
                return Decision.USE
        elif isinstance(entry.found, Servable):
            # While asking fails, the servable stays: a would-be refusal is checked again in any case.
            return (
                Decision.USE if failing or now - entry.asked_at < limits.refresh_after else Decision.REFRESH
            )
        elif now - entry.asked_at < limits.absent_for:
            return Decision.USE
    return Decision.UNKNOWN if failing else Decision.WAIT


def confirms(asked_at: float, rechecked_at: float, now: float, limits: Limits, arrived: float) -> bool:
    """Whether a question asked at `asked_at` confirms a refusal: asked after the request arrived, or for
    another refusal less than `recheck_interval` ago (`rechecked_at`; -inf: it was not a recheck).
    """
    return asked_at > arrived or now - rechecked_at < limits.recheck_interval


def moved(key: ModelKey, found: Servable | Absence, versions: Sequence[VersionStatus]) -> bool:
    """Whether GetModelStatus contradicts what was found for `key` a moment ago.

    What a label points to is not in `versions` (measured: GetModelStatus ignores labels), so a label only
    moves here when the versions of an absence do.
    """
    if isinstance(found, Absence):
        return tuple(versions) != found.versions
    available = {status.version for status in versions if status.state == AVAILABLE}
    if key.version is None and key.label is None:
        return found.version != max(available, default=None)
    return found.version not in available


def may_outdate(entry: Entry, now: float, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether what an answer says against the entry makes it outdated now.

    Limited in rate: answers of the old version still come in after a swap, and replicas behind one address
    may serve two versions for a while; neither may turn every answer into a question.
    """
    return isinstance(entry.found, Servable) and now - entry.observed_at >= limits.recheck_interval


def quiet_after_failure(now: float, took: float, limits: Limits = DEFAULT_LIMITS) -> float:
    """Until when not to ask again after a failure that took `took` seconds to learn.

    As long as it took, so that a server that swallows questions costs no more than half of the time.
    """
    return now + max(limits.failure_for, took)
