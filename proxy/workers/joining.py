"""What several workers tell of models, refusals, the server's deaths and readiness, as one would tell it.

Law: pure. What one worker knows, all together know; what is asked of all holds when it holds for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from proxy.observe.admin.views import Check, ModelListing
from proxy.observe.refusals import Refusal
from proxy.observe.suspects import DEATHS, ONE_DEATH_SECONDS, SUSPECTS, Death

STARTING: Final = "starting"
SERVING: Final = "serving"
SILENT: Final = "silent"
WAITING: Final = "waiting"
ENDED: Final = "ended"
STATES: Final = (STARTING, SERVING, SILENT, WAITING, ENDED)
"""Of a worker; silent: it serves as far as is known, and does not answer."""

_SEEN: Final = {
    STARTING: "starting",
    SILENT: "does not answer",
    WAITING: "has ended, and is not started again yet",
    ENDED: "has ended",
}


def checks(states: Mapping[int, str], told: Mapping[int, Sequence[Check]]) -> list[Check]:
    """The conditions of all: each worker's own, which hold when they hold for all that told them, and one of each."""
    names = dict.fromkeys(check.name for found in told.values() for check in found)
    joined = [_joined(name, told) for name in names]
    return joined + [
        Check(f"worker/{number}", state == SERVING, _SEEN.get(state, ""))
        for number, state in sorted(states.items())
    ]


def _joined(name: str, told: Mapping[int, Sequence[Check]]) -> Check:
    found = {number: check for number, of in told.items() for check in of if check.name == name}
    failed = {number: check for number, check in found.items() if not check.ok}
    if not failed:
        return next(iter(found.values()))
    texts = {check.text for check in failed.values()}
    if len(failed) == len(found) and len(texts) == 1:
        return Check(name, False, texts.pop())
    return Check(name, False, "; ".join(f"worker {number}: {each.text}" for number, each in failed.items()))


def models(told: Iterable[Iterable[ModelListing]]) -> list[ModelListing]:
    """Every model that some worker knows, by name; of each version what the first says that knows it."""
    found: dict[str, ModelListing] = {}
    for listings in told:
        for listing in listings:
            known = found.get(listing.name, listing)
            servables = {each.version: each for each in (*listing.servables, *known.servables)}
            versions = {each.version: each for each in (*listing.versions, *known.versions)}
            found[listing.name] = ModelListing(
                known.name,
                tuple(versions[number] for number in sorted(versions, reverse=True))
                if known.versions != listing.versions
                else known.versions,
                tuple(servables[number] for number in sorted(servables)),
                known.mode,
            )
    return [found[name] for name in sorted(found)]


def refusals(told: Iterable[Iterable[Refusal]], most: int) -> list[Refusal]:
    """The newest of all, newest first."""
    every = [refusal for found in told for refusal in found]
    return sorted(every, key=lambda each: each.time, reverse=True)[:most]


def deaths(told: Iterable[Iterable[Death]]) -> list[Death]:
    """The server's deaths, newest first: what workers lost within a second died with the same server."""
    joined: list[Death] = []
    for death in sorted((death for found in told for death in found), key=lambda each: each.time):
        if joined and _seconds(death) - _seconds(joined[-1]) <= ONE_DEATH_SECONDS:
            last = joined[-1]
            joined[-1] = Death(
                last.time, last.calls + death.calls, [*last.suspects, *death.suspects][:SUSPECTS]
            )
        else:
            joined.append(death)
    return joined[::-1][:DEATHS]


def _seconds(death: Death) -> float:
    return datetime.fromisoformat(death.time).timestamp()
