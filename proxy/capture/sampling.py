"""A gate that also chooses which of the requests it admits are recorded, and whose answers are looked at.

Law: judges as the gate does and changes no decision; the choice falls before anything is copied.
"""

from collections.abc import Collection
from dataclasses import replace
from random import random
from typing import final

from proxy.gate import PREDICT, Admit, Decision, Judge, Known, Message
from proxy.gate.turns import Client


@final
@final
class SamplingGate:
    """A `Judge` that gives a `share` (0 to 1) of admitted requests for `models` (empty: all) along in `Admit.sample`.

    The share `outputs` of admitted PredictRequests, for all models, goes along in `Admit.watched`.
    Only requests without a fault are chosen: not what could not be judged, nor what `observe` let through.
    """

    def __init__(
        self, gate: Judge, *, share: float = 0.0, models: Collection[str] = (), outputs: float = 0.0
    ) -> None:
        self._gate = gate
        self._share = share
        self._models = frozenset(models)
        self._outputs = outputs
        # What has nothing to do with samples.
        self.still_holds = gate.still_holds
        self.unread = gate.unread
        self.of_no_model = gate.of_no_model
        self.learn = gate.learn
        self.are_independent = gate.are_independent

    def judge_now(self, known: Known) -> Decision | None:
        """None also where a request of which there is no more than a glimpse may be chosen: that takes all of it."""
        decision = self._gate.judge_now(known)
        if decision is None:
            return None
        if isinstance(known, Message):
            return self._chosen(decision, known)
        if self._outputs:
            return None
        model = decision.verdict.model if decision.verdict is not None else ""
        return None if self._share and (not self._models or model in self._models) else decision

    async def judge(self, known: Known, timeout: float | None = None, client: Client = ()) -> Decision:
        """Decide like the gate, and choose."""
        decision = await self._gate.judge(known, timeout, client)
        return self._chosen(decision, known) if isinstance(known, Message) else decision

    def _chosen(self, decision: Decision, message: Message) -> Decision:
        if not isinstance(decision, Admit):
            return decision
        sampled = random() < self._share  # noqa: S311  a sample, not a secret
        watched = message.method == PREDICT and random() < self._outputs  # noqa: S311
        if not (sampled or watched):
            return decision
        verdict = decision.verdict
        if verdict is None or decision.would_refuse or decision.failed:
            return decision
        sampled = sampled and (not self._models or verdict.model in self._models)
        if not (sampled or watched):
            return decision
        whole = bytes(message.octets)
        # The gate may hand out one decision many times.
        return replace(decision, sample=whole if sampled else None, watched=whole if watched else None)
