"""A verdict's status code."""

from proxy.core.reasons import Code, Reason
from proxy.core.verdict import Verdict, Violation


def violation(reason):
    return Violation(reason, "field", "where", "expected", "got")


def test_the_first_violation_gives_the_status_code():
    both = (violation(Reason.SIGNATURE_NOT_FOUND), violation(Reason.INPUT_UNKNOWN))
    assert Verdict(both).status_code is Code.FAILED_PRECONDITION
    assert Verdict(both[::-1]).status_code is Code.INVALID_ARGUMENT


def test_a_code_of_its_own_comes_before_that_of_the_first_violation():
    verdict = Verdict((violation(Reason.SIGNATURE_NOT_FOUND),), code=Code.INVALID_ARGUMENT)
    assert verdict.status_code is Code.INVALID_ARGUMENT


def test_an_empty_verdict_neither_refuses_nor_warns():
    assert (Verdict().violations, Verdict().warnings) == ((), ())
