"""The law of an outcome, held against everything that reads it: no tensor value leaves the proxy."""

import io
import json
import logging

import pytest
import structlog
from prometheus_client.exposition import generate_latest

from proxy.core.policy import Policy
from proxy.core.types import PREDICT_METHOD, Servable, Signature, TensorSpec
from proxy.core.validate import judge
from proxy.observe.admin.api import Api
from proxy.observe.admin.pages import views
from proxy.observe.admin.pages.handlers import known_from
from proxy.observe.admin.views import Sources
from proxy.observe.log import CallLog, configure
from proxy.observe.metrics import Metrics
from proxy.observe.problems import Problems
from proxy.observe.refusals import RecentRefusals
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict
from proxy.wire.status import status_of
from tests.observe.ended import ended

SECRET = "hunter2-hunter2"
NUMBER = 7654321


def request() -> predict_pb2.PredictRequest:
    """Every kind of payload, wrong in every way that a rule may want to quote."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["floats"].dtype = 7
    request.inputs["floats"].string_val.append(SECRET.encode())
    request.inputs["floats"].tensor_shape.dim.add().size = 3
    request.inputs["bytes"].dtype = 4
    request.inputs["bytes"].int_val.extend([NUMBER, NUMBER])
    request.inputs["bytes"].tensor_shape.dim.add().size = 2
    request.inputs["strings"].dtype = 1
    request.inputs["strings"].tensor_content = SECRET.encode()
    request.inputs["strings"].tensor_shape.dim.add().size = 4
    request.inputs["extra"].dtype = 3
    request.inputs["extra"].float_val.append(NUMBER)
    return request


@pytest.fixture
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_no_tensor_value_reaches_log_metrics_ring_or_page(restored_logging):
    inputs = {
        "floats": TensorSpec("floats", 1, (-1, 3)),
        "bytes": TensorSpec("bytes", 4, (-1,)),
        "strings": TensorSpec("strings", 7, (-1,)),
    }
    signature = Signature("serving_default", PREDICT_METHOD, inputs, {})
    view = parse_predict(request().SerializeToString())
    verdict = judge(view, Servable("m", 1, {"serving_default": signature}), Policy())
    assert len(verdict.violations) >= 4
    outcome = ended(
        "/tensorflow.serving.PredictionService/Predict",
        code=3,
        model="m",
        version=1,
        signature="serving_default",
        refusal=verdict,
        warnings=verdict.violations,
        would_refuse=verdict.violations,
        request=view,
        text=status_of(verdict).text,
    )
    written = io.StringIO()
    configure("json", stream=written)
    metrics, ring = Metrics(("1", "3.11", "interpreted")), RecentRefusals()
    problems = Problems()
    metrics.call_started(outcome.method, "unary")
    for observer in (metrics, CallLog(access_log=True), ring, problems):
        observer.call_ended(outcome)
    shown = {
        "log": written.getvalue(),
        "metrics": generate_latest(metrics.registry).decode(),
        "ring": json.dumps([refusal.as_json() for refusal in ring]),
        "problems": json.dumps([each.as_json() for each in problems.select()]),
    }
    sources = Sources(lambda: (), lambda: (), lambda: ring, problems=problems)
    known = known_from(sources, Api(sources), "localhost")
    for each in problems.select():
        shown[f"page of {each.reason}"] = views.problem(known, each.id).decode()
    for place, text in shown.items():
        assert "serving_default" in text, f"nothing was shown in {place}"
        for value in (SECRET, SECRET[:7], str(NUMBER)):
            assert value not in text, f"{value} in {place}"
