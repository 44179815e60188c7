"""What new versions of models have changed, and who sends what has not fitted since.

Law: a listener that remembers the last changes of each model; bounded in models, in changes of each and in the texts.
Affected is who first sent a request that does not fit the changed signature after one change and before the next.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from proxy.core.availability import VersionStatus
from proxy.core.drift import Drift
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey
from proxy.observe.problem import REFUSAL, WOULD_REFUSE, Problem, Sender, stamp
from proxy.observe.refusals import cut
from proxy.observe.series import Limits

MOST_DRIFTS: Final = 8
_CHANGES: Final = 16
_CHANGE_LENGTH: Final = 200

FITS_NOT: Final = frozenset(
    {
        *(Reason.SIGNATURE_NOT_FOUND, Reason.METHOD_MISMATCH),
        *(Reason.INPUT_UNKNOWN, Reason.INPUT_MISSING, Reason.OUTPUT_UNKNOWN),
        *(Reason.DTYPE_MISMATCH, Reason.RANK_MISMATCH, Reason.SHAPE_MISMATCH),
    }
)
"""The reasons by which a request does not fit a signature that it may have fitted before."""


@dataclass(frozen=True, slots=True)
class SignatureDrift:
    """What one step from a version to another changed in one signature."""

    time: str
    model: str
    signature: str
    from_version: int
    to_version: int
    breaking: bool
    changes: tuple[str, ...]

    def as_json(self, affected: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
        shown = asdict(self)
        del shown["model"]
        return shown | {"affected": list(affected)}


class Drifts:
    """The last changes of each model; a `Listener`."""

    def __init__(
        self, models: int = Limits().models, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._most_models = models
        self._clock = clock
        self._drifts: dict[str, deque[SignatureDrift]] = {}

    def __iter__(self) -> Iterator[SignatureDrift]:
        """Those of all models, oldest first."""
        return iter([each for drifts in self._drifts.values() for each in drifts])

    def signature_drifted(self, drift: Drift) -> None:
        """Remember what has changed; the model that changed longest ago makes room."""
        when = stamp(self._clock())
        for signature, differences in groupby(drift.differences, lambda each: each.signature):
            found = list(differences)
            drifts = self._drifts.pop(drift.model, None) or deque(maxlen=MOST_DRIFTS)
            if len(self._drifts) >= self._most_models:
                del self._drifts[next(iter(self._drifts))]
            self._drifts[drift.model] = drifts
            drifts.append(
                SignatureDrift(
                    when,
                    drift.model,
                    cut(signature),
                    drift.old_version,
                    drift.new_version,
                    any(each.breaking for each in found),
                    tuple(cut(str(each), _CHANGE_LENGTH) for each in found[:_CHANGES]),
                )
            )

    def signature_fetched(self, key: ModelKey, result: str, seconds: float) -> None: ...

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None: ...

    def upstream_changed(self, up: bool) -> None: ...


def history_of(
    model: str, drifts: Iterable[SignatureDrift], problems: Iterable[Problem]
) -> list[dict[str, Any]]:
    """The changes of one model, newest first, each with whom it affects."""
    of_model = sorted((each for each in drifts if each.model == model), key=lambda each: each.time)
    unfit = [
        each
        for each in problems
        if each.model == model and each.kind in {REFUSAL, WOULD_REFUSE} and each.reason in FITS_NOT
    ]
    told: list[dict[str, Any]] = []
    until: dict[str, str] = {}
    for drift in reversed(of_model):
        told.append(drift.as_json(_affected(drift, until.get(drift.signature), unfit)))
        until[drift.signature] = drift.time
    return told


def _affected(drift: SignatureDrift, until: str | None, unfit: Iterable[Problem]) -> list[dict[str, Any]]:
    if not drift.breaking:
        return []
    senders: dict[tuple[str, str, str], Sender] = {}
    for problem in unfit:
        if problem.signature not in {"", drift.signature}:
            continue
        for sender in problem.senders:
            if sender.first_seen < drift.time or (until is not None and sender.first_seen >= until):
                continue
            who = (sender.peer, sender.identity, sender.user_agent)
            known = senders.get(who)
            # A request may have several problems: the one that came most often says how many.
            count = max(sender.count, known.count) if known is not None else sender.count
            senders[who] = replace(sender, count=count)
    return [
        {"peer": each.peer, "identity": each.identity, "user_agent": each.user_agent, "count": each.count}
        for each in sorted(senders.values(), key=lambda each: each.count, reverse=True)
    ]
