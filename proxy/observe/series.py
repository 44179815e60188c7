"""The numbers behind the metrics: plain counts, cheap to update, and the guard on what may become a label.

Law: knows label values and numbers, not what they mean. Updated and read by one thread, the event loop's, so
without locks.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

OTHER = "_other"
"""The label value of everything that the upstream has not confirmed or that is beyond a limit."""


class Example(NamedTuple):
    """One value that was counted, of the call in this trace; `when` is in seconds since 1970."""

    trace_id: str
    value: float
    when: float


class Histogram:
    """Counts per bucket, not cumulative. `bounds` are inclusive upper bounds; the last count is above all.

    `examples` has the newest of each bucket that has one.
    """

    __slots__ = ("_above", "_bucket", "_to", "bounds", "counts", "examples", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.examples: dict[int, Example] = {}
        # The bucket of the last value, and what is in it: most values are like those before them.
        self._bucket = 0
        self._above, self._to = inf, -inf

    def observe(self, value: float) -> None:
        if not self._above < value <= self._to:
            self._find(value)
        self.counts[self._bucket] += 1
        self.sum += value

    def remember(self, example: Example) -> None:
        """Have the value that was observed last as an example of its bucket."""
        self.examples[self._bucket] = example

    def _find(self, value: float) -> None:
        bounds = self.bounds
        self._bucket = at = bisect_left(bounds, value)
        self._above = bounds[at - 1] if at else -inf
        self._to = bounds[at] if at < len(bounds) else inf


@dataclass(frozen=True, slots=True)
class Limits:
    """How many label values and series there may be, whatever clients and servers do.

    `rows` bounds each counter family that carries a model, `timings` the pairs of method and model that
    have histograms of their own. Beyond a limit everything counts as `_other`.
    """

    models: int = 200
    signatures: int = 16
    versions: int = 16
    rows: int = 4000
    timings: int = 400


@dataclass(slots=True)
class _Model:
    signatures: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)


class Vocabulary:
    """The names that may be labels: confirmed by the upstream, at most `limits` of each.

    Versions and models that the upstream has unloaded stay for `retain` seconds, so that every scraper
    sees their last counts, and are then dropped together with their series.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], retain: float) -> None:
        self._limits = limits
        self._clock = clock
        self._retain = retain
        self._models: dict[str, _Model] = {}
        self._retired: dict[tuple[str, str | None], float] = {}

    def models(self) -> tuple[str, ...]:
        """The models that are labels."""
        return tuple(self._models)

    def fold(self, model: str | None, signature: str, version: int | None) -> tuple[str, str, str]:
        """The label values for names of which only `model` None says that they are unconfirmed."""
        if model is None or not self.admit(model):
            return OTHER, OTHER, OTHER
        known, number = self._models[model], "" if version is None else str(version)
        return (
            model,
            signature if _take(known.signatures, signature, self._limits.signatures) else OTHER,
            number if _take(known.versions, number, self._limits.versions) else OTHER,
        )

    def admit(self, model: str) -> bool:
        """Whether this confirmed model may be a label."""
        if model in self._models:
            return True
        if len(self._models) >= self._limits.models:
            return False
        self._models[model] = _Model()
        return True

    def retain(self, model: str, versions: set[str] | None) -> None:
        """The upstream has exactly these versions of a model (None: the model no longer); others retire."""
        known = self._models.get(model)
        if known is None:
            return
        loaded: set[str | None] = set() if versions is None else {*versions, None}
        for version in known.versions | {None}:
            if version in loaded:
                self._retired.pop((model, version), None)
            else:
                self._retired.setdefault((model, version), self._clock())

    def expired(self) -> list[tuple[str, str | None]]:
        """The (model, version) whose time is over, forgotten here; version None: the whole model."""
        if not self._retired:
            return []
        due = self._clock() - self._retain
        expired = [key for key, since in self._retired.items() if since <= due]
        for model, version in expired:
            self._retired.pop((model, version), None)
            if version is None:
                self._models.pop(model, None)
            elif model in self._models:
                self._models[model].versions.discard(version)
        return expired


def _take(known: set[str], value: str, limit: int) -> bool:
    """Whether a value is among those known, taking it in while there is room; an empty one never is."""
    if not value:
        return False
    if value in known:
        return True
    if len(known) >= limit:
        return False
    known.add(value)
    return True
