"""Several workers' metrics as those of one: what each series comes to, and what is kept of workers that have ended.

Law: pure, but for the time that is handed in. Counters and histograms are sums; what gauges are stands in
`observe.catalogue`. A sum of counters never falls because a worker ended or did not answer: its last known counters
stay in it. They are let go when no worker has told of their model, or its version, for ten minutes, as each worker lets go of
series itself; so what is kept is bounded by what workers tell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from proxy.observe.catalogue import FOREIGN, METRICS, Together
from proxy.observe.series import OTHER
from proxy.workers.state import Family, Sample

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: the name of its samples, and its labels in the order of their names."""

Subject = tuple[str, str]
"""A model and one of its versions, or "" for the model itself."""

RETAIN_SECONDS: Final = 600.0

_FOLDS: Final[Mapping[Together, Callable[[float, float], float]]] = {
    "sum": lambda one, other: one + other,
    "max": max,
    "min": min,
    "first": lambda one, _: one,
}


def together_of(family: Family) -> Together:
    """What the series of this family come to."""
    if family.kind != "gauge":
        return "sum"
    declared = METRICS.get(family.name)
    return FOREIGN.get(family.name, "first") if declared is None else declared.together


def merge(workers: Iterable[Sequence[Family]]) -> list[Family]:
    """The families of all workers as one list, in the order in which they are first told."""
    told: dict[str, tuple[Family, dict[Key, Sample]]] = {}
    for families in workers:
        for family in families:
            _, series = told.setdefault(family.name, (family, {}))
            fold = _FOLDS[together_of(family)]
            for sample in family.samples:
                key = _key(sample)
                known = series.get(key)
                series[key] = (
                    sample if known is None else known._replace(value=fold(known.value, sample.value))
                )
    return [family._replace(samples=_in_order(series)) for family, series in told.values()]


def lasting(families: Iterable[Family]) -> list[Family]:
    """What stays true of a worker that has ended, or does not answer: its counters and histograms."""
    return [family for family in families if family.kind in {"counter", "histogram"}]


class Ledger:
    """The counters of workers that have ended."""

    def __init__(self) -> None:
        self._kept: list[Family] = []
        self._unheard: dict[Subject, float] = {}

    def bury(self, families: Iterable[Family]) -> None:
        """A worker has ended whose last known families are these."""
        self._kept = merge((self._kept, lasting(families)))

    def kept(self, living: Iterable[Sequence[Family]], now: float) -> list[Family]:
        """What is to be added to that of the living, who tell of the versions that are loaded."""
        known = {_subject(sample) for sample in _samples(self._kept)} - {None}
        heard = {_subject(sample) for families in living for sample in _samples(families)}
        heard |= {(subject[0], "") for subject in heard if subject is not None}
        since = {each: self._unheard.get(each, now) for each in known - heard if each is not None}
        gone = {each for each, when in since.items() if now - when >= RETAIN_SECONDS}
        self._unheard = {each: when for each, when in since.items() if each not in gone}
        if gone:
            self._kept = [
                family._replace(samples=[each for each in family.samples if _subject(each) not in gone])
                for family in self._kept
            ]
        return self._kept


def _key(sample: Sample) -> Key:
    return sample.name, tuple(sorted(sample.labels.items()))


def _subject(sample: Sample) -> Subject | None:
    """The model, and the version, that a series is about; None: it is about none of its own."""
    model, version = sample.labels.get("model"), sample.labels.get("version", "")
    if not model or model == OTHER:
        return None
    return model, "" if version == OTHER else version


def _samples(families: Iterable[Family]) -> Iterable[Sample]:
    return (sample for family in families for sample in family.samples)


def _in_order(series: Mapping[Key, Sample]) -> list[Sample]:
    """The samples of a histogram stand together, which encoders rely on: OpenMetrics allows no interleaving."""
    groups: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for (_, labels), sample in series.items():
        own = tuple(pair for pair in labels if pair[0] != "le")
        groups.setdefault(own, []).append(sample)
    return [sample for group in groups.values() for sample in group]
