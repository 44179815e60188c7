"""What nobody looks at to the end: requests with more parts than `core.bounds` allows, through every reader."""

import pytest

from proxy.core import bounds
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason
from proxy.gate import Admit, Gate, Refuse
from proxy.wire import numbers, request
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.request import parse_classify, parse_multi_inference, parse_predict
from proxy.wire.unusual import read_predict
from tests.judging import FixedSignatures, decide, servable, signature
from tests.property.wire import length_delimited as field
from tests.property.wire import varint, varint_field

SPEC = field(1, field(1, b"m"))
STRING = varint_field(1, 7)


def entry(*tensor_fields: bytes, alias: bytes = b"x") -> bytes:
    return field(2, field(1, alias) + field(2, b"".join(tensor_fields)))


def dims(*sizes: int) -> bytes:
    return field(2, b"".join(field(2, varint_field(1, size)) for size in sizes))


MANY = {
    "empty entries": (SPEC + b"\x12\x00" * 20_000, "inputs"),
    "inputs": (SPEC + b"".join(entry(alias=b"%d" % number) for number in range(20_000)), "inputs"),
    "outputs": (SPEC + b"\x1a\x01y" * 20_000, "outputs in output_filter"),
    "strings": (SPEC + entry(STRING, b"\x42\x00" * 270_000), "strings"),
    "strings of many tensors": (
        SPEC + b"".join(entry(STRING, b"\x42\x00" * 9000, alias=b"%d" % n) for n in range(30)),
        "strings",
    ),
    "encoded strings": (SPEC + entry(STRING, dims(270_000), field(4, b"\x80\x00" * 270_000)), "strings"),
    "dimensions": (SPEC + entry(field(2, b"\x12\x00" * 70_000)), "dimensions"),
    "dimensions of many tensors": (
        SPEC + b"".join(entry(dims(*[1] * 60), alias=b"%d" % number) for number in range(1100)),
        "dimensions",
    ),
    "a long shape": (SPEC + entry(field(2, b"\x12\x00" * 600_000)), "bytes of names and shapes"),
    "a long alias": (SPEC + entry(alias=b"x" * (5 << 20)), "bytes of names and shapes"),
    "a long model name": (field(1, field(1, b"m" * 20_000)), "bytes of model_spec"),
    "specs": (field(1, field(1, b"m" * 1000)) * 100, "bytes of model_spec"),
    "unknown fields": (SPEC + b"\x20\x01" * 270_000, "fields"),
    "unknown fields in a tensor": (SPEC + entry(b"\x98\x06\x01" * 270_000), "fields"),
    "groups": (SPEC + b"\x23\x24" * 270_000, "fields"),
    "fields in a group": (SPEC + b"\x23" + b"\x08\x01" * 270_000 + b"\x24", "fields"),
    "dtypes": (SPEC + entry(b"\x08\x01" * 270_000), "fields"),
    "contents": (SPEC + entry(b"\x22\x00" * 270_000), "fields"),
    "packed fields": (SPEC + entry(b"\x2a\x00" * 270_000), "fields"),
    "handles": (SPEC + entry(b"\x72\x00" * 150_000), "bytes of names and shapes"),
    "tensors of one entry": (SPEC + field(2, b"\x12\x00" * 270_000), "fields"),
    "values of two fields by turns": (SPEC + entry(b"\x38\x01\x2d1234" * 140_000), "fields"),
}


@pytest.mark.parametrize("parse", [parse_predict, read_predict], ids=["scanner", "reader"])
@pytest.mark.parametrize(("data", "what"), MANY.values(), ids=MANY)
def test_a_request_with_too_many_parts_is_not_read_to_its_end(parse, data, what):
    with pytest.raises(TooComplexError) as caught:
        parse(data)
    assert caught.value.what == what


def test_groups_may_lie_as_deep_in_one_another_as_for_protobuf():
    deepest = b"\x23" * 100 + b"\x24" * 100
    assert read_predict(deepest).inputs == ()
    with pytest.raises(MalformedRequestError):
        read_predict(b"\x23" + deepest + b"\x24")


def test_single_values_of_one_field_may_come_in_any_number():
    count = 2 * bounds.MAX_FIELDS
    for written, name in (
        (b"\x2d1234", "float_val"),
        (b"\x3112345678", "double_val"),
        (b"\x38\x01", "int_val"),
        (b"\x50" + varint(-1), "int64_val"),
        (b"\x80\x01\x07", "uint32_val"),
        (b"\x88\x01" + varint(300), "uint64_val"),
    ):
        (view,) = parse_predict(SPEC + entry(written * count)).inputs
        assert view.counts == {name: count}


def test_packed_values_are_counted_and_compared_across_the_pieces_in_which_they_are_looked_at():
    for value in (1, 200, -1):
        count = 3 * numbers._CHUNK // len(varint(value)) + 7
        for dtype, fits in ((4, value > 0), (6, value != 200)):
            packed = entry(varint_field(1, dtype), field(7, varint(value) * count))
            (view,) = parse_predict(SPEC + packed).inputs
            assert view.counts == {"int_val": count}
            assert view.wraps is not fits


def test_what_takes_long_is_left_to_whoever_has_the_time():
    for data in (
        SPEC + entry(varint_field(1, 6), field(7, varint(-1) * 500_000)),
        SPEC + entry(STRING, b"\x42\x00" * 70_000),
        SPEC + b"".join(entry(alias=b"%d" % number) for number in range(9000)),
        SPEC + entry(b"\x38\x01" * 50_000),
    ):
        with pytest.raises(request.UnusualError):
            request.parse_predict_at_once(data)
        assert parse_predict(data).inputs


def test_examples_are_not_looked_at_beyond_a_small_size():
    examples = field(2, field(1, b"\x0a\x00" * 1_000_000))
    assert parse_classify(SPEC + examples).key.model == "m"
    task = field(1, SPEC + field(2, b"tensorflow/serving/classify"))
    assert len(parse_multi_inference(task + examples + task)) == 1
    with pytest.raises(MalformedRequestError):
        parse_classify(SPEC + field(2, b"\xff"))


@pytest.mark.parametrize("method", ["Classify", "MultiInference"])
def test_requests_with_examples_are_bounded_too(method):
    parse = {"Classify": parse_classify, "MultiInference": parse_multi_inference}[method]
    with pytest.raises(TooComplexError):
        parse(SPEC * 270_000 if method == "Classify" else field(1, SPEC) * 1025)


def test_the_gate_refuses_what_it_does_not_read_unless_nobody_is_to_be_protected():
    held = FixedSignatures(servable(signature({"x": ("float32", (-1,))})))
    data = SPEC + b"\x12\x00" * 20_000
    decision = decide(Gate(held, Policies()), data)
    assert isinstance(decision, Refuse)
    assert [each.reason for each in decision.verdict.violations] == [Reason.REQUEST_TOO_COMPLEX]
    off, observe = Policy.of(Mode.OFF), Policy.of(Mode.OBSERVE)
    assert decide(Gate(held, Policies(off)), data).would_refuse == ()
    watched = decide(Gate(held, Policies(observe)), data)
    assert isinstance(watched, Admit)
    assert [each.reason for each in watched.would_refuse] == [Reason.REQUEST_TOO_COMPLEX]
    assert isinstance(decide(Gate(held, Policies(off, {"m": Policy()})), data), Refuse)
