"""The one decision point: what is known of a request → Admit or Refuse.

Law: the same gate serves every edge and the `check` command. It never raises and never changes a byte. A request
goes on unjudged only for a reason in `Unjudged`, none of which a client can bring about; what contradicts the last
known signature, or has none, and cannot be confirmed is refused for the moment and worth a retry. A refusal for
good is never based on stale metadata: it is confirmed once first. What a signature leaves open, whether its inputs
have a batch in common, is learnt from the server's answers (`learn`), for that version and signature alone.
"""

from math import inf
from time import monotonic, perf_counter
from typing import Final, Protocol, final

from proxy.core.availability import Absence, Unanswered, judge_absence
from proxy.core.bounds import MAX_FIELDS, too_complex
from proxy.core.freshness import DEFAULT_LIMITS
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.types import ModelKey, RequestView, Servable
from proxy.core.validate import batch_size, judge, judge_method, judge_spec, with_values
from proxy.core.values import judge_values
from proxy.core.verdict import Verdict
from proxy.gate.deciding import (
    CONTRADICTORY,
    decided,
    malformed,
    of_task,
    together,
    without_confirmation,
    without_metadata,
    without_view,
)
from proxy.gate.decision import Admit, Decision, Refuse, Unjudged
from proxy.gate.independence import Independence
from proxy.gate.known import PREDICT, Known, Message, Part, Parts
from proxy.gate.reading import Reading
from proxy.gate.repetition import Precedent, Repetition
from proxy.gate.turns import Client, Slices
from proxy.upstream.signatures import Answer, Lookup
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.values import require_numpy, value_facts
from proxy.wire.wire_format import UnusualError

METADATA_PATIENCE: Final = DEFAULT_LIMITS.patience
"""Seconds that a request waits at most for metadata, from when it first has to."""

_EXHAUSTED: Final = (MemoryError, RecursionError)
"""What a request can exhaust is no fault of ours that would let it through."""

_MOST_REFUSED: Final = 512
"""Kinds of refused request that are remembered, with the words of each…"""
_MOST_REFUSED_OCTETS: Final = 8 << 20
"""…and the octets of memory that they take: these may have any names, and any number of them."""

_GO_ON_AT_ONCE: Final = 16
"""Requests that are judged in one turn of the loop, of those that have to wait: many have waited for the same."""


class Signatures(Protocol):
    """Where the gate finds servables: the cache of the live ones (see SignatureCache), or one from disk."""

    def peek(self, key: ModelKey) -> Servable | None: ...

    async def lookup(self, key: ModelKey, timeout: float | None, client: Client) -> Answer: ...

    async def recheck(
        self, key: ModelKey, seen: Lookup, timeout: float | None, arrived: float, client: Client
    ) -> Answer: ...


@final
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


def _repeatable(known: Known) -> Message | None:
    """A request that another may be like: a whole PredictRequest."""
    return known if isinstance(known, Message) and known.method == PREDICT else None


def require_means(policies: Policies) -> None:
    """See that what these policies need is installed. Raises ModuleNotFoundError."""
    if any(each.looks_at_values for each in (policies.default, *policies.models.values())):
        require_numpy()


class Gate:
    """Judges requests of the methods in JUDGED_METHODS against the live signatures.

    Either at once (`judge_now`), where nothing has to be waited for, or with a wait (`judge`).
    """

    def __init__(self, signatures: Signatures, policies: Policies) -> None:
        self._signatures = signatures
        self._policies = policies
        self._repetition = Repetition()
        self._refused = Repetition(_MOST_REFUSED, _MOST_REFUSED_OCTETS)
        self._independence = Independence()
        # How often something was learnt, or the policies changed: what was decided before that may not hold any more.
        self._learnt = 0
        self._fitting = 0
        self._reading = Reading()
        self._going_on = Slices(_GO_ON_AT_ONCE)
        require_means(policies)

    def adopt(self, policies: Policies) -> None:
        """Judge by other policies from now on; a request that waits is decided by the one that it came under, and not
        remembered. Raises ModuleNotFoundError, as the constructor does.
        """
        require_means(policies)
        self._policies = policies
        self._outdated()

    def judge_now(self, known: Known) -> Decision | None:
        """Decide without waiting: the common case of a good request on a known servable.

        None: `judge` must be awaited; of a Glimpse also that more must be seen, or its values.
        """
        if known.method != PREDICT:
            return None
        message = known if isinstance(known, Message) else None
        try:
            if message is not None:
                like = self._repetition.of(message.octets)
                if like is not None and self._signatures.peek(like.key) is like.servable:
                    return like.decision
                if self._refused_before(message) is not None:
                    return None
            view = known.view_at_once()
            key = view.key
            if key is None or not key.model:
                return None
            policy = self._policies.of(key.model)
            if policy.mode is Mode.OFF:
                return None if message is None else Admit(unjudged=Unjudged.BY_POLICY)
            servable = self._signatures.peek(key)
            if servable is None or (policy.looks_at_values and message is None):
                return None
            verdict = self._judged(view, servable, policy)
            if policy.looks_at_values and message is not None and not verdict.violations:
                return self._decided_with_values(view, verdict, message, policy, servable)
        except (MalformedRequestError, TooComplexError, UnusualError, *_EXHAUSTED):
            return None
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
        if verdict.violations:
            return None
        decision = Admit(view, verdict, batch_size=batch_size(view), servable=servable)
        if message is not None:
            self._repetition.remember(bytes(message.octets), key, servable, decision)
        return decision

    def still_holds(self, decision: Admit) -> bool:
        """Whether a request that `judge_now` admitted would be judged by the same signature now."""
        view = decision.view
        if decision.servable is None or view is None or view.key is None:
            return False
        return self._signatures.peek(view.key) is decision.servable

    async def judge(self, known: Known, timeout: float | None = None, client: Client = ()) -> Decision:
        """Decide, waiting at most `timeout` seconds (and never longer than METADATA_PATIENCE) for metadata.

        `client` is whoever sent it: what one client asks for in vain, or has read, does not keep others waiting.
        """
        asker = _Asker(timeout, client)
        await self._going_on.turn(client)
        parts: Parts | None
        try:
            like = self._refused_before(known)
            if like is not None and await self._confirmed(like, asker):
                return like.decision
            try:
                parts = known.parts_at_once()
            except UnusualError:
                parts = None
            # Not awaited in the handler: compiled, the error would be everybody's who runs meanwhile.
            if parts is None:
                parts = await self._reading.read(known, client)
        except MalformedRequestError as error:
            return self.unread(malformed(str(error)))
        except TooComplexError as excess:
            return self.unread(too_complex(excess.what, excess.limit))
        except _EXHAUSTED:
            return self.unread(too_complex("fields", MAX_FIELDS))
        except Exception:  # noqa: BLE001  a fault of ours must not break traffic
            return Admit(unjudged=Unjudged.FAULT)
        admitted = Admit()
        for part in parts:
            try:
                decision = await self._judge_part(part, known, asker)
            except Exception:  # noqa: BLE001  a fault of ours must not break traffic
                decision = Admit(unjudged=Unjudged.FAULT)
            # TF Serving stops at the first bad task.
            if isinstance(decision, Refuse) or decision.would_refuse:
                return decision
            admitted = together(admitted, decision)
        return admitted

    async def _judge_part(self, part: Part, known: Known, asker: _Asker) -> Decision:
        view = part.view
        policy = self._policies.of(view.key.model if view.key else "")
        if policy.mode is Mode.OFF:
            return Admit(unjudged=Unjudged.BY_POLICY)
        nameless = judge_spec(view, policy)
        if nameless is not None:
            return decided(view, of_task(nameless, part), policy)
        key = view.key
        assert key is not None
        signatures = self._signatures
        seen: Answer | None = signatures.peek(key)
        if seen is None:
            seen = await signatures.lookup(key, asker.left(), asker.client)
            await self._going_on.turn(asker.client)
        if isinstance(seen, Unanswered):
            return without_metadata(part, key, seen, policy)
        verdict = self._verdict(part, seen, policy)
        if verdict is None:
            return without_metadata(part, key, CONTRADICTORY, policy)
        if verdict.violations:
            learnt = self._learnt
            fresh = await signatures.recheck(key, seen, asker.left(), asker.arrived, asker.client)
            await self._going_on.turn(asker.client)
            if isinstance(fresh, Unanswered):
                last = seen if isinstance(seen, Servable) else None
                return without_confirmation(view, verdict, last, fresh, policy)
            if fresh is not seen or self._learnt != learnt:
                verdict = self._verdict(part, fresh, policy)
                seen = fresh
                if verdict is None:
                    return without_metadata(part, key, CONTRADICTORY, policy)
        servable = seen if isinstance(seen, Servable) else None
        if policy.looks_at_values and part.method is None and verdict.signature and not verdict.violations:
            if not isinstance(known, Message):
                return Admit(view, verdict, batch_size=batch_size(view), unjudged=Unjudged.FAULT)
            return self._decided_with_values(view, verdict, known, policy, servable)
        decision = decided(view, verdict, policy, servable)
        message = _repeatable(known)
        lasts = policy is self._policies.of(key.model)
        if lasts and servable is not None and message is not None and isinstance(decision, Refuse):
            self._refused.remember(bytes(message.octets), key, servable, decision)
        return decision

    def _refused_before(self, known: Known) -> Precedent | None:
        """A request like this one that was refused by the signature that is known now."""
        message = _repeatable(known)
        if message is None:
            return None
        like = self._refused.of(message.octets)
        return like if like is not None and self._signatures.peek(like.key) is like.servable else None

    async def _confirmed(self, like: Precedent, asker: _Asker) -> bool:
        """Whether what it was refused by is, once more, what the server has."""
        learnt = self._learnt
        fresh = await self._signatures.recheck(
            like.key, like.servable, asker.left(), asker.arrived, asker.client
        )
        await self._going_on.turn(asker.client)
        return fresh is like.servable and self._learnt == learnt

    def _verdict(self, part: Part, seen: Lookup, policy: Policy) -> Verdict | None:
        verdict: Verdict | None
        if isinstance(seen, Absence):
            verdict = judge_absence(seen, policy.severities)
        elif part.method is None:
            verdict = self._judged(part.view, seen, policy)
        else:
            verdict = judge_method(part.view, seen, policy, part.method)
        return None if verdict is None else of_task(verdict, part)

    def _judged(self, view: RequestView, servable: Servable, policy: Policy) -> Verdict:
        return judge(view, servable, policy, independent=self._independence.holds(view, servable))

    def are_independent(self, view: RequestView, servable: Servable) -> bool:
        """Whether the server has shown that the inputs of the signature asked for have no batch in common."""
        return self._independence.holds(view, servable)

    def learn(self, decision: Admit) -> None:
        """The server has answered OK to what was `unsettled`: its inputs need not agree."""
        servable, view = decision.servable, decision.view
        if servable is not None and view is not None and self._independence.learn(view, servable):
            # What is remembered would go on warning, or refusing.
            self._outdated()

    def _outdated(self) -> None:
        self._learnt += 1
        self._repetition.forget()
        self._refused.forget()

    def _decided_with_values(
        self, view: RequestView, verdict: Verdict, message: Message, policy: Policy, servable: Servable | None
    ) -> Decision:
        """Look at the values of every so many requests; only what fits its signature gets here."""
        self._fitting += 1
        if self._fitting % policy.sample:
            return decided(view, verdict, policy, servable)
        began = perf_counter()
        try:
            facts = value_facts(bytes(message.octets))
        except MalformedRequestError as error:
            return self.unread(malformed(str(error)))
        verdict = with_values(verdict, judge_values(facts, policy.inputs), policy)
        seconds = perf_counter() - began
        decision = decided(view, verdict, policy, servable)
        decision.value_seconds = seconds
        return decision

    def unread(self, verdict: Verdict) -> Decision:
        """Decide on a request that nobody here can or will read: it may be for any model, and the server may read it."""
        return without_view(verdict, self._policies.strictest)

    def of_no_model(self, verdict: Verdict) -> Decision:
        """Decide on a call that is about no model, by what holds for all."""
        return without_view(verdict, self._policies.default)
