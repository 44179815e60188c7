"""One request against one servable: every violation, in one order, with the policy's severities."""

import pytest

from proxy.core.policy import Policies, Policy
from proxy.core.reasons import Code, Reason, Severity
from proxy.core.types import CLASSIFY_METHOD, ModelKey, RequestView, TensorView
from proxy.core.validate import MAX_UNKNOWN, batch_size, judge, judge_method, judge_spec
from proxy.core.verdict import Verdict
from tests.judging import predict, servable, signature, tensor, verdict_on, view_of_request

TWO = signature(
    {"text": ("string", (-1,)), "ids": ("int64", (-1, 4))}, {"y": ("float32", (-1,)), "z": ("int64", (-1,))}
)
TEXT = tensor("string", (1,), string_val=[b"a"])
IDS = tensor("int64", (1, 4))


def told(request, *signatures, policy=None):
    verdict = judge(view_of_request(request), servable(*(signatures or (TWO,))), policy or Policy())
    return [(each.reason.value, each.alias) for each in verdict.violations]


def test_a_request_that_fits_has_an_empty_verdict_about_its_servable():
    verdict = judge(view_of_request(predict(text=TEXT, ids=IDS)), servable(TWO, version=7), Policy())
    assert (verdict.violations, verdict.warnings) == ((), ())
    assert (verdict.model, verdict.version, verdict.signature) == ("m", 7, "serving_default")
    assert verdict.accepts == ""


def test_every_violation_is_told_aliases_first_then_tensors_in_order():
    request = predict(
        outputs=["nope"], text=tensor("int32", ()), idz=IDS, ids=tensor("int64", (1, 3), int64_val=[1, 2])
    )
    assert told(request) == [
        ("INPUT_UNKNOWN", "idz"),
        ("SHAPE_MISMATCH", "ids"),
        ("PAYLOAD_COUNT_MISMATCH", "ids"),
        ("DTYPE_MISMATCH", "text"),
        ("RANK_MISMATCH", "text"),
        ("OUTPUT_UNKNOWN", ""),
    ]


def test_the_order_of_violations_does_not_depend_on_the_order_on_the_wire():
    bad = {alias: TensorView(alias, 2, (1,)) for alias in ("text", "ids")}
    one, other = (
        judge(
            RequestView(ModelKey("m"), inputs=tuple(bad[alias] for alias in order)), servable(TWO), Policy()
        )
        for order in (("text", "ids"), ("ids", "text"))
    )
    assert one == other


def test_a_refusal_says_what_the_signature_accepts():
    verdict = judge(view_of_request(predict(text=TEXT)), servable(TWO), Policy())
    assert verdict.accepts == "serving_default(ids: int64[?,4], text: string[?]) -> y, z"


def test_an_input_with_a_default_may_be_missing():
    one = signature({"x": ("float32", (-1,)), "phase": ("bool", ())}, defaults=frozenset({"phase"}))
    assert told(predict(x=tensor("float32", (1,))), one) == []
    assert told(predict(x=tensor("float32", (1,)), phase=tensor("bool", ())), one) == []
    assert told(predict(phase=tensor("bool", ())), one) == [("INPUT_MISSING", "x")]


def test_an_input_with_a_default_may_be_what_an_unknown_one_was_meant_to_be():
    one = signature({"x": ("float32", (-1,)), "phase": ("bool", ())}, defaults=frozenset({"phase"}))
    verdict = judge(
        view_of_request(predict(x=tensor("float32", (1,)), Phase=tensor("bool", ()))), servable(one), Policy()
    )
    assert [(each.reason, each.hint) for each in verdict.violations] == [
        ("INPUT_UNKNOWN", "did you mean 'phase'?")
    ]


def test_a_signature_without_inputs_takes_none():
    assert told(predict(), signature({})) == []
    assert told(predict(x=IDS), signature({})) == [("INPUT_UNKNOWN", "x")]


def test_a_signature_that_is_not_there_is_all_that_is_told():
    request = view_of_request(predict("m", "nope", x=IDS))
    verdict = judge(request, servable(TWO), Policy())
    (violation,) = verdict.violations
    assert violation.reason is Reason.SIGNATURE_NOT_FOUND
    assert violation.expected == "'serving_default'"
    assert verdict.status_code is Code.FAILED_PRECONDITION
    assert (verdict.model, verdict.signature) == ("m", "")


def test_no_default_signature_is_told_as_such():
    verdict = judge(view_of_request(predict()), servable(signature({}, name="predict")), Policy())
    assert verdict.violations[0].got == "no name, and the model has no 'serving_default'"


def test_predict_runs_on_a_signature_of_any_method():
    for method in ("tensorflow/serving/classify", "tensorflow/serving/regress", ""):
        assert told(predict(x=IDS), signature({"x": ("int64", None)}, method=method)) == []


# === swaps ===


def test_swapped_tensors_are_told_once_each_where_they_belong():
    verdict = judge(view_of_request(predict(text=IDS, ids=TEXT)), servable(TWO), Policy())
    assert [(each.reason, each.alias, each.hint) for each in verdict.violations] == [
        ("DTYPE_MISMATCH", "ids", "tensors are swapped: this one belongs under 'text'"),
        ("RANK_MISMATCH", "ids", ""),
        ("DTYPE_MISMATCH", "text", "tensors are swapped: this one belongs under 'ids'"),
        ("RANK_MISMATCH", "text", ""),
    ]


def test_three_tensors_swapped_in_a_circle_are_told_where_they_belong():
    one = signature({"a": ("float32", (-1,)), "b": ("int64", (-1,)), "c": ("uint8", (-1,))})
    request = predict(a=tensor("int64", (2,)), b=tensor("uint8", (2,)), c=tensor("float32", (2,)))
    verdict = judge(view_of_request(request), servable(one), Policy())
    for alias, home in (("a", "b"), ("b", "c"), ("c", "a")):
        (hint,) = (each.hint for each in verdict.violations if each.alias == alias)
        assert hint.startswith(f"tensors are swapped: this one belongs under '{home}', or ")


def test_payloads_of_swapped_tensors_are_still_told():
    request = predict(text=tensor("int64", (1, 4), int64_val=[1, 2]), ids=TEXT)
    assert ("PAYLOAD_COUNT_MISMATCH", "text") in told(request)


# === severities ===


def test_a_warning_does_not_refuse():
    policy = Policy.of(severities={Reason.INPUT_MISSING: Severity.WARN})
    verdict = judge(view_of_request(predict(text=TEXT)), servable(TWO), policy)
    assert verdict.violations == ()
    assert [each.reason for each in verdict.warnings] == [Reason.INPUT_MISSING]


def test_what_is_off_is_not_told():
    policy = Policy.of(severities={Reason.INPUT_MISSING: Severity.OFF})
    verdict = judge(view_of_request(predict(text=TEXT)), servable(TWO), policy)
    assert (verdict.violations, verdict.warnings) == ((), ())


def test_different_batches_only_warn_by_default():
    text = tensor("string", (2,), string_val=[b"", b""])
    verdict = verdict_on(predict(text=text, ids=IDS), servable(TWO))
    assert (verdict.violations, [each.reason for each in verdict.warnings]) == ((), [Reason.BATCH_MISMATCH])


def test_a_limit_on_the_batch_refuses():
    request = predict(text=tensor("string", (3,), string_val=[b""]), ids=tensor("int64", (3, 4)))
    verdict = verdict_on(request, servable(TWO), policies=Policies(Policy.of(max_batch=2)))
    assert [each.reason for each in verdict.violations] == [Reason.BATCH_TOO_LARGE]


# === bounds ===


def test_a_great_many_unknown_names_are_told_only_so_far():
    request = predict(outputs=[f"o{number}" for number in range(500)])
    for number in range(500):
        request.inputs[f"x{number}"].dtype = 1
    found = told(request, signature({}))
    assert sum(reason == "INPUT_UNKNOWN" for reason, _ in found) == MAX_UNKNOWN
    assert sum(reason == "OUTPUT_UNKNOWN" for reason, _ in found) == MAX_UNKNOWN


# === the rest ===


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, Reason.MODEL_SPEC_MISSING),
        (ModelKey(""), Reason.MODEL_NAME_MISSING),
        (ModelKey("", 1), Reason.MODEL_NAME_MISSING),
    ],
)
def test_a_request_that_names_no_model_is_refused_without_a_servable(key, reason):
    verdict = judge_spec(RequestView(key), Policy())
    assert [each.reason for each in verdict.violations] == [reason]
    assert judge_spec(RequestView(key), Policy.of(severities={reason: Severity.OFF})) == Verdict()
    warned = judge_spec(RequestView(key), Policy.of(severities={reason: Severity.WARN}))
    assert warned is not None
    assert (warned.violations, [each.reason for each in warned.warnings]) == ((), [reason])


def test_a_request_that_names_a_model_waits_for_its_servable():
    assert judge_spec(RequestView(ModelKey("m")), Policy()) is None


def test_classify_asks_for_a_signature_that_can_answer_it():
    request = RequestView(ModelKey("m"))
    good = signature({"inputs": ("string", (-1,))}, {"scores": ("float32", None)})
    assert judge_method(request, servable(good), Policy(), CLASSIFY_METHOD).violations == ()
    (violation,) = judge_method(request, servable(TWO), Policy(), CLASSIFY_METHOD).violations
    assert violation.reason is Reason.METHOD_MISMATCH


def test_classify_answers_invalid_argument_for_a_signature_that_is_not_there():
    verdict = judge_method(RequestView(ModelKey("m"), "nope"), servable(TWO), Policy(), CLASSIFY_METHOD)
    assert verdict.violations[0].reason is Reason.SIGNATURE_NOT_FOUND
    assert verdict.status_code is Code.INVALID_ARGUMENT


def test_the_batch_size_is_the_leading_dimension_of_the_first_input_that_has_one():
    views = (TensorView("a", 1, ()), TensorView("b", 1, (5, 4)), TensorView("c", 1, (7,)))
    assert batch_size(RequestView(ModelKey("m"), inputs=views)) == 5
    assert batch_size(RequestView(ModelKey("m"), inputs=views[:1])) is None
    assert batch_size(RequestView(ModelKey("m"))) is None


def test_what_single_values_fill_is_bounded_over_all_tensors_of_a_request():
    wide = servable(signature({"a": ("float32", (-1,)), "b": ("float32", (-1,)), "s": ("string", (-1,))}))

    def reasons(policy, **sizes):
        views = tuple(
            TensorView(alias, 7, (size,), counts={"string_val": 1})
            if alias == "s"
            else TensorView(alias, 1, (size,), counts={"float_val": 1})
            for alias, size in sizes.items()
        )
        return [each.reason for each in judge(RequestView(ModelKey("m"), "", views), wide, policy).violations]

    fits = {"a": 2**25, "b": 2**24, "s": 2**21}
    assert reasons(Policy(), **fits) == []
    assert reasons(Policy(), **(fits | {"b": 2**25})) == [Reason.PAYLOAD_MISSING]
    assert reasons(Policy(), **(fits | {"s": 2**27})) == [Reason.PAYLOAD_MISSING]
    # What is refused is no fault of what comes behind it.
    assert reasons(Policy(), **(fits | {"a": 2**40})) == [Reason.PAYLOAD_MISSING]
    assert reasons(Policy.of(max_fill_bytes=2**32), **(fits | {"b": 2**25})) == []
    assert reasons(Policy.of(max_fill_bytes=None), **(fits | {"b": 2**28})) == []
    assert reasons(Policy.of(max_fill_bytes=None), **(fits | {"b": 2**30})) == [Reason.PAYLOAD_MISSING]
    assert reasons(Policy.of(max_fill_bytes=0), a=1, b=1, s=1) == []
