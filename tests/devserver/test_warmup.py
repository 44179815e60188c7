"""Warm-up records are replayed before a version takes traffic (measured, section S, model badwarm)."""

import shutil

import pytest

from proxy.devserver.protos import prediction_log_pb2
from proxy.wire.protos import get_model_status_pb2, model_pb2, predict_pb2, tensor_pb2, types_pb2


def inc_request(dtype, **values):
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="stateful"))
    request.inputs["inc"].CopyFrom(tensor_pb2.TensorProto(dtype=dtype, **values))
    request.inputs["inc"].tensor_shape.SetInParent()
    return request


def count(client):
    answer = client.predict(inc_request(types_pb2.DT_INT64, int64_val=[0]))
    assert answer.code == "OK", answer.details
    return predict_pb2.PredictResponse.FromString(answer.body).outputs["count"].int64_val[0]


def load_error(client):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="stateful"))
    body = client.call("/tensorflow.serving.ModelService/GetModelStatus", request).body
    (version,) = get_model_status_pb2.GetModelStatusResponse.FromString(body).model_version_status
    return version.status.error_code, version.status.error_message


@pytest.fixture
def base(models_dir, tmp_path):
    """A base path with a version of the model that counts what it was given."""
    shutil.copytree(models_dir / "stateful" / "1", tmp_path / "stateful" / "1")
    return tmp_path / "stateful"


@pytest.fixture
def serve(base, start_dev_server, connect):
    return lambda: connect(start_dev_server(f"--model=stateful={base}").target)


def test_every_record_is_run_once(base, serve, warm_up_with):
    ones = [inc_request(types_pb2.DT_INT64, int64_val=[value]) for value in (1, 10, 100)]
    warm_up_with(base / "1", *ones)
    assert count(serve()) == 111


def test_a_record_that_fails_fails_the_load(base, serve, warm_up_with):
    warm_up_with(base / "1", inc_request(types_pb2.DT_FLOAT, float_val=[1.0]))
    assert load_error(serve()) == (3, "Expects arg[0] to be int64 but float is provided")


def test_a_kind_of_record_that_cannot_be_replayed_fails_the_load(base, serve, warm_up_with):
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    warm_up_with(base / "1", log)
    number = log.DESCRIPTOR.fields_by_name["session_run_log"].number
    assert load_error(serve()) == (12, f"Unsupported log_type for warmup: {number}")


def test_a_truncated_file_fails_the_load(base, serve, warm_up_with):
    file = warm_up_with(base / "1", inc_request(types_pb2.DT_INT64, int64_val=[1]))
    file.write_bytes(file.read_bytes()[:-2])
    code, text = load_error(serve())
    assert code == 15
    assert text.endswith("Please verify your warmup data is in TFRecord format.")
