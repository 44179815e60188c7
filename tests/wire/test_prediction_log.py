"""Which request a PredictionLog holds."""

import pytest

from proxy.wire import protos
from proxy.wire.prediction_log import KINDS, LoggedRequest, NotAPredictionLogError, log_head, logged_request

# isort: split
from tensorflow_serving.apis import prediction_log_pb2


@pytest.mark.parametrize("kind", ["predict_log", "classify_log", "regress_log"])
def test_the_request_comes_back_as_bytes_of_its_own_message(kind):
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).request.model_spec.name = "m"
    logged = logged_request(log.SerializeToString())
    assert logged.kind == kind
    assert protos.predict_pb2.PredictRequest.FromString(logged.request).model_spec.name == "m"


def test_a_log_without_a_request_is_none():
    assert logged_request(b"") is None


def test_other_bytes_and_logs_that_are_not_replayed_are_refused():
    with pytest.raises(NotAPredictionLogError, match="parsed"):
        logged_request(b"\xff")
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.request.model_spec.name = "m"
    with pytest.raises(NotAPredictionLogError, match="session_run_log"):
        logged_request(log.SerializeToString())


@pytest.mark.parametrize("size", [0, 1, 120, 130, 20_000, 3_000_000])
def test_a_head_makes_a_log_of_a_request_of_any_size(size):
    request = protos.predict_pb2.PredictRequest()
    request.inputs["x"].tensor_content = bytes(size)
    data = request.SerializeToString()
    assert logged_request(log_head("predict_log", len(data)) + data) == LoggedRequest("predict_log", data)


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_kind_is_logged_in_its_own_field(kind):
    assert logged_request(log_head(kind, 0)) == LoggedRequest(kind, b"")


def test_a_recorded_response_is_given_back():
    # predict_log (6) with request (1), empty, and response (2), empty.
    assert logged_request(b"\x32\x04\x0a\x00\x12\x00") == LoggedRequest("predict_log", b"", b"")
