"""What the admin port shows, as data.

Law: shows what it is handed and asks for nothing else.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from proxy.core.availability import VersionStatus
from proxy.core.explain import printable
from proxy.core.types import Servable, Signature, TensorSpec, dtype_name
from proxy.observe.admin.status import Serving, Upstream
from proxy.observe.drifts import SignatureDrift
from proxy.observe.history import History, Read
from proxy.observe.problem import ALL, Filter, Problem
from proxy.observe.problems import Problems
from proxy.observe.refusals import Refusal
from proxy.observe.suspects import Death


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of readiness; `text` says what is seen."""

    name: str
    ok: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class ModelListing:
    """What is known of one model: its versions' states and the servables that requests are judged by."""

    name: str
    versions: tuple[VersionStatus, ...] = ()
    servables: tuple[Servable, ...] = ()
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting. `value` is what JSON can say, `origin` where it comes from (flag, file, ...)."""

    name: str
    value: Any
    origin: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class WorkerListing:
    """One of several workers: what its supervisor sees, and what it says of itself (None: it does not answer)."""

    worker: int
    state: str
    pid: int | None
    started_again: int
    connections: int | None
    in_flight: int | None


def shown_settings(
    values: Mapping[str, Any], origins: Mapping[str, str], meanings: Mapping[str, str]
) -> Iterable[Setting]:
    """Settings as plain values by name, each with its origin and what it means."""
    return [
        Setting(name, value, origins.get(name, "default"), meanings.get(name, ""))
        for name, value in values.items()
    ]


class KnownProblems(Protocol):
    """The problems of one proxy, or of several workers together."""

    @property
    def revision(self) -> int:
        """Another one when something may have changed."""

    def select(self, asked: Filter = ALL) -> list[Problem]:
        """The problems that are asked for, those seen last first."""

    def get(self, problem: str) -> Problem | None:
        """The problem of this id."""


async def _nothing_to_ask(_: str) -> None: ...


async def _nobody_judges(_message: bytes, _send: bool) -> None: ...


async def _keep_level(_: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the admin port gets what it shows; each is called per request, on the event loop, and quick.

    `ask` is awaited first, with the path that was asked for: whoever shows what others know asks them there.
    """

    readiness: Callable[[], Sequence[Check]]
    models: Callable[[], Iterable[ModelListing]]
    refusals: Callable[[], Iterable[Refusal]]
    settings: Callable[[], Iterable[Setting]] | None = None
    """None: /api/config does not exist."""
    suspects: Callable[[], Iterable[Death]] = tuple
    workers: Callable[[], Iterable[WorkerListing]] | None = None
    """None: there is one process, and /api/workers does not exist."""
    ask: Callable[[str], Awaitable[None]] = _nothing_to_ask
    serving: Serving = field(default_factory=Serving)
    upstreams: Callable[[], Iterable[Upstream]] = tuple
    families: Read = lambda _: ()
    """The metrics of these names as they are now."""
    problems: KnownProblems = field(default_factory=Problems)
    history: History = field(default_factory=lambda: History(lambda _: ()))
    drifts: Callable[[], Iterable[SignatureDrift]] = tuple
    attempt: Callable[[bytes, bool], Awaitable[Mapping[str, Any] | None]] = _nobody_judges
    """Judges a request that a person tries, and where the second is true sends it; None: nobody answers."""
    try_send: bool = False
    """Whether such a request may be sent to the server."""
    set_log_level: Callable[[str], Awaitable[None]] = _keep_level


def readiness_text(checks: Iterable[Check]) -> str:
    """One line per condition, the way Kubernetes components write `/readyz?verbose`."""
    lines = [
        f"[{'+' if check.ok else '-'}]{check.name} {'ok' if check.ok else 'failed'}"
        + (f": {check.text}" if check.text else "")
        for check in checks
    ]
    # Names are the operator's, errors the server's; neither may make a line of its own.
    return "\n".join(map(printable, lines))


def model_json(model: ModelListing) -> dict[str, Any]:
    """One model as /api/models shows it; shapes are lists with -1 for any size, null for any rank."""
    return {
        "name": model.name,
        "mode": model.mode,
        "versions": [
            {"version": status.version, "state": status.state, "error": status.error_message}
            for status in model.versions
        ],
        "signatures": {
            str(servable.version): {
                name: _signature_json(signature) for name, signature in sorted(servable.signatures.items())
            }
            for servable in model.servables
        },
    }


def _signature_json(signature: Signature) -> dict[str, Any]:
    return {
        "method": signature.method,
        "inputs": _tensors_json(signature.inputs),
        "outputs": _tensors_json(signature.outputs),
    }


def _tensors_json(tensors: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {
        alias: {"dtype": dtype_name(spec.dtype), "shape": None if spec.shape is None else list(spec.shape)}
        for alias, spec in sorted(tensors.items())
    }
