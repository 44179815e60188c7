"""What goes wrong, the same mistake once: refusals, would-refuse, warnings and explained errors of the server, grouped.

A problem is a kind, a model, a reason and a field, which is one of a signature where it is one at all. It keeps how often and when it came, who sends it and its newest
examples: names, dtypes and shapes; never values.

Law: bounded whatever clients send, in groups, in senders and examples of each, in the length of every text. Each group
is held by one client, of those who send it the one that holds fewest; where there is no more room, whoever holds most
loses what it sent only once, then what it has not sent for longest. So a client that invents names pushes out its own,
and whoever sends few mistakes keeps them. Nothing is done for a call that is fine.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv6Address, ip_network
from typing import Any, Final, NamedTuple

from proxy.core.reasons import Reason
from proxy.core.types import RequestView
from proxy.core.verdict import Violation
from proxy.observe.catalogue import status_name
from proxy.observe.outcome import Outcome
from proxy.observe.refusals import cut, shapes_of

REFUSAL: Final = "refusal"
WOULD_REFUSE: Final = "would_refuse"
WARNING: Final = "warning"
UPSTREAM_ERROR: Final = "upstream_error"
KINDS: Final = (REFUSAL, WOULD_REFUSE, WARNING, UPSTREAM_ERROR)

MINUTES: Final = 60
MOST_PROBLEMS: Final = 256
MOST_SENDERS: Final = 16
SHOWN_SENDERS: Final = 8
MOST_EXAMPLES: Final = 5
_MOST_OF_A_CALL: Final = 8
_FIELD_LENGTH: Final = 160
_PHRASE_LENGTH: Final = 200
_TEXT_LENGTH: Final = 500
_OUTPUTS: Final = 16


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a problem; `peer` is an address without its port, which is another one for every connection."""

    peer: str
    identity: str
    user_agent: str
    count: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Example:
    """One call with the problem; `inputs` maps alias to dtype and shape."""

    time: str
    request_id: str
    peer: str
    identity: str
    user_agent: str
    method: str
    version: int | None
    signature: str
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem as it stands; `expected`, `got` and `hint` are those of the newest call.

    `sparkline` is one count a minute, oldest first; the last is minute number `minute` since 1970. `senders` are those
    with most first, and `more_senders` how many others there are or have been.
    """

    id: str
    kind: str
    model: str
    reason: str
    field: str
    signature: str
    version: int | None
    code: str
    count: int
    first_seen: str
    last_seen: str
    minute: int
    sparkline: tuple[int, ...]
    expected: str
    got: str
    hint: str
    remedy: str
    runbook: str
    senders: tuple[Sender, ...]
    more_senders: int
    examples: tuple[Example, ...]

    def as_json(self, *, examples: bool = True) -> dict[str, Any]:
        """The problem as the admin port shows it, with or without examples."""
        shown = asdict(self)
        if not examples:
            del shown["examples"]
        return shown


class Filter(NamedTuple):
    """Which problems are asked for; what is empty asks for all. `client` is part of who the senders say or show to be."""

    model: str = ""
    reason: str = ""
    kind: str = ""
    client: str = ""
    since: datetime | None = None
    limit: int | None = None

    def select(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems that are asked for, those seen last first; the limit is not applied."""
        since = "" if self.since is None else stamp(self.since)
        found = [each for each in problems if self._wants(each, since)]
        return sorted(found, key=lambda each: each.last_seen, reverse=True)

    def _wants(self, problem: Problem, since: str) -> bool:
        return (
            self.model in {"", problem.model}
            and self.reason in {"", problem.reason}
            and self.kind in {"", problem.kind}
            and problem.last_seen >= since
            and (not self.client or any(map(self._is_client, problem.senders)))
        )

    def _is_client(self, sender: Sender) -> bool:
        return any(self.client in text for text in (sender.peer, sender.identity, sender.user_agent))


ALL: Final = Filter()


class _Found(NamedTuple):
    """One thing that is wrong with a call."""

    kind: str
    reason: Reason
    field: str
    code: str
    expected: str
    got: str
    hint: str


class _Sends:
    __slots__ = ("count", "first", "last")

    def __init__(self, now: datetime) -> None:
        self.count = 0
        self.first = self.last = now


_Key = tuple[str, str, str, str, str]
"""Kind, model, signature, reason, field."""
_Who = tuple[str, str, str]


class _Group:
    """One problem while it is counted."""

    def __init__(self, key: _Key, holder: str, now: datetime) -> None:
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
        self._senders: dict[_Who, _Sends] = {}
        self._forgotten = 0
        self.found: _Found

    def add(self, found: _Found, who: _Who, now: datetime) -> None:
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


class _Held:
    """The groups of one client: those it sent once, and the others, each in the order in which they were seen."""

    __slots__ = ("again", "once")

    def __init__(self) -> None:
        self.once: dict[_Key, None] = {}
        self.again: dict[_Key, None] = {}

    def __len__(self) -> int:
        return len(self.once) + len(self.again)

    def least(self) -> _Key:
        return next(iter(self.once or self.again))

    def drop(self, key: _Key) -> None:
        self.once.pop(key, None)
        self.again.pop(key, None)


class Problems:
    """The problems of all calls; an `EndObserver`. `revision` grows with every change."""

    def __init__(
        self, most: int = MOST_PROBLEMS, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._most = most
        self._clock = clock
        self._groups: dict[_Key, _Group] = {}
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
        for told, all_found in _found(outcome):
            example = _example(outcome, view, stamp(now), told)
            for found in all_found:
                # The same name is another thing in another signature.
                signature = example.signature if found.field else ""
                key = (found.kind, model, signature, found.reason.value, found.field)
                group = self._group(key, _client(who), now)
                group.add(found, who, now)
                group.signature, group.version = example.signature, example.version
                group.examples.append(example)

    def _group(self, key: _Key, client: str, now: datetime) -> _Group:
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self._most:
                self._make_room(client)
            group = self._groups[key] = _Group(key, client, now)
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


def id_of(key: tuple[str, ...]) -> str:
    """A short name for what makes a problem: the same in every process, always."""
    return sha256("\0".join(key).encode(errors="backslashreplace")).hexdigest()[:12]


def stamp(when: datetime) -> str:
    """A time as it is shown: RFC 3339 in UTC, whose order is that of the letters."""
    return when.isoformat(timespec="milliseconds")


def _minute(when: datetime) -> int:
    return int(when.timestamp() // 60)


def _address(peer: str) -> str:
    # grpc's core writes brackets as an address of the web has them.
    address = peer.rpartition(":")[0] or peer
    return address.replace("%5B", "[").replace("%5D", "]")


def _client(who: _Who) -> str:
    """Who is one client when room is given: an identity that was proved, else an address, of IPv6 its network."""
    address, identity, _ = who
    if identity:
        return identity
    host = address.rpartition("[")[2].rstrip("]").partition("%")[0]
    try:
        return str(ip_network((IPv6Address(host), 64), strict=False))
    except ValueError:
        return address


def _found(outcome: Outcome) -> Iterable[tuple[str, list[_Found]]]:
    """What is wrong with a call, each kind with the text that its examples show."""
    code = status_name(outcome.code) if outcome.code else ""
    if outcome.refusal is not None:
        yield outcome.text, [_violated(REFUSAL, each, code) for each in _first(outcome.refusal.violations)]
    if outcome.would_refuse:
        yield (
            _phrases(outcome.would_refuse),
            [
                _violated(WOULD_REFUSE, each, each.reason.about.code.name)
                for each in _first(outcome.would_refuse)
            ],
        )
    if outcome.warnings:
        yield _phrases(outcome.warnings), [_violated(WARNING, each, "") for each in _first(outcome.warnings)]
    if outcome.diagnosis is not None:
        found = _Found(UPSTREAM_ERROR, outcome.diagnosis, "", code, "", cut(outcome.text, _TEXT_LENGTH), "")
        yield outcome.text, [found]


def _first(violations: tuple[Violation, ...]) -> Iterable[Violation]:
    """One violation for each reason and field: a call counts once in a problem."""
    found: dict[tuple[Reason, str], Violation] = {}
    for each in violations[:_MOST_OF_A_CALL]:
        found.setdefault((each.reason, cut(each.field, _FIELD_LENGTH)), each)
    return found.values()


def _violated(kind: str, violation: Violation, code: str) -> _Found:
    return _Found(
        kind,
        violation.reason,
        cut(violation.field, _FIELD_LENGTH),
        code,
        cut(violation.expected, _PHRASE_LENGTH),
        cut(violation.got, _PHRASE_LENGTH),
        cut(violation.hint, _PHRASE_LENGTH),
    )


def _phrases(violations: tuple[Violation, ...]) -> str:
    return "; ".join(
        f"{each.where}: expected {each.expected}, got {each.got}" for each in violations[:_MOST_OF_A_CALL]
    )


def _example(outcome: Outcome, view: RequestView, when: str, text: str) -> Example:
    return Example(
        when,
        cut(outcome.request_id),
        cut(outcome.peer),
        cut(outcome.identity),
        cut(outcome.user_agent),
        cut(outcome.method),
        outcome.version,
        cut(outcome.signature or view.signature),
        shapes_of(view),
        tuple(cut(output) for output in view.outputs[:_OUTPUTS]),
        cut(text, _TEXT_LENGTH),
    )
