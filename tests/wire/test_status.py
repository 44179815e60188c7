"""A verdict as a gRPC status; every wording stands in tests/golden, the budgets in tests/property."""

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from proxy.core.reasons import Code, Reason
from proxy.core.verdict import Verdict, Violation
from proxy.wire.status import DETAILS_BUDGET, DOMAIN, TEXT_BUDGET, sentence_of, status_of, text_of


def violation(reason=Reason.DTYPE_MISMATCH, field='inputs["x"].dtype', where="input 'x'", hint="cast it"):
    return Violation(reason, field, where, "float32", "float64", hint, "x")


def details_of(status):
    """Message type → message."""
    found = {}
    for packed in status_pb2.Status.FromString(status.details).details:
        assert isinstance(packed, any_pb2.Any)
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        found[kind.__name__] = message = kind()
        assert packed.Unpack(message)
    return found


def test_one_violation_reads_as_where_expected_got_and_hint():
    assert sentence_of(violation()) == "input 'x': expected float32, got float64; cast it"
    assert sentence_of(violation(hint="")) == "input 'x': expected float32, got float64"
    assert text_of(Verdict((violation(),))) == "input 'x': expected float32, got float64; cast it."


def test_a_hint_that_asks_ends_as_a_question():
    assert text_of(Verdict((violation(hint="did you mean 'y'?"),))).endswith("did you mean 'y'?")


def test_several_violations_are_counted_and_numbered():
    text = text_of(Verdict((violation(), violation(hint=""))))
    assert text.startswith("2 problems: (1) input 'x': expected")
    assert " (2) input 'x'" in text


def test_violations_that_do_not_fit_are_counted():
    text = text_of(Verdict((violation(hint="h" * 300),) * 9, accepts="s(x: float32) -> y", model="m"))
    assert len(text) <= TEXT_BUDGET
    assert " and 7 more." in text
    assert text.endswith("Model 'm' accepts s(x: float32) -> y")


def test_more_violations_than_are_told_are_not_counted_exactly():
    assert text_of(Verdict((violation(),) * 10)).startswith("10 or more problems: ")


def test_the_text_ends_with_what_the_signature_accepts():
    verdict = Verdict((violation(),), model="m", version=3, accepts="serving_default(x: float32[?]) -> y")
    assert text_of(verdict).endswith(" Model 'm' version 3 accepts serving_default(x: float32[?]) -> y")


def test_control_characters_and_other_alphabets_are_escaped():
    text = text_of(Verdict((violation(where="größe\r\n"),), model="漢", accepts="字" * 5000))
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= TEXT_BUDGET


def test_the_details_carry_code_text_reason_field_and_help():
    verdict = Verdict((violation(),), model="m", version=3, signature="s")
    status = status_of(verdict)
    packed = status_pb2.Status.FromString(status.details)
    assert (packed.code, packed.message) == (status.code, status.text) == (3, text_of(verdict))
    found = details_of(status)
    assert set(found) == {"ErrorInfo", "Help", "BadRequest"}
    info = found["ErrorInfo"]
    assert (info.reason, info.domain) == ("DTYPE_MISMATCH", DOMAIN)
    assert dict(info.metadata) == {"model": "m", "version": "3", "signature": "s"}
    (field,) = found["BadRequest"].field_violations
    assert (field.field, field.reason) == ('inputs["x"].dtype', "DTYPE_MISMATCH")
    assert field.description == sentence_of(violation())
    (link,) = found["Help"].links
    assert link.url == "docs/reasons.md#dtype_mismatch"
    assert link.description == Reason.DTYPE_MISMATCH.about.remedy


def test_version_zero_is_told_and_what_is_unknown_is_left_out():
    found = details_of(status_of(Verdict((violation(),), version=0)))
    assert dict(found["ErrorInfo"].metadata) == {"version": "0"}


def test_a_delay_to_retry_after_is_told():
    found = details_of(status_of(Verdict((violation(Reason.MODEL_LOADING),), retry_seconds=1.5)))
    delay = found["RetryInfo"].retry_delay
    assert (delay.seconds, delay.nanos) == (1, 500_000_000)


def test_a_refusal_that_concerns_no_field_names_none():
    status = status_of(Verdict((violation(Reason.OVERLOADED, field=""),)))
    assert set(details_of(status)) == {"ErrorInfo", "Help"}
    assert status.code == Code.RESOURCE_EXHAUSTED


def test_fields_are_told_as_far_as_the_budget_allows():
    status = status_of(Verdict((violation(hint="h" * 300),) * 50))
    assert len(status.details) <= DETAILS_BUDGET
    assert 1 < len(details_of(status)["BadRequest"].field_violations) < 50


def test_the_code_of_the_verdict_comes_first():
    assert status_of(Verdict((violation(),), code=Code.NOT_FOUND)).code == Code.NOT_FOUND
