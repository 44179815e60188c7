"""What several workers tell of models, refusals, problems, the server's deaths and readiness, as one would tell it.

Law: pure. What one worker knows, all together know; what is asked of all holds when it holds for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from proxy.observe.admin.status import UP, Upstream
from proxy.observe.admin.views import Check, ModelListing
from proxy.observe.drifts import SignatureDrift
from proxy.observe.problem import ALL, Filter, Problem, Sender
from proxy.observe.problem_group import MOST_EXAMPLES, SHOWN_SENDERS
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


class JoinedProblems:
    """The problems of all: the same one is known by its id."""

    def __init__(self, told: Iterable[Iterable[Problem]]) -> None:
        self._found: dict[str, Problem] = {}
        for problems in told:
            for problem in problems:
                known = self._found.get(problem.id)
                self._found[problem.id] = problem if known is None else _both(known, problem)

    def select(self, asked: Filter = ALL) -> list[Problem]:
        """The problems that are asked for, those seen last first."""
        return asked.select(self._found.values())[: asked.limit]

    def get(self, problem: str) -> Problem | None:
        """The problem of this id."""
        return self._found.get(problem)


def _both(one: Problem, other: Problem) -> Problem:
    newer = max(one, other, key=lambda each: each.last_seen)
    minute = max(one.minute, other.minute)
    senders: dict[tuple[str, str, str], Sender] = {}
    for sender in (*one.senders, *other.senders):
        who = (sender.peer, sender.identity, sender.user_agent)
        known = senders.get(who, sender)
        senders[who] = replace(
            sender,
            count=sender.count if known is sender else sender.count + known.count,
            first_seen=min(sender.first_seen, known.first_seen),
            last_seen=max(sender.last_seen, known.last_seen),
        )
    most = sorted(senders.values(), key=lambda each: each.count, reverse=True)
    examples = sorted((*one.examples, *other.examples), key=lambda each: each.time, reverse=True)
    return replace(
        newer,
        count=one.count + other.count,
        first_seen=min(one.first_seen, other.first_seen),
        minute=minute,
        sparkline=tuple(map(sum, zip(_until(one, minute), _until(other, minute), strict=True))),
        senders=tuple(most[:SHOWN_SENDERS]),
        more_senders=one.more_senders + other.more_senders + max(0, len(most) - SHOWN_SENDERS),
        examples=tuple(examples[:MOST_EXAMPLES]),
    )


def _until(problem: Problem, minute: int) -> tuple[int, ...]:
    """The counts of the minutes until this one."""
    length = len(problem.sparkline)
    return (*problem.sparkline, *(0,) * min(minute - problem.minute, length))[-length:]


def drifts(told: Iterable[Iterable[SignatureDrift]]) -> list[SignatureDrift]:
    """What has changed, each change once: when the first has seen it."""
    found: dict[tuple[object, ...], SignatureDrift] = {}
    for drift in sorted((drift for of_one in told for drift in of_one), key=lambda each: each.time):
        found.setdefault(
            (drift.model, drift.signature, drift.from_version, drift.to_version, drift.changes), drift
        )
    return list(found.values())


def upstreams(told: Iterable[Iterable[Upstream]]) -> list[Upstream]:
    """The addresses of the server; one is up where it is for all, and else as the first says for whom it is not."""
    by_address: dict[str, list[Upstream]] = {}
    for of_one in told:
        for upstream in of_one:
            by_address.setdefault(upstream.address, []).append(upstream)
    return [_of_all(found) for found in by_address.values()]


def _of_all(found: Sequence[Upstream]) -> Upstream:
    failing = [each for each in found if each.state != UP]
    if failing and len(failing) < len(found):
        detail = f"so for {len(failing)} of {len(found)} workers"
        return replace(failing[0], detail=f"{detail}: {failing[0].detail}" if failing[0].detail else detail)
    return max(failing or found, key=lambda each: each.since or "")


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
