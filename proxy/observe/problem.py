"""A problem as it is told: what goes wrong, how often, who sends it, its newest examples; and which of them are asked for.

A problem is a kind, a model, a reason and a field, which is one of a signature where it is one at all.

Law: plain data and text; how it is found and kept is not known here.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

REFUSAL: Final = "refusal"
WOULD_REFUSE: Final = "would_refuse"
WARNING: Final = "warning"
UPSTREAM_ERROR: Final = "upstream_error"
KINDS: Final = (REFUSAL, WOULD_REFUSE, WARNING, UPSTREAM_ERROR)


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


def id_of(key: tuple[str, ...]) -> str:
    """A short name for what makes a problem: the same in every process, always."""
    return sha256("\0".join(key).encode(errors="backslashreplace")).hexdigest()[:12]


def stamp(when: datetime) -> str:
    """A time as it is shown: RFC 3339 in UTC, whose order is that of the letters."""
    return when.isoformat(timespec="milliseconds")
