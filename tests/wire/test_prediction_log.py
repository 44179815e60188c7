"""Which request a PredictionLog holds."""

import pytest

from proxy.wire import protos
from proxy.wire.prediction_log import NotAPredictionLogError, logged_request

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
