"""The one decision point: request bytes → Admit or Refuse.

Law: the same gate serves every edge and the `check` command. It never raises and never changes a byte. A request
goes on unjudged only for a reason in `Unjudged`, none of which a client can bring about; what contradicts the last
known signature, or has none, and cannot be confirmed is refused for the moment and worth a retry. A refusal for
good is never based on stale metadata: it is confirmed once first.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from time import monotonic, perf_counter
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from proxy.core.availability import Absence, Unanswered, judge_absence
from proxy.core.bounds import MAX_FIELDS, too_complex
from proxy.core.freshness import DEFAULT_LIMITS
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.types import CLASSIFY_METHOD, REGRESS_METHOD, ModelKey, RequestView, Servable
from proxy.core.unconfirmed import unavailable, unconfirmed
from proxy.core.validate import batch_size, judge, judge_method, judge_spec, with_values
from proxy.core.values import judge_values
from proxy.core.verdict import Verdict, Violation
from proxy.upstream.signatures import Answer, Lookup
from proxy.wire.fields import MalformedRequestError, TooComplexError, UnusualError
from proxy.wire.pieces import Pieces
from proxy.wire.request import (
    AT_ONCE,
    parse_classify,
    parse_multi_inference,
    parse_predict,
    parse_predict_at_once,
    parse_regress,
)
from proxy.wire.skeleton import Key as SkeletonKey
from proxy.wire.skeleton import Skeleton, key_of, skeleton_of
from proxy.wire.status import Status, status_of
from proxy.wire.values import require_numpy, value_facts

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"

METADATA_PATIENCE: Final = DEFAULT_LIMITS.patience
"""Seconds that a request waits at most for metadata, from when it first has to."""

_Parts = Sequence[tuple[RequestView, str | None]]

_EXHAUSTED: Final = (MemoryError, RecursionError)
"""What a request can exhaust is no fault of ours that would let it through."""


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


def _read_at_once(method: str, message: bytes) -> _Parts:
    """Read what takes no longer than a glance; raises UnusualError for the rest."""
    if method == PREDICT:
        return ((parse_predict_at_once(message), None),)
    if len(message) > AT_ONCE:
        raise UnusualError
    return _PARSERS[method](message)


JUDGED_METHODS: Final = frozenset(_PARSERS)
"""Full paths of the methods that the gate judges; every other one is only relayed."""


class Unjudged(Enum):
    """Why a request goes on without having been judged; nothing that a client sends is among the reasons."""

    BY_POLICY = auto()
    """The operator wants it so: mode `off`, or the severity of what would have been said."""
    KEPT_UNKNOWN = auto()
    """The server answers, has no metadata to give for this key, and never gave any."""
    FAULT = auto()
    """A fault of our own: it must not break traffic."""


@dataclass(slots=True)
class Admit:
    """Forward the request.

    `verdict` carries warnings and what it was judged against (None: not judged, see `unjudged`). `would_refuse`
    is what `observe` mode let through.
    """

    view: RequestView | None = None
    verdict: Verdict | None = None
    would_refuse: tuple[Violation, ...] = ()
    batch_size: int | None = None
    unjudged: Unjudged | None = None
    sample: bytes | None = field(default=None, repr=False)
    """The message itself, where the request was chosen to be recorded (see capture/)."""
    watched: bytes | None = field(default=None, repr=False)
    """The same, where the answer to it was chosen to be looked at."""
    value_seconds: float | None = None
    """What the look at its values took (None: there was none)."""

    @property
    def failed(self) -> bool:
        """It should have been judged and could not be."""
        return self.unjudged is not None and self.unjudged is not Unjudged.BY_POLICY


@dataclass(slots=True)
class Refuse:
    """Answer with `status` instead of forwarding. `view` is None when the request could not be read.

    `unasked` says why the server did not tell what there is to judge by, where it did not. What stands in the way
    to it, or a deadline, is then the truer cause, which the edge knows.
    """

    view: RequestView | None
    verdict: Verdict
    status: Status
    value_seconds: float | None = None
    unasked: Unanswered | None = None

    @property
    def never_known(self) -> bool:
        """Whether nothing was ever known that the request could contradict."""
        return self.verdict.violations[0].reason is Reason.SIGNATURE_UNAVAILABLE


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

    async def lookup(self, key: ModelKey, timeout: float | None, client: Hashable) -> Answer: ...

    async def recheck(
        self, key: ModelKey, seen: Lookup, timeout: float | None, arrived: float, client: Hashable
    ) -> Answer: ...


class _Asker:
    """Who waits, and how long still: the whole of METADATA_PATIENCE from when it first has to, since reading
    a long message takes time too; and no longer than its caller's `timeout`, which runs from the start.
    """

    __slots__ = ("_ends", "_waits_until", "arrived", "client")

    def __init__(self, timeout: float | None, client: Hashable) -> None:
        self.arrived = monotonic()
        self.client = client
        self._ends = inf if timeout is None else self.arrived + timeout
        self._waits_until: float | None = None

    def left(self) -> float:
        """Seconds."""
        now = monotonic()
        if self._waits_until is None:
            self._waits_until = min(self._ends, now + METADATA_PATIENCE)
        return max(0.0, self._waits_until - now)


class Gate:
    """Judges messages of the methods in JUDGED_METHODS against the live signatures."""

    def __init__(self, signatures: Signatures, policies: Policies) -> None:
        self._signatures = signatures
        self._policies = policies
        self._once: set[SkeletonKey] = set()
        self._known: dict[SkeletonKey, _Known | None] = {}
        self._seen = 0
        # What takes long to read is read in a thread, one message at a time: they would only share one interpreter.
        self._reading = asyncio.Semaphore()
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
            view = parse_predict_at_once(message)
            key = view.key
            if key is None or not key.model:
                return None
            policy = self._policies.of(key.model)
            if policy.mode is Mode.OFF:
                return Admit(unjudged=Unjudged.BY_POLICY)
            servable = self._signatures.peek(key)
            if servable is None:
                return None
            verdict = judge(view, servable, policy)
            if policy.looks_at_values and not verdict.violations:
                return self._decided_with_values(view, verdict, message, policy)
        except (MalformedRequestError, TooComplexError, UnusualError, *_EXHAUSTED):
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
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
        except (MalformedRequestError, TooComplexError, UnusualError, *_EXHAUSTED):
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
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

    async def judge(
        self, method: str, message: bytes, timeout: float | None = None, client: Hashable = None
    ) -> Decision:
        """Decide, waiting at most `timeout` seconds (and never longer than METADATA_PATIENCE) for metadata.

        `client` is whoever sent it: what one client asks for in vain does not keep others from asking.
        """
        asker = _Asker(timeout, client)
        return await self._judge_read(
            lambda: _read_at_once(method, message), lambda: _PARSERS[method](message), message, asker
        )

    async def judge_view(
        self, read: Callable[[], RequestView], timeout: float | None = None, client: Hashable = None
    ) -> Decision:
        """Decide like `judge` on a PredictRequest whose payloads were not kept: values are not looked at."""

        def parts() -> _Parts:
            return ((read(), None),)

        return await self._judge_read(parts, parts, None, _Asker(timeout, client))

    async def _judge_read(
        self,
        at_once: Callable[[], _Parts],
        read: Callable[[], _Parts],
        message: bytes | None,
        asker: _Asker,
    ) -> Decision:
        try:
            try:
                parts = at_once()
            except UnusualError:
                async with self._reading:
                    parts = await _beside(read)
        except MalformedRequestError as error:
            return self._unreadable(_malformed(str(error)), self._policies.default)
        except TooComplexError as error:
            return self.unread(too_complex(error.what, error.limit))
        except _EXHAUSTED:
            return self.unread(too_complex("fields", MAX_FIELDS))
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
        admitted = Admit()
        for view, task in parts:
            try:
                decision = await self._judge_part(view, task, message, asker)
            except Exception:  # noqa: BLE001  a fault of ours must not break traffic
                decision = Admit(unjudged=Unjudged.FAULT)
            if isinstance(decision, Refuse):
                return decision
            # Of several tasks the first with something to tell speaks for all.
            if not (admitted.would_refuse or admitted.failed):
                admitted = decision
        return admitted

    async def _judge_part(
        self, view: RequestView, task: str | None, message: bytes | None, asker: _Asker
    ) -> Decision:
        policy = self._policies.of(view.key.model if view.key else "")
        if policy.mode is Mode.OFF:
            return Admit(unjudged=Unjudged.BY_POLICY)
        nameless = judge_spec(view, policy)
        if nameless is not None:
            return _decided(view, nameless, policy)
        key = view.key
        if key is None or not key.model:
            return Admit(view)
        signatures = self._signatures
        seen: Answer | None = signatures.peek(key)
        if seen is None:
            seen = await signatures.lookup(key, asker.left(), asker.client)
        if isinstance(seen, Unanswered):
            return _unasked(view, key, seen, policy)
        verdict = _verdict(view, task, seen, policy)
        if verdict is None:
            return _unasked(view, key, _CONTRADICTORY, policy)
        if verdict.violations:
            fresh = await signatures.recheck(key, seen, asker.left(), asker.arrived, asker.client)
            if isinstance(fresh, Unanswered):
                servable = seen if isinstance(seen, Servable) else None
                return _decided(view, _weighed(unconfirmed(verdict, servable), policy), policy, fresh)
            if fresh is not seen:
                verdict = _verdict(view, task, fresh, policy)
                if verdict is None:
                    return _unasked(view, key, _CONTRADICTORY, policy)
        if policy.looks_at_values and task is None and verdict.signature and not verdict.violations:
            if message is None:
                return Admit(view, verdict, batch_size=batch_size(view), unjudged=Unjudged.FAULT)
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

    def unread(self, verdict: Verdict) -> Decision:
        """Decide on a request that the server can read and nobody here will: it may be for any model."""
        return self._unreadable(verdict, self._policies.strictest)

    def _unreadable(self, verdict: Verdict, policy: Policy) -> Decision:
        """What is decided on a request that does not show its model."""
        if policy.mode is Mode.OFF:
            return Admit(unjudged=Unjudged.BY_POLICY)
        return _decided(None, _weighed(verdict, policy), policy)


async def _beside(read: Callable[[], _Parts]) -> _Parts:
    """Read in a thread, or, where the system gives none, while everybody waits."""
    try:
        return await asyncio.to_thread(read)
    except RuntimeError:
        return read()


def _malformed(text: str) -> Verdict:
    violation = Violation(
        Reason.REQUEST_MALFORMED,
        "",
        "message",
        "a serialised request of the method's type",
        f"bytes that are {text}",
    )
    return Verdict(violations=(violation,))


_CONTRADICTORY: Final = Unanswered("answers of the server that contradict one another")


def _verdict(view: RequestView, task: str | None, seen: Lookup, policy: Policy) -> Verdict | None:
    if isinstance(seen, Absence):
        return judge_absence(seen, policy.severities)
    if task is None:
        return judge(view, seen, policy)
    return judge_method(view, seen, policy, task)


def _unasked(view: RequestView, key: ModelKey, answer: Unanswered, policy: Policy) -> Decision:
    """What is decided on a request for a servable of which nothing is known, and nothing to be had now."""
    if answer.kept:
        return Admit(view, unjudged=Unjudged.KEPT_UNKNOWN)
    return _decided(view, _weighed(unavailable(key, answer.why), policy), policy, answer)


def _weighed(verdict: Verdict, policy: Policy) -> Verdict:
    """The verdict with its one violation as the policy takes it."""
    (violation,) = verdict.violations
    severity = policy.severities[violation.reason]
    if severity is Severity.REFUSE:
        return verdict
    return verdict._replace(violations=(), warnings=(violation,) if severity is Severity.WARN else ())


def _decided(
    view: RequestView | None, verdict: Verdict, policy: Policy, unasked: Unanswered | None = None
) -> Decision:
    size = batch_size(view) if view is not None else None
    if not verdict.violations:
        judged = view is not None and unasked is None
        return Admit(view, verdict, batch_size=size, unjudged=None if judged else Unjudged.BY_POLICY)
    if policy.mode is Mode.OBSERVE:
        return Admit(view, verdict, verdict.violations, size)
    return Refuse(view, verdict, status_of(verdict), unasked=unasked)
