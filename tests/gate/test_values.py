"""The gate looks at values only where a policy asks, only as often, and never trips over them."""

import base64
import math

import pytest

from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.values import InputPolicy
from proxy.gate import Admit, Gate, Refuse
from tests.judging import FixedSignatures, decide, predict, servable, signature, tensor
from tests.property.wire import length_delimited, varint_field

MODEL = servable(signature({"x": ("float32", (-1, 4))}), model="m")


def message(*values):
    return predict(x=tensor("float32", (1, 4), float_val=values)).SerializeToString()


GOOD, NAN = message(0, 0.5, 1, 0.25), message(0, math.nan, 1, 0.25)


def gate(mode=Mode.ENFORCE, severity=Severity.REFUSE, inputs=None, sample=1):
    severities = {Reason.VALUE_NOT_FINITE: severity, Reason.VALUE_OUTSIDE_POLICY_RANGE: severity}
    return Gate(FixedSignatures(MODEL), Policies(Policy.of(mode, severities, None, inputs or {}, sample)))


def test_without_a_policy_that_asks_a_nan_passes():
    assert isinstance(decide(Gate(FixedSignatures(MODEL), Policies()), NAN), Admit)


def test_a_policy_that_asks_refuses_a_nan_and_passes_the_rest():
    asking = gate()
    for _ in range(5):  # also once the gate has seen requests like it
        assert isinstance(decide(asking, GOOD), Admit)
    refused = decide(asking, NAN)
    assert isinstance(refused, Refuse)
    assert [each.reason for each in refused.verdict.violations] == [Reason.VALUE_NOT_FINITE]
    assert "nan" not in refused.status.text


def test_a_policy_that_warns_lets_it_pass_with_a_warning():
    admitted = decide(gate(severity=Severity.WARN), NAN)
    assert [each.reason for each in admitted.verdict.warnings] == [Reason.VALUE_NOT_FINITE]


def test_observe_counts_what_it_would_have_refused():
    admitted = decide(gate(Mode.OBSERVE), NAN)
    assert [each.reason for each in admitted.would_refuse] == [Reason.VALUE_NOT_FINITE]


def test_ranges_hold_for_the_input_that_they_name():
    assert isinstance(decide(gate(inputs={"x": InputPolicy(0, 0.9)}), GOOD), Refuse)
    assert isinstance(decide(gate(inputs={"other": InputPolicy(0, 0.9)}), GOOD), Admit)


def test_every_so_many_requests_are_looked_at():
    sampled = gate(sample=3)
    decisions = [isinstance(decide(sampled, NAN), Refuse) for _ in range(9)]
    assert decisions == [False, False, True] * 3


def test_what_does_not_fit_its_signature_is_told_without_a_look_at_its_values():
    wrong = predict(x=tensor("float32", (1, 5), float_val=[math.nan])).SerializeToString()
    refused = decide(gate(), wrong)
    assert [each.reason for each in refused.verdict.violations] == [Reason.SHAPE_MISMATCH]


def test_what_a_look_at_values_took_is_told_of_what_passes_and_what_does_not():
    sampled = gate(sample=2)
    assert decide(sampled, GOOD).value_seconds is None
    assert decide(sampled, GOOD).value_seconds > 0
    assert decide(sampled, NAN).value_seconds is None
    assert decide(sampled, NAN).value_seconds > 0
    assert decide(Gate(FixedSignatures(MODEL), Policies()), GOOD).value_seconds is None


def test_strings_in_tensor_content_are_looked_at_too():
    words = servable(signature({"x": ("string", (-1,))}), model="m")
    policy = Policy.of(Mode.ENFORCE, {Reason.STRING_LOOKS_BASE64: Severity.REFUSE})
    asking = Gate(FixedSignatures(words), Policies(policy))

    def sent(string):
        content = bytes((len(string),)) + string
        return predict(x=tensor("string", (1,), tensor_content=content)).SerializeToString()

    assert isinstance(decide(asking, sent(b"a sentence with 3 words more")), Admit)
    refused = decide(asking, sent(base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(60))))
    assert [each.reason for each in refused.verdict.violations] == [Reason.STRING_LOOKS_BASE64]


def entry(*more: bytes) -> bytes:
    """An input 'x' with a NaN in it, written as no serialiser does but as the server reads it."""
    x = tensor("float32", (1, 4), float_val=(0, math.nan, 1, 0.25)).SerializeToString()
    return length_delimited(
        2, length_delimited(1, b"x") + length_delimited(2, x + more[0]) + b"".join(more[1:])
    )


NAMED = predict().SerializeToString()
LONG_TAG = b"\x98\x86\x80\x80\x10\x01"
"""An unknown field with a tag of more than 32 bits, which protobuf in C++ cuts and protobuf in Python cannot read."""


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (NAMED + entry(b"", varint_field(9, 1)), Reason.VALUE_NOT_FINITE),
        (GOOD + entry(b"", varint_field(9, 1)), Reason.VALUE_NOT_FINITE),
        (NAMED + entry(b"") + LONG_TAG, Reason.VALUE_NOT_FINITE),
        (NAMED + entry(b"", LONG_TAG), Reason.VALUE_NOT_FINITE),
        (NAMED + entry(LONG_TAG), Reason.REQUEST_MALFORMED),
    ],
    ids=[
        "unknown field",
        "unknown field in the last of two",
        "tag beside",
        "tag in the entry",
        "tag in the tensor",
    ],
)
@pytest.mark.parametrize("sample", [1, 2])
def test_no_encoding_hides_values_from_the_policy(sent, reason, sample):
    """What the server reads is looked at, or refused; never is it forwarded as a fault of ours."""
    asking = gate(sample=sample)
    decisions = [decide(asking, sent) for _ in range(4)]
    refused = [each for each in decisions if isinstance(each, Refuse)]
    assert len(refused) == 4 // sample
    assert {each.verdict.violations[0].reason for each in refused} == {reason}
    assert not any(each.failed for each in decisions if isinstance(each, Admit))


def test_halves_written_as_negative_shorts_are_looked_at():
    asking = Gate(
        FixedSignatures(servable(signature({"x": ("float16", (2,))}), model="m")),
        Policies(Policy.of(severities={Reason.VALUE_NOT_FINITE: Severity.REFUSE})),
    )

    def sent(*bits: int) -> bytes:
        return predict(x=tensor("float16", (2,), half_val=bits)).SerializeToString()

    assert decide(asking, sent(-0x4400, 0x3C00)).unjudged is None  # -1.0, 1.0
    assert isinstance(decide(asking, sent(-0x0400, 0)), Refuse)  # minus infinity
