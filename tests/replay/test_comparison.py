"""What counts as a difference between two answers, and what does not."""

import numpy as np
import pytest

from proxy.replay.comparison import Answer, Difference, differences
from proxy.wire.arrays import tensor_of
from proxy.wire.protos import classification_pb2, predict_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
CODES = {0: "OK", 3: "INVALID_ARGUMENT", 14: "UNAVAILABLE"}


def answer(version=1, **outputs) -> Answer:
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = version
    for alias, values in outputs.items():
        response.outputs[alias].CopyFrom(tensor_of(np.array(values, getattr(values, "dtype", np.float32))))
    return Answer(0, "", response.SerializeToString())


def compare(before, after, tolerance=1e-5, method=PREDICT):
    return differences(method, before, after, tolerance, CODES)


def test_the_same_values_of_another_version_are_no_difference():
    assert compare(answer(y=[1, 2]), answer(version=2, y=[1, 2])) == []


def test_another_encoding_of_the_same_values_is_no_difference():
    other = predict_pb2.PredictResponse()
    other.outputs["y"].dtype = 1
    other.outputs["y"].tensor_shape.dim.add(size=2)
    other.outputs["y"].float_val.extend([1, 2])
    assert compare(answer(y=[1, 2]), Answer(0, "", other.SerializeToString())) == []


def test_a_status_of_another_code_is_told_with_its_text():
    found = compare(answer(), Answer(3, "no such thing"))
    assert found == [Difference("status", "", "OK", "INVALID_ARGUMENT: no such thing")]
    assert compare(Answer(3, "one text"), Answer(3, "another")) == []


def test_without_a_recorded_answer_only_the_status_counts():
    assert compare(Answer(0), answer(y=[1])) == []
    assert [each.kind for each in compare(Answer(0), Answer(14, "gone"))] == ["status"]


def test_missing_and_additional_outputs_are_told():
    found = compare(answer(a=[1], b=[1]), answer(b=[1], c=[1]))
    assert [(each.kind, each.where, each.after) for each in found] == [
        ("outputs", "a", "missing"),
        ("outputs", "c", "there"),
    ]


def test_dtype_and_shape_are_told_before_values():
    found = compare(answer(y=[1, 2]), answer(y=np.array([1, 2], np.float64)))
    assert found == [Difference("dtype", "y", "float32", "float64")]
    assert compare(answer(y=[1, 2]), answer(y=[[1, 2]])) == [Difference("shape", "y", "[2]", "[1,2]")]


@pytest.mark.parametrize(("apart", "same"), [(0.5e-3, True), (3e-3, False)])
def test_floats_may_be_apart_by_the_tolerance(apart, same):
    assert (compare(answer(y=[0, 1]), answer(y=[0, 1 + apart]), tolerance=1e-3) == []) is same


def test_how_many_values_and_how_far_is_told_but_no_value():
    (found,) = compare(answer(y=[7, 7, 7]), answer(y=[7, 9, 8]))
    assert found == Difference("values", "y", "", "2 of 3 differ, by up to 2")


def test_nan_equals_nan_and_nothing_else():
    nan, inf = float("nan"), float("inf")
    assert compare(answer(y=[nan, inf]), answer(y=[nan, inf])) == []
    (found,) = compare(answer(y=[1, 2]), answer(y=[nan, 2]))
    assert found.after == "1 of 2 differ, in being finite or not"
    assert [each.kind for each in compare(answer(y=[inf]), answer(y=[-inf]))] == ["values"]


def test_integers_and_strings_are_the_same_or_different():
    assert [each.after for each in compare(answer(y=np.array([1, 2])), answer(y=np.array([1, 3])))] == [
        "1 of 2 differ"
    ]
    words = np.array([b"a", b"b"], object)
    assert compare(answer(y=words), answer(y=words.copy())) == []
    assert [each.after for each in compare(answer(y=words), answer(y=words[::-1]))] == ["2 of 2 differ"]


def classification(label: str, score: float, version=1) -> Answer:
    response = classification_pb2.ClassificationResponse()
    response.model_spec.version.value = version
    response.result.classifications.add().classes.add(label=label, score=score)
    return Answer(0, "", response.SerializeToString())


def test_classifications_are_compared_field_by_field():
    assert compare(classification("a", 0.5), classification("a", 0.5 + 1e-7, 2), method=CLASSIFY) == []
    (found,) = compare(classification("a", 0.5), classification("b", 0.5), method=CLASSIFY)
    assert (found.kind, found.where) == ("values", "result.classifications[0].classes[0].label")
    (found,) = compare(classification("a", 0.5), classification("a", 0.75), method=CLASSIFY)
    assert found.after == "1 of 1 differ, by up to 0.25"


def test_what_is_no_response_is_told():
    assert [each.kind for each in compare(answer(), Answer(0, "", b"\xff"))] == ["unreadable"]
