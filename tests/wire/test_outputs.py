"""What an answer shows, read from its bytes and those of its request."""

import math

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from proxy.wire.outputs import output_facts
from proxy.wire.protos import predict_pb2
from tests.judging import predict, tensor


def response(**outputs):
    message = predict_pb2.PredictResponse()
    for alias, proto in outputs.items():
        message.outputs[alias].CopyFrom(proto)
    return message.SerializeToString()


def floats(*values, dtype="float32"):
    return tensor(dtype, (len(values),), tensor_content=np.array(values, dtype).tobytes())


REQUEST = predict(x=floats(1, 2)).SerializeToString()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_seen_in_the_output_that_has_it(dtype, value):
    facts = output_facts(REQUEST, response(bad=floats(1, value, dtype=dtype), good=floats(1)))
    assert (facts.not_finite, facts.inputs_not_finite) == (("bad",), ())


def test_inputs_that_are_not_finite_are_named_too():
    request = predict(x=floats(math.nan), y=floats(1)).SerializeToString()
    assert output_facts(request, response(z=floats(math.nan))).inputs_not_finite == ("x",)
    assert output_facts(request, response(z=floats(1))).inputs_not_finite == ()


def test_value_fields_are_read_as_well():
    assert output_facts(REQUEST, response(y=tensor("float32", (2,), float_val=[1, math.inf]))).not_finite


@pytest.mark.parametrize(
    ("output", "measures"),
    [
        (floats(0), True),
        (floats(), False),
        (tensor("int64", (1,), int64_val=[7]), False),
        (tensor("string", (1,), string_val=[b"cat"]), False),
    ],
)
def test_only_floating_point_values_measure(output, measures):
    assert output_facts(REQUEST, response(y=output)).measures is measures


def test_digests_differ_with_a_value_a_shape_and_a_name_and_with_nothing_else():
    answers = [
        response(y=floats(1, 2)),
        response(y=floats(1, 3)),
        response(z=floats(1, 2)),
        response(y=tensor("float32", (2, 1), tensor_content=np.array([1, 2], np.float32).tobytes())),
        response(y=floats(1), z=floats(2)),
    ]
    assert len({output_facts(REQUEST, each).outputs for each in answers}) == len(answers)
    spec = predict_pb2.PredictResponse()
    spec.model_spec.version.value = 3
    again = answers[0] + spec.SerializeToString()
    assert output_facts(REQUEST, again).outputs == output_facts(REQUEST, answers[0]).outputs


def test_the_order_of_a_map_makes_no_difference():
    one = predict(a=floats(1)).SerializeToString()
    other = predict_pb2.PredictRequest()
    other.inputs["b"].CopyFrom(floats(2))
    two = other.SerializeToString()
    answer = response(y=floats(1))
    assert output_facts(one + two, answer).inputs == output_facts(two + one, answer).inputs


def test_no_digest_holds_a_value():
    facts = output_facts(predict(x=floats(1, 2)).SerializeToString(), response(y=floats(7)))
    assert len(facts.inputs) == len(facts.outputs) == 16


def test_what_is_no_answer_raises():
    with pytest.raises(DecodeError):
        output_facts(REQUEST, b"\xff\xff")
