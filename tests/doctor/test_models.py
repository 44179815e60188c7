"""What is odd about a signature, and the request of zeros that fits it."""

import pytest

from proxy.core.policy import Policy
from proxy.core.types import ModelKey, TensorSpec
from proxy.core.validate import judge
from proxy.doctor.line import Mark
from proxy.doctor.models import example, odd
from proxy.wire.request import parse_predict
from tests.judging import servable, signature

PLAIN = signature({"x": ("float32", (-1, 3))}, {"y": ("float32", (-1, 2))})


def found(each):
    return [(line.mark, line.failures) for line in odd("s", each)]


def test_a_plain_signature_has_nothing_odd():
    assert found(PLAIN) == []


def test_inputs_that_belong_together_are_named():
    each = signature({"x": ("float32", (-1,)), "x_1": ("int64", (-1,))})
    (line,) = odd("s", each)
    assert (line.mark, line.seen) == (Mark.OK, "'x' is ragged: values 'x', row splits 'x_1'")


def test_each_oddity_is_told_with_its_failure():
    nameless = signature({"x": ("float32", (-1, 3))})
    nameless.outputs["y"] = TensorSpec("y", 1, (-1,), "")
    assert found(nameless) == [(Mark.FAULT, ("F13",))]
    assert found(signature({"x": ("float32", (-1, 3))}, method="")) == [(Mark.NOTE, ("F12",))]
    assert found(signature({"x": ("float32", (1, 3))})) == [(Mark.NOTE, ("F30",))]
    assert found(signature({"x": ("float32", (-1, 3))}, {"y": ("float32", ())})) == [(Mark.NOTE, ("F83",))]
    assert found(signature({"x": ("float32", (-1, 3))}, {"y": ("float32", (-1, 1025, 1024))})) == [
        (Mark.FAULT, ("F69",))
    ]


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": ("float32", (-1, 3)), "ids": ("int64", (-1, 4))},
        {"x": ("uint8", ())},
        {"x": ("float16", (2, -1, -1))},
        {"x": ("complex64", None)},
        {"x": ("string", (-1,)), "y": ("string", ())},
        {"x": ("bool", (0, 3))},
        {"x": ("string", (-1,)), "x_1": ("int64", (-1,)), "x_2": ("int64", (-1,))},
        {"x": ("int64", (-1, 3)), "x_1": ("float32", (-1,)), "x_2": ("int64", (3,))},
    ],
)
def test_a_request_of_zeros_fits_its_signature(inputs):
    each = signature(inputs)
    view = parse_predict(example(ModelKey("m", 1), servable(each), each))
    assert view.key == ModelKey("m", 1)
    verdict = judge(view, servable(each), Policy())
    assert verdict.violations == ()


def test_a_request_that_is_larger_than_a_probe_should_be_is_not_made():
    each = signature({"x": ("float32", (1 << 20, 1 << 20))})
    assert example(ModelKey("m"), servable(each), each) is None
