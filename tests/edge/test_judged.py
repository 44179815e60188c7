"""What a decision of the gate leaves in the record of its call."""

import pytest

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView
from proxy.core.verdict import Verdict, Violation
from proxy.edge.judged import note
from proxy.gate import Admit, Refuse, Unjudged
from proxy.observe.outcome import Outcome
from proxy.wire.status import status_of

VIEW = RequestView(ModelKey("m"))
ODD = Violation(Reason.BATCH_EMPTY, "inputs", "input 'x'", "a batch", "none", "send one")
GROUNDS = Verdict(model="m", version=3, signature="serving_default")


def noted(decision):
    """What differs from the record of a call that nobody judged."""
    outcome, blank = Outcome("/m"), Outcome("/m")
    note(outcome, decision)
    names = [name for name in dir(outcome) if not name.startswith("_")]
    return {name: getattr(outcome, name) for name in names if getattr(outcome, name) != getattr(blank, name)}


def test_a_request_that_was_not_judged_leaves_nothing():
    assert noted(Admit()) == {}


def test_what_a_request_was_judged_against_is_known_of_admitted_and_refused_ones():
    grounds = {"model": "m", "version": 3, "signature": "serving_default"}
    refused = Verdict(violations=(ODD,), **grounds)
    assert noted(Admit(VIEW, GROUNDS)) == grounds
    assert noted(Refuse(VIEW, refused, status_of(refused))) == {**grounds, "request": VIEW}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"batch_size": 8}, {"batch_size": 8}),
        ({"would_refuse": (ODD,)}, {"would_refuse": (ODD,), "request": VIEW}),
        ({"unjudged": Unjudged.FAULT}, {"judge_failed": True}),
        ({"unjudged": Unjudged.KEPT_UNKNOWN}, {"judge_failed": True}),
        ({"unjudged": Unjudged.BY_POLICY}, {}),
        ({"sample": b"s", "watched": b"w"}, {"sample": b"s", "watched": b"w"}),
        ({"value_seconds": 0.5}, {"value_seconds": 0.5}),
        ({"verdict": Verdict(warnings=(ODD,))}, {"warnings": (ODD,), "request": VIEW}),
    ],
)
def test_what_was_found_of_an_admitted_request_is_kept(said, kept):
    assert noted(Admit(VIEW, **said)) == kept


def test_a_second_look_that_fails_takes_no_warning_back():
    outcome = Outcome("/m")
    note(outcome, Admit(VIEW, Verdict(warnings=(ODD,))))
    note(outcome, Admit(unjudged=Unjudged.KEPT_UNKNOWN))
    assert (outcome.warnings, outcome.request) == ((ODD,), VIEW)
    assert outcome.judge_failed
