"""A gate that also chooses which of the requests it admits are recorded, and whose answers are looked at.

Law: judges as the gate does and changes no decision; the choice falls before anything is copied.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from random import random

from proxy.core.policy import Policies
from proxy.core.types import RequestView
from proxy.gate import PREDICT, Admit, Decision, Gate, Signatures
from proxy.gate.turns import Client
from proxy.wire.pieces import Pieces


class SamplingGate(Gate):
    """Gives a `share` (0 to 1) of admitted requests for `models` (empty: all) along in `Admit.sample`.

    The share `outputs` of admitted PredictRequests, for all models, goes along in `Admit.watched`.
    Only requests without a fault are chosen: not what could not be judged, nor what `observe` let through.
    """

    def __init__(
        self,
        signatures: Signatures,
        policies: Policies,
        *,
        share: float = 0.0,
        models: Collection[str] = (),
        outputs: float = 0.0,
    ) -> None:
        super().__init__(signatures, policies)
        self._share = share
        self._models = frozenset(models)
        self._outputs = outputs

    def judge_now(self, method: str, message: bytes | Pieces) -> Decision | None:
        decision = super().judge_now(method, message)
        return decision if decision is None else self._chosen(decision, method, message)

    async def judge(
        self, method: str, message: bytes, timeout: float | None = None, client: Client = ()
    ) -> Decision:
        return self._chosen(await super().judge(method, message, timeout, client), method, message)

    def judge_view_now(self, read: Callable[[], RequestView]) -> Admit | None:
        """None where the request may be chosen: that takes the whole message."""
        decision = super().judge_view_now(read)
        if decision is None or self._outputs:
            return None
        model = decision.verdict.model if decision.verdict is not None else ""
        return None if self._share and (not self._models or model in self._models) else decision

    def _chosen(self, decision: Decision, method: str, message: bytes | Pieces) -> Decision:
        if not isinstance(decision, Admit):
            return decision
        sampled = random() < self._share  # noqa: S311  a sample, not a secret
        watched = method == PREDICT and random() < self._outputs  # noqa: S311
        if not (sampled or watched):
            return decision
        verdict = decision.verdict
        if verdict is None or decision.would_refuse or decision.failed:
            return decision
        sampled = sampled and (not self._models or verdict.model in self._models)
        if not (sampled or watched):
            return decision
        whole = bytes(message)
        # The gate may hand out one decision many times.
        return replace(decision, sample=whole if sampled else None, watched=whole if watched else None)
