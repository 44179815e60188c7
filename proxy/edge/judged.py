"""
What a decision of the gate leaves in the record of its call.

Law: copies and decides nothing; what is answered or sent on is the edge's.
"""

from proxy.gate import Decision, Refuse
from proxy.observe.outcome import Outcome


def note(outcome: Outcome, decision: Decision) -> None:
    """Write down what was decided and on what grounds."""
    verdict = decision.verdict
    if verdict is not None:
        outcome.model, outcome.version, outcome.signature = (
            verdict.model,
            verdict.version,
            verdict.signature,
        )
    outcome.value_seconds = decision.value_seconds
    if isinstance(decision, Refuse):
        outcome.request = decision.view
        return
    if verdict is not None and verdict.warnings:
        outcome.warnings = verdict.warnings
    outcome.batch_size = decision.batch_size
    outcome.would_refuse = decision.would_refuse
    if decision.view is not None and (outcome.warnings or outcome.would_refuse):
        outcome.request = decision.view
    outcome.sample, outcome.watched = decision.sample, decision.watched
    outcome.judge_failed = decision.failed
