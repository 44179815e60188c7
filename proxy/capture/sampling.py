"""A gate that also chooses which of the requests it admits are recorded.

Law: judges as the gate does and changes no decision; the choice falls before anything is copied.
"""

from collections.abc import Collection
from dataclasses import replace
from random import random

from proxy.core.policy import Policies
from proxy.gate import Admit, Decision, Gate, Signatures


class SamplingGate(Gate):
    """Gives a `share` (0 to 1) of admitted requests for `models` (empty: all) along in `Admit.sample`.

    Only requests without a fault are chosen: not what could not be judged, nor what `observe` let through.
    """

    def __init__(
        self, signatures: Signatures, policies: Policies, *, share: float, models: Collection[str]
    ) -> None:
        super().__init__(signatures, policies)
        self._share = share
        self._models = frozenset(models)

    def judge_now(self, method: str, message: bytes) -> Decision | None:
        decision = super().judge_now(method, message)
        return decision if decision is None else self._chosen(decision, message)

    async def judge(self, method: str, message: bytes, timeout: float | None = None) -> Decision:
        return self._chosen(await super().judge(method, message, timeout), message)

    def _chosen(self, decision: Decision, message: bytes) -> Decision:
        if not isinstance(decision, Admit) or random() >= self._share:  # noqa: S311  a sample, not a secret
            return decision
        verdict = decision.verdict
        if verdict is None or decision.would_refuse or decision.failed:
            return decision
        if self._models and verdict.model not in self._models:
            return decision
        # The gate may hand out one decision many times.
        return replace(decision, sample=message)
