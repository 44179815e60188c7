"""A learned policy says what was seen, can be read as settings, and has nothing to say against it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.capture.learning import Learner
from proxy.client_code.request import PNG, TF_EXAMPLE
from proxy.config import Settings, read_file
from proxy.core.reasons import Reason, Severity
from proxy.core.values import judge_values
from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2
from proxy.wire.values import value_facts


def request(model="m", **inputs) -> bytes:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for alias, values in inputs.items():
        message.inputs[alias].CopyFrom(tensor_of(values))
    return message.SerializeToString()


def floats(*values):
    return np.array([values], np.float32)


def words(*values):
    return np.array(values, object)


def learn(tmp_path, *requests):
    """The proposal as text, and as the settings that a proxy would have."""
    learner = Learner()
    for each in requests:
        learner.add(each)
    text = learner.proposal()
    file = tmp_path / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    return text, Settings(**read_file(file))


@pytest.mark.parametrize(
    ("values", "proposed"),
    [
        ((0.02, 0.97), (0, 1)),
        ((-0.9, 0.8), (-1, 1)),
        ((0.0, 254.0), (0, 255)),
        ((0.0, 0.0625), (0, 0.094)),
        ((3.0, 812.0), (0, 1300)),
        ((-20.0, 20.0), (-40, 40)),
        ((1e6, 3e6), (0, 4e6)),
        ((1e-7, 3e-7), (0, 4.1e-7)),
    ],
)
def test_a_range_is_a_natural_one_or_what_was_seen_with_room(tmp_path, values, proposed):
    _, learned = learn(tmp_path, request(x=floats(*values)))
    policy = learned.models["m"].inputs["x"]
    assert (policy.low, policy.high) == pytest.approx(proposed)


def test_one_value_is_no_range(tmp_path):
    text, learned = learn(tmp_path, request(x=floats(5, 5)))
    assert learned.models["m"].inputs == {}
    assert "# x: seen: 5 to 5" in text


def test_a_range_that_the_dtype_gives_is_only_told(tmp_path):
    text, learned = learn(tmp_path, request(pixels=np.array([[0, 255]], np.uint8)))
    assert "pixels" not in learned.models["m"].inputs
    assert "# pixels: seen: 0 to 255" in text


def test_strings_are_images_or_examples_when_all_of_them_are(tmp_path):
    text, learned = learn(
        tmp_path,
        request(
            image=words(PNG, PNG), example=words(TF_EXAMPLE), mixed=words(PNG, b"text"), text=words(b"good")
        ),
    )
    inputs = learned.models["m"].inputs
    assert {alias: policy.kind for alias, policy in inputs.items()} == {
        "image": "image",
        "example": "example",
    }
    assert "# mixed: 2 strings: 1 image" in text
    assert "# text: 1 strings: text or other bytes" in text


def test_nothing_is_proposed_that_would_refuse(tmp_path):
    _, learned = learn(tmp_path, request(x=floats(0, 1), s=words(b"a")))
    severities = learned.models["m"].severities
    assert severities
    assert set(severities.values()) == {Severity.WARN}
    assert severities[Reason.BATCH_TOO_LARGE] is Severity.WARN


def test_integers_are_not_asked_whether_they_are_finite(tmp_path):
    _, learned = learn(tmp_path, request(ids=np.array([[3, 4]])))
    assert Reason.VALUE_NOT_FINITE not in learned.models["m"].severities


def test_what_was_seen_is_not_asked_about(tmp_path):
    odd = floats(1.0, math.nan, *[0.5] * 20)
    constant = floats(*[3.0] * 20)
    _, learned = learn(tmp_path, request(x=odd, c=constant, s=words(b"aGVsbG8gd29ybGQhIMOkw7bDvAABAgME")))
    asked = {reason.value for reason in learned.models["m"].severities}
    assert asked == {"VALUE_OUTSIDE_POLICY_RANGE", "BATCH_TOO_LARGE"}


def test_the_largest_batch_becomes_a_power_of_two(tmp_path):
    text, learned = learn(
        tmp_path, request(x=np.zeros((3, 2), np.float32)), request(x=np.zeros((11, 2), np.float32))
    )
    assert learned.models["m"].max_batch == 16
    assert "largest seen: 11" in text


def test_few_requests_are_said_to_be_few(tmp_path):
    few, _ = learn(tmp_path, request(x=floats(1)))
    assert "# 1 requests seen: few; look twice" in few
    many, _ = learn(tmp_path, *[request(x=floats(1))] * 100)
    assert "# 100 requests seen\n" in many


def test_no_value_of_a_string_is_told(tmp_path):
    text, _ = learn(tmp_path, request(s=words(b"a secret")))
    assert "secret" not in text


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12) | st.sampled_from(
    ["null", "yes", "1", "1.5", "a: b", "# no", "- x", "a\nb: c", "'", '"', "\x7f", "\x85", "\U0001f600", "~"]
)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from([math.nan, math.inf])
ARRAYS = st.lists(NUMBERS, min_size=1, max_size=20).map(lambda values: np.array([values], np.float32))


@given(
    requests=st.lists(st.tuples(NAMES, st.dictionaries(NAMES, ARRAYS, max_size=3)), min_size=1, max_size=4)
)
@settings(max_examples=150, deadline=None)
def test_a_learned_policy_has_nothing_to_say_against_what_it_learned_from(requests, tmp_path_factory):
    messages = [request(model, **inputs) for model, inputs in requests]
    _, learned = learn(tmp_path_factory.mktemp("learned"), *messages)
    for (model, _), message in zip(requests, messages, strict=True):
        own = learned.models[model]
        found = judge_values(value_facts(message), own.inputs)
        assert [each.reason for each in found if each.reason in own.severities] == []
