"""Classify, Regress and MultiInference (measured, section N)."""

import pytest

from proxy.wire.protos import classification_pb2, inference_pb2, predict_pb2, regression_pb2, types_pb2

SERVICE = "/tensorflow.serving.PredictionService"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
PARSE_NODE = "\n\t [[{{node ParseExample/ParseExampleV2}}]]"
REGRESS_SIGNATURE = """\
inputs {
  key: "inputs"
  value {
    name: "ser:0"
    dtype: DT_STRING
    tensor_shape {
      dim {
        size: -1
      }
    }
  }
}
outputs {
  key: "outputs"
  value {
    name: "Sum:0"
    dtype: DT_FLOAT
    tensor_shape {
      dim {
        size: -1
      }
    }
  }
}
method_name: "tensorflow/serving/regress"
"""


def request(kind, model="cls", signature="", examples=((1.0, 2.0),), field="float_list"):
    message = kind()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for values in examples:
        feature = message.input.example_list.examples.add().features.feature["x"]
        getattr(feature, field).value.extend(values)
    return message


def classify(client, **kwargs):
    return client.call(f"{SERVICE}/Classify", request(classification_pb2.ClassificationRequest, **kwargs))


def regress(client, **kwargs):
    return client.call(f"{SERVICE}/Regress", request(regression_pb2.RegressionRequest, **kwargs))


def multi_inference(client, *tasks):
    message = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = message.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    feature = message.input.example_list.examples.add().features.feature["x"]
    feature.float_list.value.extend([1.0, 2.0])
    return client.call(f"{SERVICE}/MultiInference", message)


def test_classify_gives_labels_and_scores_per_example(client):
    answer = classify(client, examples=[(1.0, 2.0), (3.0, 4.0)])
    response = classification_pb2.ClassificationResponse.FromString(answer.body)
    rows = [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]
    assert rows == [[("a", 1.0), ("b", 2.0)], [("a", 3.0), ("b", 4.0)]]
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (1, "serving_default")


def test_regress_gives_one_value_per_example(client):
    answer = regress(client, signature="regress")
    response = regression_pb2.RegressionResponse.FromString(answer.body)
    assert [one.value for one in response.result.regressions] == [3.0]
    assert response.model_spec.signature_name == "regress"


def test_a_context_is_merged_into_each_example(client):
    message = request(classification_pb2.ClassificationRequest, examples=())
    listed = message.input.example_list_with_context
    listed.context.features.feature["x"].float_list.value.extend([5.0, 6.0])
    listed.examples.add()
    answer = client.call(f"{SERVICE}/Classify", message)
    response = classification_pb2.ClassificationResponse.FromString(answer.body)
    assert [c.score for c in response.result.classifications[0].classes] == [5.0, 6.0]


@pytest.mark.parametrize(
    ("kwargs", "details"),
    [
        ({"examples": ()}, "Input is empty."),
        (
            {"examples": [()]},
            (
                f"Name: <unknown>, Key: x, Index: 0.  Number of float values != expected.  Values size: 0 but output "
                f"shape: [2]{PARSE_NODE}"
            ),
        ),
        (
            {"examples": [(1, 2)], "field": "int64_list"},
            (
                "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: "
                f"float{PARSE_NODE}"
            ),
        ),
        (
            {"signature": "regress"},
            (
                'Expected classification signature outputs to contain at least one of "classes" or "scores". '
                f"Signature was: {REGRESS_SIGNATURE}"
            ),
        ),
        ({"model": "ssd"}, "Expected one or two output Tensors, found 4"),
        ({"signature": "nope"}, "No signature was found with the name: nope"),
    ],
)
def test_classify_refuses_as_the_genuine_server(kwargs, details, client):
    answer = classify(client, **kwargs)
    assert (answer.code, answer.details) == ("INVALID_ARGUMENT", details)


def test_a_missing_feature_is_told_by_the_parser(client):
    message = request(classification_pb2.ClassificationRequest, examples=())
    message.input.example_list.examples.add()
    answer = client.call(f"{SERVICE}/Classify", message)
    assert answer.details == (
        f"Name: <unknown>, Feature: x (data type: float) is required but could not be found.{PARSE_NODE}"
    )


@pytest.mark.parametrize("kwargs", [{}, {"model": "ssd"}])
def test_regress_counts_the_outputs_of_another_kind_of_signature(kwargs, client):
    answer = regress(client, **kwargs)
    assert (answer.code, answer.details) == ("INVALID_ARGUMENT", "Expected one output Tensor.")


def test_classify_names_an_unknown_model(client):
    answer = classify(client, model="nosuch")
    assert (answer.code, answer.details) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(nosuch)",
    )


def test_predict_runs_a_classify_signature(client):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "cls"
    example = request(classification_pb2.ClassificationRequest).input.example_list.examples[0]
    message.inputs["inputs"].dtype = types_pb2.DT_STRING
    message.inputs["inputs"].string_val.append(example.SerializeToString())
    message.inputs["inputs"].tensor_shape.dim.add(size=1)
    response = predict_pb2.PredictResponse.FromString(client.predict(message).body)
    assert list(response.outputs["classes"].string_val) == [b"a", b"b"]
    assert list(response.outputs["scores"].float_val) == [1.0, 2.0]


def test_predict_with_something_else_than_an_example_is_told_by_the_parser(client):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "cls"
    message.model_spec.signature_name = "predict"
    message.inputs["x"].dtype = types_pb2.DT_STRING
    message.inputs["x"].string_val.append(b"notproto")
    message.inputs["x"].tensor_shape.dim.add(size=1)
    answer = client.predict(message)
    assert (answer.code, answer.details) == (
        "INVALID_ARGUMENT",
        f"Could not parse example input, value: 'notproto'{PARSE_NODE}",
    )


def test_multi_inference_runs_several_signatures_at_once(client):
    answer = multi_inference(client, ("cls", "", CLASSIFY), ("cls", "regress", REGRESS))
    first, second = inference_pb2.MultiInferenceResponse.FromString(answer.body).results
    assert [c.score for c in first.classification_result.classifications[0].classes] == [1.0, 2.0]
    assert first.model_spec.signature_name == "serving_default"
    assert [one.value for one in second.regression_result.regressions] == [3.0]
    assert second.model_spec.signature_name == "regress"


@pytest.mark.parametrize(
    ("tasks", "code", "details"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            [("cls", "", CLASSIFY), ("ssd", "", CLASSIFY)],
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("cls", "predict", "tensorflow/serving/predict")],
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            [("cls", "", CLASSIFY), ("cls", "serving_default", CLASSIFY)],
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            [("cls", "nope", CLASSIFY)],
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: nope",
        ),
    ],
)
def test_multi_inference_refuses_as_the_genuine_server(tasks, code, details, client):
    answer = multi_inference(client, *tasks)
    assert (answer.code, answer.details) == (code, details)
