"""What values must be where a policy asks, from facts alone."""

import math

import pytest

from proxy.core.policy import Policy
from proxy.core.reasons import REASONS, Reason, Severity
from proxy.core.values import FEWEST_CONSTANT, MEANING, InputPolicy, StringKind, ValueFacts, judge_values

UNIT = InputPolicy(0, 1)


def reasons(facts, policy=None):
    return [each.reason for each in judge_values([facts], {"x": policy} if policy else {})]


def test_every_reason_that_needs_a_look_at_values_is_off_by_default():
    assert {reason for reason, about in REASONS.items() if about.family == "meaning"} == set(MEANING)
    assert all(REASONS[reason].severity is Severity.OFF for reason in MEANING)
    assert not Policy().looks_at_values


@pytest.mark.parametrize("reason", MEANING)
def test_one_reason_that_is_not_off_makes_a_policy_look_at_values(reason):
    assert Policy.of(severities={reason: Severity.WARN}).looks_at_values


def test_values_that_a_policy_allows_are_no_violation():
    assert reasons(ValueFacts("x", 4, low=0, high=1), UNIT) == []
    assert reasons(ValueFacts("x", 4, low=-1e9, high=1e9)) == []


@pytest.mark.parametrize(
    ("low", "high", "got"),
    [(-0.1, 0.5, "values below"), (0.5, 1.1, "values above"), (-1, 2, "values below and above")],
)
def test_a_value_outside_the_range_is_told_by_its_side_and_never_shown(low, high, got):
    (violation,) = judge_values([ValueFacts("x", 4, low=low, high=high)], {"x": UNIT})
    assert violation.reason is Reason.VALUE_OUTSIDE_POLICY_RANGE
    assert violation.got == got
    assert violation.expected == "values from 0 to 1"


def test_a_range_may_be_open_at_either_end():
    assert reasons(ValueFacts("x", 1, low=-5, high=5), InputPolicy(low=0)) == [
        Reason.VALUE_OUTSIDE_POLICY_RANGE
    ]
    assert reasons(ValueFacts("x", 1, low=-5, high=-1), InputPolicy(high=0)) == []
    assert reasons(ValueFacts("x", 1, low=-5, high=1), InputPolicy(high=0)) == [
        Reason.VALUE_OUTSIDE_POLICY_RANGE
    ]


def test_unscaled_pixels_are_recognised():
    (violation,) = judge_values([ValueFacts("x", 4, low=0, high=255)], {"x": UNIT})
    assert "0..255" in violation.hint


def test_nan_is_a_violation_and_no_range():
    facts = ValueFacts("x", 4, finite=False, low=math.nan, high=math.nan)
    assert reasons(facts, UNIT) == [Reason.VALUE_NOT_FINITE]


def test_only_tensors_of_some_size_are_suspiciously_constant():
    assert reasons(ValueFacts("x", FEWEST_CONSTANT, constant=True)) == [Reason.VALUE_CONSTANT]
    assert reasons(ValueFacts("x", FEWEST_CONSTANT - 1, constant=True)) == []


def test_strings_are_judged_only_by_what_the_policy_calls_them():
    facts = ValueFacts("x", 3, strings=3, images=1, examples=2)
    assert reasons(facts) == []
    assert reasons(facts, InputPolicy(kind=StringKind.IMAGE)) == [Reason.STRING_NOT_AN_IMAGE]
    assert reasons(facts, InputPolicy(kind=StringKind.EXAMPLE)) == [Reason.STRING_NOT_AN_EXAMPLE]
    (violation,) = judge_values([facts], {"x": InputPolicy(kind=StringKind.IMAGE)})
    assert violation.got == "2 of 3 strings that are not"


def test_base64_is_told_whatever_the_input_is_called():
    assert reasons(ValueFacts("x", 1, strings=1, base64=1)) == [Reason.STRING_LOOKS_BASE64]
