"""What goes wrong, the same mistake once: refusals, would-refuse, warnings and explained errors of the server, grouped.

Law: bounded whatever clients send, in groups, in senders and examples of each, in the length of every text. Each group
is held by one client, of those who send it the one that holds fewest; where there is no more room, whoever holds most
loses what it sent only once, then what it has not sent for longest. So a client that invents names pushes out its own,
and whoever sends few mistakes keeps them. Nothing is done for a call that is fine.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_network
from typing import Final

from proxy.core.types import RequestView
from proxy.observe.mistakes import example_of, mistakes_of
from proxy.observe.outcome import Outcome
from proxy.observe.problem import ALL, Filter, Problem, stamp
from proxy.observe.problem_group import Key, ProblemGroup, Who
from proxy.observe.refusals import cut

MOST_PROBLEMS: Final = 256


class _Held:
    """The groups of one client: those it sent once, and the others, each in the order in which they were seen."""

    __slots__ = ("again", "once")

    def __init__(self) -> None:
        self.once: dict[Key, None] = {}
        self.again: dict[Key, None] = {}

    def __len__(self) -> int:
        return len(self.once) + len(self.again)

    def least(self) -> Key:
        return next(iter(self.once or self.again))

    def drop(self, key: Key) -> None:
        self.once.pop(key, None)
        self.again.pop(key, None)


class Problems:
    """The problems of all calls; an `EndObserver`. `revision` grows with every change."""

    def __init__(
        self, most: int = MOST_PROBLEMS, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._most = most
        self._clock = clock
        self._groups: dict[Key, ProblemGroup] = {}
        self._held: dict[str, _Held] = {}
        self.revision = 0

    def __len__(self) -> int:
        return len(self._groups)

    def select(self, asked: Filter = ALL) -> list[Problem]:
        """The problems that are asked for, those seen last first."""
        now = self._clock()
        return asked.select(group.problem(now) for group in self._groups.values())[: asked.limit]

    def get(self, problem: str) -> Problem | None:
        """The problem of this id."""
        return next(
            (each.problem(self._clock()) for each in self._groups.values() if each.id == problem), None
        )

    def call_ended(self, outcome: Outcome) -> None:
        """Count what is wrong with a call."""
        if (
            outcome.refusal is None
            and outcome.diagnosis is None
            and not outcome.would_refuse
            and not outcome.warnings
        ):
            return
        self.revision += 1
        now = self._clock()
        view = outcome.request or RequestView(None)
        model = cut(outcome.model or (view.key.model if view.key is not None else ""))
        who = (cut(_address(outcome.peer)), cut(outcome.identity), cut(outcome.user_agent))
        for told, all_found in mistakes_of(outcome):
            example = example_of(outcome, view, stamp(now), told)
            for found in all_found:
                # The same name is another thing in another signature.
                signature = example.signature if found.field else ""
                key = (found.kind, model, signature, found.reason.value, found.field)
                group = self._group(key, _client(who), now)
                group.add(found, who, now)
                group.signature, group.version = example.signature, example.version
                group.examples.append(example)

    def _group(self, key: Key, client: str, now: datetime) -> ProblemGroup:
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self._most:
                self._make_room(client)
            group = self._groups[key] = ProblemGroup(key, client, now)
            self._held.setdefault(client, _Held()).once[key] = None
            return group
        held = self._held[group.holder]
        held.drop(key)
        if group.holder != client:
            mine = self._held.get(client)
            # Without this one, whose place is in question.
            if (0 if mine is None else len(mine)) <= len(held):
                self._forget_if_empty(group.holder)
                group.holder = client
                held = self._held.setdefault(client, _Held())
        held.again[key] = None
        return group

    def _make_room(self, client: str) -> None:
        most = max(self._held, key=lambda each: len(self._held[each]) + (each == client))
        key = self._held[most].least()
        self._held[most].drop(key)
        self._forget_if_empty(most)
        del self._groups[key]

    def _forget_if_empty(self, client: str) -> None:
        if not self._held[client]:
            del self._held[client]


def _address(peer: str) -> str:
    # grpc's core writes brackets as an address of the web has them.
    address = peer.rpartition(":")[0] or peer
    return address.replace("%5B", "[").replace("%5D", "]")


def _client(who: Who) -> str:
    """Who is one client when room is given: an identity that was proved, else an address, of IPv6 its network."""
    address, identity, _ = who
    if identity:
        return identity
    host = address.rpartition("[")[2].rstrip("]").partition("%")[0]
    try:
        return str(ip_network((IPv6Address(host), 64), strict=False))
    except ValueError:
        return address
