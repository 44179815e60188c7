"""The last refusals, for whoever asks what was refused and why: names, dtypes, shapes, reasons; no values.

Law: bounded in entries and in bytes per entry, whatever a client sends; nothing of the request is kept alive.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from proxy.core.types import RequestView, TensorView, dtype_name, shape_text
from proxy.core.verdict import Violation
from proxy.observe.catalogue import code_name
from proxy.observe.outcome import Outcome

_NAMES = 16
_NAME_LENGTH = 100
_DIMS = 16
_TEXT_LENGTH = 1500
_RECENT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Found:
    """One violation of a refused request."""

    reason: str
    field: str
    expected: str
    got: str
    hint: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused call. Names are the client's, cut to size, but `identity`, what it has proved to be; `inputs` maps alias to dtype and shape."""

    time: str
    peer: str
    method: str
    code: str
    model: str
    version: int | None
    signature: str
    violations: tuple[Found, ...]
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    text: str
    request_id: str
    user_agent: str
    identity: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class RecentRefusals:
    """A ring of the newest `entries` refusals; an `EndObserver`."""

    def __init__(self, entries: int = 100, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._ring: deque[Refusal] = deque(maxlen=entries)
        self._clock = clock

    def __len__(self) -> int:
        return len(self._ring)

    def __iter__(self) -> Iterator[Refusal]:
        """Newest first."""
        return reversed(self._ring)

    def recent(self) -> tuple[int, int]:
        """How many of the last five minutes are remembered, and how many of those one address has sent.

        Counted when it is asked for, of what is remembered anyway: no call pays for it, whoever sends how much.
        """
        since = (self._clock() - _RECENT).isoformat(timespec="milliseconds")
        senders = Counter(each.peer.rpartition(":")[0] for each in self._ring if each.time >= since)
        return senders.total(), max(senders.values(), default=0)

    def call_ended(self, outcome: Outcome) -> None:
        """Remember a refusal."""
        if outcome.refusal is None:
            return
        self._ring.append(refusal_of(outcome, self._clock()))


def refusal_of(outcome: Outcome, when: datetime) -> Refusal:
    """What may be told of a refused call."""
    view = outcome.request or RequestView(None)
    asked_for = view.key.model if view.key is not None else ""
    return Refusal(
        when.isoformat(timespec="milliseconds"),
        cut(outcome.peer),
        cut(outcome.method),
        code_name(outcome.code),
        cut(outcome.model or asked_for),
        outcome.version,
        cut(outcome.signature or view.signature),
        tuple(_found(violation) for violation in outcome.refusal.violations[:_NAMES])
        if outcome.refusal
        else (),
        shapes_of(view),
        tuple(cut(output) for output in view.outputs[:_NAMES]),
        cut(outcome.text, _TEXT_LENGTH),
        outcome.request_id,
        outcome.user_agent,
        cut(outcome.identity),
    )


def _found(violation: Violation) -> Found:
    return Found(
        violation.reason.value,
        cut(violation.field),
        cut(violation.expected, 2 * _NAME_LENGTH),
        cut(violation.got, 2 * _NAME_LENGTH),
        cut(violation.hint, 2 * _NAME_LENGTH),
    )


def shapes_of(view: RequestView | None) -> dict[str, str]:
    """Dtype and shape of each input by alias: `{"x": "float32[1,3]"}`; the first sixteen."""
    inputs = view.inputs[:_NAMES] if view is not None else ()
    return {cut(tensor.alias): _shown(tensor) for tensor in inputs}


def _shown(tensor: TensorView) -> str:
    shape = None if tensor.unknown_rank else tensor.dims[:_DIMS]
    more = "…" if len(tensor.dims) > _DIMS else ""
    return f"{dtype_name(tensor.dtype)}{shape_text(shape)}{more}"


def cut(name: str, length: int = _NAME_LENGTH) -> str:
    """`name` in at most `length` characters."""
    return name if len(name) <= length else name[: length - 1] + "…"
