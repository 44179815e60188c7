"""The one decision point: request bytes → Admit or Refuse.

Law: the same gate serves every edge and the `check` command. It never raises and never changes a byte. When
judgement cannot be made (metadata out of reach, contradicting answers, a fault of our own), the request is
admitted and says so: fail open. A refusal is never based on stale metadata: it is confirmed once first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from proxy.core.availability import Absence, judge_absence
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.types import CLASSIFY_METHOD, REGRESS_METHOD, ModelKey, RequestView, Servable
from proxy.core.validate import batch_size, judge, judge_method, judge_spec, with_values
from proxy.core.values import judge_values
from proxy.core.verdict import Verdict, Violation
from proxy.upstream.signatures import Lookup
from proxy.wire.pieces import Pieces
from proxy.wire.request import (
    MalformedRequestError,
    UnusualError,
    parse_classify,
    parse_multi_inference,
    parse_predict,
    parse_regress,
)
from proxy.wire.skeleton import Key as SkeletonKey
from proxy.wire.skeleton import Skeleton, key_of, skeleton_of
from proxy.wire.status import Status, status_of
from proxy.wire.values import require_numpy, value_facts

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"

METADATA_PATIENCE: Final = 2.0
"""Seconds that a request waits at most for metadata before it is forwarded unjudged."""

_Parts = Sequence[tuple[RequestView, str | None]]


def _parse_predict(message: bytes) -> _Parts:
    return ((parse_predict(message), None),)


def _parse_classify(message: bytes) -> _Parts:
    return ((parse_classify(message), CLASSIFY_METHOD),)


def _parse_regress(message: bytes) -> _Parts:
    return ((parse_regress(message), REGRESS_METHOD),)


_PARSERS: Final[MappingProxyType[str, Callable[[bytes], _Parts]]] = MappingProxyType(
    {
        PREDICT: _parse_predict,
        "/tensorflow.serving.PredictionService/Classify": _parse_classify,
        "/tensorflow.serving.PredictionService/Regress": _parse_regress,
        "/tensorflow.serving.PredictionService/MultiInference": parse_multi_inference,
    }
)

JUDGED_METHODS: Final = frozenset(_PARSERS)
"""Full paths of the methods that the gate judges; every other one is only relayed."""


@dataclass(slots=True)
class Admit:
    """Forward the request.

    `verdict` carries warnings and what it was judged against (None: not judged). `would_refuse` is what
    `observe` mode let through. `failed`: it should have been judged and could not be.
    """

    view: RequestView | None = None
    verdict: Verdict | None = None
    would_refuse: tuple[Violation, ...] = ()
    batch_size: int | None = None
    failed: bool = False
    sample: bytes | None = field(default=None, repr=False)
    """The message itself, where the request was chosen to be recorded (see capture/)."""
    watched: bytes | None = field(default=None, repr=False)
    """The same, where the answer to it was chosen to be looked at."""
    value_seconds: float | None = None
    """What the look at its values took (None: there was none)."""


@dataclass(slots=True)
class Refuse:
    """Answer with `status` instead of forwarding. `view` is None when the request could not be read."""

    view: RequestView | None
    verdict: Verdict
    status: Status
    value_seconds: float | None = None


Decision = Admit | Refuse

_MAX_KNOWN: Final = 512


class _Known(NamedTuple):
    """A request that was admitted without a look at its values, and on what grounds; holds no payload."""

    skeleton: Skeleton
    key: ModelKey
    servable: Servable
    decision: Admit


class Signatures(Protocol):
    """Where the gate finds servables: the cache of the live ones (see SignatureCache), or one from disk."""

    def peek(self, key: ModelKey) -> Servable | None: ...

    async def lookup(self, key: ModelKey, timeout: float | None) -> Lookup | None: ...

    async def recheck(
        self, key: ModelKey, seen: Lookup, timeout: float | None, arrived: float
    ) -> Lookup | None: ...


class Gate:
    """Judges messages of the methods in JUDGED_METHODS against the live signatures."""

    def __init__(self, signatures: Signatures, policies: Policies) -> None:
        self._signatures = signatures
        self._policies = policies
        self._once: set[SkeletonKey] = set()
        self._known: dict[SkeletonKey, _Known | None] = {}
        self._seen = 0
        if any(each.looks_at_values for each in (policies.default, *policies.models.values())):
            require_numpy()

    def judge_now(self, method: str, message: bytes | Pieces) -> Decision | None:
        """Decide without waiting: the common case of a good request on a known servable.

        None means that `judge` must be awaited. Pieces are put together only where the request is not known.
        """
        if method != PREDICT:
            return None
        try:
            seen = key_of(message)
            known = self._known.get(seen) if seen is not None else None
            if (
                known is not None
                and known.skeleton.fits(message)
                and self._signatures.peek(known.key) is known.servable
            ):
                return known.decision
            message = bytes(message)
            view = parse_predict(message)
            key = view.key
            if key is None or not key.model:
                return None
            policy = self._policies.of(key.model)
            if policy.mode is Mode.OFF:
                return Admit()
            servable = self._signatures.peek(key)
            if servable is None:
                return None
            verdict = judge(view, servable, policy)
            if policy.looks_at_values and not verdict.violations:
                return self._decided_with_values(view, verdict, message, policy)
        except MalformedRequestError:
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(failed=True)
        if verdict.violations:
            return None
        decision = Admit(view, verdict, batch_size=batch_size(view))
        if seen is not None:
            self._remember(seen, message, servable, key, decision)
        return decision

    def judge_view_now(self, read: Callable[[], RequestView]) -> Admit | None:
        """Decide like `judge_now` on a PredictRequest of which not all is there, or not all was kept.

        None: not now, or not without its values. `read` may raise MalformedRequestError or UnusualError.
        """
        try:
            view = read()
            key = view.key
            if key is None or not key.model:
                return None
            policy = self._policies.of(key.model)
            servable = self._signatures.peek(key)
            if servable is None or policy.mode is Mode.OFF or policy.looks_at_values:
                return None
            verdict = judge(view, servable, policy)
        except (MalformedRequestError, UnusualError):
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(failed=True)
        return None if verdict.violations else Admit(view, verdict, batch_size=batch_size(view))

    def _remember(
        self, seen: SkeletonKey, message: bytes, servable: Servable, key: ModelKey, decision: Admit
    ) -> None:
        """Clients repeat themselves: after its second time, only the payload of a request is new to us."""
        if seen in self._known:
            known = self._known[seen]
            if known is None or known.servable is servable:  # it has no skeleton, or several share a key
                return
        elif seen not in self._once:
            if len(self._once) >= _MAX_KNOWN:
                self._once.clear()
                self._known.clear()
            self._once.add(seen)
            return
        skeleton = skeleton_of(message)
        self._known[seen] = None if skeleton is None else _Known(skeleton, key, servable, decision)

    async def judge(self, method: str, message: bytes, timeout: float | None = None) -> Decision:
        """Decide, waiting at most `timeout` seconds (and never longer than METADATA_PATIENCE) for metadata."""
        arrived = monotonic()
        deadline = arrived + (METADATA_PATIENCE if timeout is None else min(timeout, METADATA_PATIENCE))
        try:
            parts = _PARSERS[method](message)
        except MalformedRequestError as error:
            return self._malformed(str(error))
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(failed=True)
        return await self._judge_parts(parts, message, arrived, deadline)

    async def judge_view(self, read: Callable[[], RequestView], timeout: float | None = None) -> Decision:
        """Decide like `judge` on a PredictRequest whose payloads were not kept: values are not looked at."""
        arrived = monotonic()
        deadline = arrived + (METADATA_PATIENCE if timeout is None else min(timeout, METADATA_PATIENCE))
        try:
            view = read()
        except MalformedRequestError as error:
            return self._malformed(str(error))
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(failed=True)
        return await self._judge_parts(((view, None),), None, arrived, deadline)

    async def _judge_parts(
        self, parts: _Parts, message: bytes | None, arrived: float, deadline: float
    ) -> Decision:
        admitted = Admit()
        for view, task in parts:
            try:
                decision = await self._judge_part(view, task, message, arrived, deadline)
            except Exception:  # noqa: BLE001  a fault of ours must not break traffic
                decision = Admit(failed=True)
            if isinstance(decision, Refuse):
                return decision
            # Of several tasks the first with something to tell speaks for all.
            if not (admitted.would_refuse or admitted.failed):
                admitted = decision
        return admitted

    async def _judge_part(
        self, view: RequestView, task: str | None, message: bytes | None, arrived: float, deadline: float
    ) -> Decision:
        policy = self._policies.of(view.key.model if view.key else "")
        if policy.mode is Mode.OFF:
            return Admit()
        nameless = judge_spec(view, policy)
        if nameless is not None:
            return _decided(view, nameless, policy)
        key = view.key
        if key is None or not key.model:
            return Admit(view)
        seen: Lookup | None = self._signatures.peek(key)
        if seen is None:
            seen = await self._signatures.lookup(key, max(0.0, deadline - monotonic()))
        verdict = _verdict(view, task, seen, policy)
        if seen is not None and verdict is not None and verdict.violations:
            left = max(0.0, deadline - monotonic())
            fresh = await self._signatures.recheck(key, seen, left, arrived)
            if fresh is not seen:
                verdict = _verdict(view, task, fresh, policy)
        if verdict is None:
            return Admit(view, failed=True)
        if policy.looks_at_values and task is None and verdict.signature and not verdict.violations:
            if message is None:
                return Admit(view, verdict, batch_size=batch_size(view), failed=True)
            return self._decided_with_values(view, verdict, message, policy)
        return _decided(view, verdict, policy)

    def _decided_with_values(
        self, view: RequestView, verdict: Verdict, message: bytes, policy: Policy
    ) -> Decision:
        """Look at the values of every so many requests; only what fits its signature gets here."""
        self._seen += 1
        if self._seen % policy.sample:
            return _decided(view, verdict, policy)
        began = perf_counter()
        verdict = with_values(verdict, judge_values(value_facts(message), policy.inputs), policy)
        seconds = perf_counter() - began
        decision = _decided(view, verdict, policy)
        decision.value_seconds = seconds
        return decision

    def _malformed(self, text: str) -> Decision:
        violation = Violation(
            Reason.REQUEST_MALFORMED,
            "",
            "message",
            "a serialised request of the method's type",
            f"bytes that are {text}",
        )
        policy = self._policies.default
        severity = policy.severities[Reason.REQUEST_MALFORMED]
        if policy.mode is Mode.OFF or severity is Severity.OFF:
            return Admit()
        if severity is Severity.WARN:
            return Admit(verdict=Verdict(warnings=(violation,)))
        return _decided(None, Verdict(violations=(violation,)), policy)


def _verdict(view: RequestView, task: str | None, seen: Lookup | None, policy: Policy) -> Verdict | None:
    if seen is None:
        return None
    if isinstance(seen, Absence):
        return judge_absence(seen, policy.severities)
    if task is None:
        return judge(view, seen, policy)
    return judge_method(view, seen, policy, task)


def _decided(view: RequestView | None, verdict: Verdict, policy: Policy) -> Decision:
    size = batch_size(view) if view is not None else None
    if not verdict.violations:
        return Admit(view, verdict, batch_size=size)
    if policy.mode is Mode.OBSERVE:
        return Admit(view, verdict, verdict.violations, size)
    return Refuse(view, verdict, status_of(verdict))
