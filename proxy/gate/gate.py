"""The one decision point: request bytes → Admit or Refuse.

Law: the same gate serves every edge and the `check` command. It never raises and never changes a byte. A request
goes on unjudged only for a reason in `Unjudged`, none of which a client can bring about; what contradicts the last
known signature, or has none, and cannot be confirmed is refused for the moment and worth a retry. A refusal for
good is never based on stale metadata: it is confirmed once first. What a signature leaves open, whether its inputs
have a batch in common, is learnt from the server's answers (`learn`), for that version and signature alone.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from time import monotonic, perf_counter
from typing import Final, NamedTuple, Protocol

from proxy.core.availability import Absence, Unanswered, judge_absence
from proxy.core.bounds import MAX_FIELDS, too_complex
from proxy.core.explain import quote
from proxy.core.freshness import DEFAULT_LIMITS
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.types import ModelKey, RequestView, Servable, Signature
from proxy.core.unconfirmed import unavailable, unconfirmed
from proxy.core.validate import batch_size, judge, judge_method, judge_spec, with_values
from proxy.core.values import judge_values
from proxy.core.verdict import Verdict, Violation
from proxy.gate.decision import Admit, Decision, Refuse, Unjudged
from proxy.gate.reading import PARSERS, PREDICT, Part, Parts, Reading, read_at_once
from proxy.gate.turns import Client, Slices
from proxy.upstream.signatures import Answer, Lookup
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.pieces import Pieces
from proxy.wire.request import parse_predict_at_once
from proxy.wire.skeleton import Key as SkeletonKey
from proxy.wire.skeleton import Skeleton, key_of, skeleton_of
from proxy.wire.status import status_of
from proxy.wire.values import require_numpy, value_facts
from proxy.wire.wire_format import UnusualError

METADATA_PATIENCE: Final = DEFAULT_LIMITS.patience
"""Seconds that a request waits at most for metadata, from when it first has to."""

_EXHAUSTED: Final = (MemoryError, RecursionError)
"""What a request can exhaust is no fault of ours that would let it through."""


_MAX_KNOWN: Final = 512

_MAX_INDEPENDENT: Final = 1024
"""Signatures of which is remembered that their inputs have no batch in common; each is one that the server has."""

_GO_ON_AT_ONCE: Final = 16
"""Requests that are judged in one turn of the loop, of those that have to wait: many have waited for the same."""


class _Known(NamedTuple):
    """A request that was admitted without a look at its values, and on what grounds; holds no payload."""

    skeleton: Skeleton
    key: ModelKey
    servable: Servable
    decision: Admit


class Signatures(Protocol):
    """Where the gate finds servables: the cache of the live ones (see SignatureCache), or one from disk."""

    def peek(self, key: ModelKey) -> Servable | None: ...

    async def lookup(self, key: ModelKey, timeout: float | None, client: Client) -> Answer: ...

    async def recheck(
        self, key: ModelKey, seen: Lookup, timeout: float | None, arrived: float, client: Client
    ) -> Answer: ...


class _Asker:
    """Who waits, and how long still: the whole of METADATA_PATIENCE from when it first has to, since reading
    a long message takes time too; and no longer than its caller's `timeout`, which runs from the start.
    """

    __slots__ = ("_ends", "_waits_until", "arrived", "client")

    def __init__(self, timeout: float | None, client: Client) -> None:
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
        self._independent: dict[tuple[str, int, str], Signature] = {}
        self._seen = 0
        self._reading = Reading()
        self._going_on = Slices(_GO_ON_AT_ONCE)
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
            verdict = self._judged(view, servable, policy)
            if policy.looks_at_values and not verdict.violations:
                return self._decided_with_values(view, verdict, message, policy, servable)
        except (MalformedRequestError, TooComplexError, UnusualError, *_EXHAUSTED):
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
        if verdict.violations:
            return None
        decision = Admit(view, verdict, batch_size=batch_size(view), servable=servable)
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
            verdict = self._judged(view, servable, policy)
        except (MalformedRequestError, TooComplexError, UnusualError, *_EXHAUSTED):
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
        if verdict.violations:
            return None
        return Admit(view, verdict, batch_size=batch_size(view), servable=servable)

    def still_holds(self, decision: Admit) -> bool:
        """Whether a request that `judge_view_now` admitted would be judged by the same signature now."""
        view = decision.view
        if decision.servable is None or view is None or view.key is None:
            return False
        return self._signatures.peek(view.key) is decision.servable

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
        self, method: str, message: bytes, timeout: float | None = None, client: Client = ()
    ) -> Decision:
        """Decide, waiting at most `timeout` seconds (and never longer than METADATA_PATIENCE) for metadata.

        `client` is whoever sent it: what one client asks for in vain, or has read, does not keep others waiting.
        """
        asker = _Asker(timeout, client)
        return await self._judge_read(
            lambda: read_at_once(method, message), lambda: PARSERS[method](message), message, asker
        )

    async def judge_view(
        self, read: Callable[[], RequestView], timeout: float | None = None, client: Client = ()
    ) -> Decision:
        """Decide like `judge` on a PredictRequest whose payloads were not kept: values are not looked at."""

        def parts() -> Parts:
            return (Part(read()),)

        return await self._judge_read(parts, parts, None, _Asker(timeout, client))

    async def _judge_read(
        self,
        at_once: Callable[[], Parts],
        read: Callable[[], Parts],
        message: bytes | None,
        asker: _Asker,
    ) -> Decision:
        await self._going_on.turn(asker.client)
        try:
            try:
                parts = at_once()
            except UnusualError:
                parts = await self._reading.read(read, len(message or b""), asker.client)
        except MalformedRequestError as error:
            return self.unread(_malformed(str(error)))
        except TooComplexError as error:
            return self.unread(too_complex(error.what, error.limit))
        except _EXHAUSTED:
            return self.unread(too_complex("fields", MAX_FIELDS))
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
        admitted = Admit()
        for part in parts:
            try:
                decision = await self._judge_part(part, message, asker)
            except Exception:  # noqa: BLE001  a fault of ours must not break traffic
                decision = Admit(unjudged=Unjudged.FAULT)
            # TF Serving stops at the first bad task.
            if isinstance(decision, Refuse) or decision.would_refuse:
                return decision
            admitted = _together(admitted, decision)
        return admitted

    async def _judge_part(self, part: Part, message: bytes | None, asker: _Asker) -> Decision:
        view = part.view
        policy = self._policies.of(view.key.model if view.key else "")
        if policy.mode is Mode.OFF:
            return Admit(unjudged=Unjudged.BY_POLICY)
        nameless = judge_spec(view, policy)
        if nameless is not None:
            return _decided(view, _of_task(nameless, part), policy)
        key = view.key
        assert key is not None
        signatures = self._signatures
        seen: Answer | None = signatures.peek(key)
        if seen is None:
            seen = await signatures.lookup(key, asker.left(), asker.client)
            await self._going_on.turn(asker.client)
        if isinstance(seen, Unanswered):
            return _unasked(part, key, seen, policy)
        verdict = self._verdict(part, seen, policy)
        if verdict is None:
            return _unasked(part, key, _CONTRADICTORY, policy)
        if verdict.violations:
            fresh = await signatures.recheck(key, seen, asker.left(), asker.arrived, asker.client)
            await self._going_on.turn(asker.client)
            if isinstance(fresh, Unanswered):
                last = seen if isinstance(seen, Servable) else None
                return _decided(view, _weighed(unconfirmed(verdict, last), policy), policy, unasked=fresh)
            if fresh is not seen:
                verdict = self._verdict(part, fresh, policy)
                seen = fresh
                if verdict is None:
                    return _unasked(part, key, _CONTRADICTORY, policy)
        servable = seen if isinstance(seen, Servable) else None
        if policy.looks_at_values and part.method is None and verdict.signature and not verdict.violations:
            if message is None:
                return Admit(view, verdict, batch_size=batch_size(view), unjudged=Unjudged.FAULT)
            return self._decided_with_values(view, verdict, message, policy, servable)
        return _decided(view, verdict, policy, servable)

    def _verdict(self, part: Part, seen: Lookup, policy: Policy) -> Verdict | None:
        verdict: Verdict | None
        if isinstance(seen, Absence):
            verdict = judge_absence(seen, policy.severities)
        elif part.method is None:
            verdict = self._judged(part.view, seen, policy)
        else:
            verdict = judge_method(part.view, seen, policy, part.method)
        return None if verdict is None else _of_task(verdict, part)

    def _judged(self, view: RequestView, servable: Servable, policy: Policy) -> Verdict:
        return judge(view, servable, policy, independent=self.are_independent(view, servable))

    def are_independent(self, view: RequestView, servable: Servable) -> bool:
        """Whether the server has shown that the inputs of the signature asked for have no batch in common."""
        if not self._independent:
            return False
        signature = servable.signature(view.signature)
        if signature is None:
            return False
        return self._independent.get((servable.model, servable.version, signature.name)) == signature

    def learn(self, decision: Admit) -> None:
        """The server has answered OK to what was `unsettled`: its inputs need not agree."""
        servable, view = decision.servable, decision.view
        if servable is None or view is None or self.are_independent(view, servable):
            return
        signature = servable.signature(view.signature)
        if signature is None:
            return
        if len(self._independent) >= _MAX_INDEPENDENT:
            del self._independent[next(iter(self._independent))]
        self._independent[servable.model, servable.version, signature.name] = signature
        # What is remembered would go on warning.
        self._once.clear()
        self._known.clear()

    def _decided_with_values(
        self, view: RequestView, verdict: Verdict, message: bytes, policy: Policy, servable: Servable | None
    ) -> Decision:
        """Look at the values of every so many requests; only what fits its signature gets here."""
        self._seen += 1
        if self._seen % policy.sample:
            return _decided(view, verdict, policy, servable)
        began = perf_counter()
        verdict = with_values(verdict, judge_values(value_facts(message), policy.inputs), policy)
        seconds = perf_counter() - began
        decision = _decided(view, verdict, policy, servable)
        decision.value_seconds = seconds
        return decision

    def unread(self, verdict: Verdict) -> Decision:
        """Decide on a request that nobody here can or will read: it may be for any model, and the server may read it."""
        return _without_view(verdict, self._policies.strictest)

    def of_no_model(self, verdict: Verdict) -> Decision:
        """Decide on a call that is about no model, by what holds for all."""
        return _without_view(verdict, self._policies.default)


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


def _unasked(part: Part, key: ModelKey, answer: Unanswered, policy: Policy) -> Decision:
    """What is decided on a request for a servable of which nothing is known, and nothing to be had now."""
    if answer.kept:
        return Admit(part.view, unjudged=Unjudged.KEPT_UNKNOWN)
    verdict = _of_task(unavailable(key, answer.why), part)
    return _decided(part.view, _weighed(verdict, policy), policy, unasked=answer)


def _of_task(verdict: Verdict, part: Part) -> Verdict:
    """The verdict on one of several tasks: which one, and of which model where its words do not name it."""
    if part.task is None:
        return verdict
    task = f"tasks[{part.task}]"
    model = quote(part.view.key.model) if part.view.key is not None and part.view.key.model else ""

    def placed(each: Violation) -> Violation:
        named = task if model in f"{each.where} {each.got}" else f"{task} (model {model})"
        return replace(each, field=f"{task}.{each.field}", where=f"{named}, {each.where}")

    return verdict._replace(
        violations=tuple(map(placed, verdict.violations)), warnings=tuple(map(placed, verdict.warnings))
    )


def _together(first: Admit, second: Admit) -> Admit:
    """What is told of tasks that are admitted: that one could not be judged, else the warnings of all."""
    if first.failed or second.failed:
        return first if first.failed else second
    if first.verdict is None or second.verdict is None or not first.verdict.warnings:
        return second
    warnings = first.verdict.warnings + second.verdict.warnings
    return replace(second, verdict=second.verdict._replace(warnings=warnings))


def _weighed(verdict: Verdict, policy: Policy) -> Verdict:
    """The verdict with its one violation as the policy takes it."""
    (violation,) = verdict.violations
    severity = policy.severities[violation.reason]
    if severity is Severity.REFUSE:
        return verdict
    return verdict._replace(violations=(), warnings=(violation,) if severity is Severity.WARN else ())


def _without_view(verdict: Verdict, policy: Policy) -> Decision:
    if policy.mode is Mode.OFF:
        return Admit(unjudged=Unjudged.BY_POLICY)
    return _decided(None, _weighed(verdict, policy), policy)


def _decided(
    view: RequestView | None,
    verdict: Verdict,
    policy: Policy,
    servable: Servable | None = None,
    unasked: Unanswered | None = None,
) -> Decision:
    size = batch_size(view) if view is not None else None
    if not verdict.violations:
        judged = view is not None and unasked is None
        unjudged = None if judged else Unjudged.BY_POLICY
        return Admit(view, verdict, batch_size=size, unjudged=unjudged, servable=servable)
    if policy.mode is Mode.OBSERVE:
        return Admit(view, verdict, verdict.violations, size, servable=servable)
    return Refuse(view, verdict, status_of(verdict), unasked=unasked)
