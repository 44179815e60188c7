"""From a verdict to a decision: what the policy makes of it, and which words are the gate's own.

Law: pure functions of a verdict and a policy; ask nobody, remember nothing.
"""

from dataclasses import replace
from typing import Final

from proxy.core.availability import Unanswered
from proxy.core.explain import quote
from proxy.core.policy import Mode, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.types import ModelKey, RequestView, Servable
from proxy.core.unconfirmed import unavailable, unconfirmed
from proxy.core.validate import batch_size
from proxy.core.verdict import Verdict, Violation
from proxy.gate.decision import Admit, Decision, Refuse, Unjudged
from proxy.gate.known import Part
from proxy.wire.status import status_of

CONTRADICTORY: Final = Unanswered("answers of the server that contradict one another")


def decided(
    view: RequestView | None,
    verdict: Verdict,
    policy: Policy,
    servable: Servable | None = None,
    unasked: Unanswered | None = None,
) -> Decision:
    """What the policy's mode makes of a verdict; `unasked` says why the server told nothing to judge by."""
    size = batch_size(view) if view is not None else None
    if not verdict.violations:
        judged = view is not None and unasked is None
        unjudged = None if judged else Unjudged.BY_POLICY
        return Admit(view, verdict, batch_size=size, unjudged=unjudged, servable=servable)
    if policy.mode is Mode.OBSERVE:
        return Admit(view, verdict, verdict.violations, size, servable=servable)
    return Refuse(view, verdict, status_of(verdict), unasked=unasked)


def without_view(verdict: Verdict, policy: Policy) -> Decision:
    """What is decided where nothing of the request is seen."""
    if policy.mode is Mode.OFF:
        return Admit(unjudged=Unjudged.BY_POLICY)
    return decided(None, _weighed(verdict, policy), policy)


def without_metadata(part: Part, key: ModelKey, answer: Unanswered, policy: Policy) -> Decision:
    """What is decided on a request for a servable of which nothing is known, and nothing to be had now."""
    if answer.kept:
        return Admit(part.view, unjudged=Unjudged.KEPT_UNKNOWN)
    verdict = of_task(unavailable(key, answer.why), part)
    return decided(part.view, _weighed(verdict, policy), policy, unasked=answer)


def without_confirmation(
    view: RequestView, verdict: Verdict, last: Servable | None, why: Unanswered, policy: Policy
) -> Decision:
    """What is decided on a request that contradicts what was known last, which the server does not confirm now."""
    return decided(view, _weighed(unconfirmed(verdict, last), policy), policy, unasked=why)


def malformed(text: str) -> Verdict:
    """The verdict on a message that nobody can parse."""
    violation = Violation(
        Reason.REQUEST_MALFORMED,
        "",
        "message",
        "a serialised request of the method's type",
        f"bytes that are {text}",
    )
    return Verdict(violations=(violation,))


def of_task(verdict: Verdict, part: Part) -> Verdict:
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


def together(first: Admit, second: Admit) -> Admit:
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
