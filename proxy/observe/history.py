"""The last hour in steps of 15 seconds: how many calls, how they ended, how long they took; in all and per model.

Law: read off the metrics' own counters and histograms by one timer, so that no call pays for it, and the same for one
process as for the metrics of several together. There are as many models as the metrics have labels. A counter that has
fallen (a model was unloaded, a worker came back) counts nothing.
"""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from math import inf
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from proxy.observe.catalogue import OVERHEAD_SECONDS, SECONDS
from proxy.observe.problem import stamp
from proxy.observe.series import OTHER

STEP_SECONDS: Final = 15
_LATE_SECONDS: Final = 0.05
MINUTES: Final = 60

_LOCAL: Final = frozenset({"Check", "List", "Watch", "ServerReflectionInfo"})
"""Methods that the proxy answers itself: probes, and streams that last for hours."""

COUNTED: Final = ("requests", "refused", "would_refuse", "warnings", "errors")
_COUNTERS: Final = {
    "tfs_proxy_requests_total": 0,
    "tfs_proxy_refusals_total": 1,
    "tfs_proxy_would_refuse_total": 2,
    "tfs_proxy_warnings_total": 3,
}
_ERRORS: Final = 4
_BUCKETS: Final = len(SECONDS) + 1
_TOTAL: Final = len(COUNTED)
_UPSTREAM: Final = _TOTAL + _BUCKETS
_WIDTH: Final = _UPSTREAM + _BUCKETS
_HISTOGRAMS: Final = {"tfs_proxy_request_seconds": _TOTAL, "tfs_proxy_upstream_seconds": _UPSTREAM}
_OWN: Final = "tfs_proxy_overhead_seconds"
_PLACES: Final = {repr(bound): place for place, bound in enumerate((*SECONDS, inf))} | {"+Inf": len(SECONDS)}
_OWN_PLACES: Final = {repr(bound): place for place, bound in enumerate(OVERHEAD_SECONDS)} | {
    "+Inf": len(OVERHEAD_SECONDS)
}

NEEDED: Final = (*_COUNTERS, *_HISTOGRAMS, _OWN)
"""The metrics that the curves are made of."""

Read = Callable[[Collection[str]], Iterable[Metric]]
"""Gives the metrics of these names as they are now."""


class Numbers:
    """Counts of every model since the start, or of one step; `own` is the histogram of the proxy's share, of all."""

    __slots__ = ("models", "own")

    def __init__(self) -> None:
        self.models: dict[str, array[int]] = {}
        self.own = array("Q", bytes(8 * (len(OVERHEAD_SECONDS) + 1)))

    def of(self, model: str) -> "array[int]":
        return self.models.setdefault(model, array("Q", bytes(8 * _WIDTH)))

    def all(self) -> "array[int]":
        """The sum over all models."""
        return array(
            "Q", map(sum, zip(*self.models.values(), strict=True)) if self.models else bytes(8 * _WIDTH)
        )


def read(families: Iterable[Metric]) -> Numbers:
    """The numbers in these metrics."""
    found = Numbers()
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name in _COUNTERS:
            _read_counter(found, family, _COUNTERS[name])
        elif name in _HISTOGRAMS:
            for labels, place, count in _buckets(family, _PLACES):
                if labels.get("method") not in _LOCAL:
                    found.of(labels.get("model", OTHER))[_HISTOGRAMS[name] + place] += count
        elif name == _OWN:
            for _, place, count in _buckets(family, _OWN_PLACES):
                found.own[place] += count
    for numbers in found.models.values():
        numbers[_ERRORS] = max(0, numbers[_ERRORS] - numbers[_COUNTERS["tfs_proxy_refusals_total"]])
    return found


def _read_counter(found: Numbers, family: Metric, place: int) -> None:
    for sample in family.samples:
        labels, value = sample.labels, int(sample.value)
        if labels.get("method") in _LOCAL:
            continue
        numbers = found.of(labels.get("model", OTHER))
        numbers[place] += value
        if labels.get("code", "OK") != "OK":
            numbers[_ERRORS] += value


def _buckets(family: Metric, places: Mapping[str, int]) -> Iterator[tuple[Mapping[str, str], int, int]]:
    """What is in each bucket alone: a scrape tells them added up, from the lowest to the highest."""
    before = 0
    for sample in family.samples:
        if not sample.name.endswith("_bucket"):
            continue
        place, value = places[sample.labels["le"]], int(sample.value)
        if place == 0:
            before = 0
        yield sample.labels, place, value - before
        before = value


def _step(before: Numbers, now: Numbers) -> Numbers:
    step = Numbers()
    for model, numbers in now.models.items():
        old = before.models.get(model)
        grown = numbers if old is None else _grown(old, numbers)
        if any(grown):
            step.models[model] = array("I", (min(each, 0xFFFFFFFF) for each in grown))
    step.own = array("I", (min(each, 0xFFFFFFFF) for each in _grown(before.own, now.own)))
    return step


def _grown(old: "array[int]", new: "array[int]") -> "array[int]":
    return array("Q", (max(0, each - was) for was, each in zip(old, new, strict=True)))


class History:
    """The curves of the last hour; `follow` keeps them up to date until it is cancelled."""

    def __init__(self, metrics: Read, clock: Callable[[], float] = time.time) -> None:
        self._metrics = metrics
        self._clock = clock
        self._steps: deque[tuple[float, Numbers]] = deque(maxlen=MINUTES * 60 // STEP_SECONDS)
        self._before: Numbers | None = None
        self._until = clock()

    def sample(self) -> None:
        """End a step: what has been counted since the last one."""
        now, self._until = read(self._metrics(NEEDED)), self._clock()
        while self._steps and self._steps[-1][0] >= self._until:
            # The clock was set back: what was counted then is of no time that a curve could show.
            self._steps.pop()
        if self._before is not None:
            self._steps.append((self._until, _step(self._before, now)))
        self._before = now

    async def follow(self, refresh: Callable[[], Any] | None = None) -> None:
        """End a step every 15 seconds; `refresh` is awaited before, where the metrics have to be fetched."""
        while True:
            if refresh is not None:
                await refresh()
            # A fault costs a step, not the curve.
            with suppress(ArithmeticError, LookupError, ValueError):
                self.sample()
            # A little late: who wakes a moment early would end another step at once.
            await asyncio.sleep(STEP_SECONDS - self._clock() % STEP_SECONDS + _LATE_SECONDS)

    @property
    def until(self) -> float:
        """The end of the last step."""
        return self._until

    def latest(self) -> dict[str, Any] | None:
        """The newest point of all models together."""
        return _point(*self._steps[-1], None) if self._steps else None

    def as_json(self, model: str | None = None, minutes: int = MINUTES) -> dict[str, Any]:
        """The curves as the admin port shows them, of one model or of all together."""
        since = self._until - minutes * 60
        names = {name for _, step in self._steps for name in step.models}
        return {
            "step_seconds": STEP_SECONDS,
            "until": _time(self._until),
            "models": sorted(names - {OTHER}),
            "model": model,
            "points": [_point(when, step, model) for when, step in self._steps if when > since],
        }

    def latency(self, model: str) -> dict[str, float | None]:
        """The quantiles of a model's calls within the hour."""
        steps = [step.models[model] for _, step in self._steps if model in step.models]
        return _latency(list(map(sum, zip(*steps, strict=True))) if steps else [0] * _WIDTH)


def _point(when: float, step: Numbers, model: str | None) -> dict[str, Any]:
    numbers: Sequence[int]
    if model is None:
        numbers, own = step.all(), step.own
    else:
        # The metrics have the proxy's share of all models together only.
        numbers, own = step.models.get(model, [0] * _WIDTH), array("I")
    return {
        "time": _time(when),
        **dict(zip(COUNTED, numbers, strict=False)),
        **_latency(numbers),
        "own_p50": quantile(0.5, OVERHEAD_SECONDS, own),
        "own_p99": quantile(0.99, OVERHEAD_SECONDS, own),
    }


def _latency(numbers: Sequence[int]) -> dict[str, float | None]:
    total, upstream = numbers[_TOTAL:_UPSTREAM], numbers[_UPSTREAM:]
    return {
        "p50": quantile(0.5, SECONDS, total),
        "p99": quantile(0.99, SECONDS, total),
        "upstream_p50": quantile(0.5, SECONDS, upstream),
        "upstream_p99": quantile(0.99, SECONDS, upstream),
    }


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """What so large a share of the values is below, as Prometheus' histogram_quantile reckons; None: there are none.

    `counts` is what is in each bucket alone. Beyond the highest bound it is that bound.
    """
    rank = share * sum(counts)
    if rank <= 0:
        return None
    for (low, high), count in zip(pairwise((0.0, *bounds)), counts, strict=False):
        if rank <= count:
            return round(low + (high - low) * rank / count, 7)
        rank -= count
    return bounds[-1]


def _time(when: float) -> str:
    return stamp(datetime.fromtimestamp(when, UTC))
