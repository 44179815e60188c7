"""What is wrong with one call: a mistake for each reason and field, and the example that shows it.

Law: an outcome in, plain data out, every text cut; names, dtypes and shapes, never values.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from proxy.core.reasons import Reason
from proxy.core.types import RequestView
from proxy.core.verdict import Violation
from proxy.observe.catalogue import status_name
from proxy.observe.outcome import Outcome
from proxy.observe.problem import REFUSAL, UPSTREAM_ERROR, WARNING, WOULD_REFUSE, Example
from proxy.observe.refusals import cut, shapes_of

_MOST_OF_A_CALL: Final = 8
_FIELD_LENGTH: Final = 160
_PHRASE_LENGTH: Final = 200
_TEXT_LENGTH: Final = 500
_OUTPUTS: Final = 16


class Mistake(NamedTuple):
    """One thing that is wrong with a call."""

    kind: str
    reason: Reason
    field: str
    code: str
    expected: str
    got: str
    hint: str


def mistakes_of(outcome: Outcome) -> Iterable[tuple[str, list[Mistake]]]:
    """What is wrong with a call, each kind with the text that its examples show."""
    code = status_name(outcome.code) if outcome.code else ""
    if outcome.refusal is not None:
        yield outcome.text, [_violated(REFUSAL, each, code) for each in _first(outcome.refusal.violations)]
    if outcome.would_refuse:
        yield (
            _phrases(outcome.would_refuse),
            [
                _violated(WOULD_REFUSE, each, each.reason.about.code.name)
                for each in _first(outcome.would_refuse)
            ],
        )
    if outcome.warnings:
        yield _phrases(outcome.warnings), [_violated(WARNING, each, "") for each in _first(outcome.warnings)]
    if outcome.diagnosis is not None:
        found = Mistake(UPSTREAM_ERROR, outcome.diagnosis, "", code, "", cut(outcome.text, _TEXT_LENGTH), "")
        yield outcome.text, [found]


def _first(violations: tuple[Violation, ...]) -> Iterable[Violation]:
    """One violation for each reason and field: a call counts once in a problem."""
    found: dict[tuple[Reason, str], Violation] = {}
    for each in violations[:_MOST_OF_A_CALL]:
        found.setdefault((each.reason, cut(each.field, _FIELD_LENGTH)), each)
    return found.values()


def _violated(kind: str, violation: Violation, code: str) -> Mistake:
    return Mistake(
        kind,
        violation.reason,
        cut(violation.field, _FIELD_LENGTH),
        code,
        cut(violation.expected, _PHRASE_LENGTH),
        cut(violation.got, _PHRASE_LENGTH),
        cut(violation.hint, _PHRASE_LENGTH),
    )


def _phrases(violations: tuple[Violation, ...]) -> str:
    return "; ".join(
        f"{each.where}: expected {each.expected}, got {each.got}" for each in violations[:_MOST_OF_A_CALL]
    )


def example_of(outcome: Outcome, view: RequestView, when: str, text: str) -> Example:
    return Example(
        when,
        cut(outcome.request_id),
        cut(outcome.peer),
        cut(outcome.identity),
        cut(outcome.user_agent),
        cut(outcome.method),
        outcome.version,
        cut(outcome.signature or view.signature),
        shapes_of(view),
        tuple(cut(output) for output in view.outputs[:_OUTPUTS]),
        cut(text, _TEXT_LENGTH),
    )
