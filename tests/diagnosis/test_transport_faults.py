"""A lost connection, and whether the request in flight may be the cause."""

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, Servable, Signature, TensorSpec, TensorView
from proxy.diagnosis import Call, diagnose

PREDICT = "/tensorflow.serving.PredictionService/Predict"


def conv_call(*dims):
    spec = TensorSpec("x", 1, (-1, 300, 300, 3), "x:0")
    servable = Servable("conv", 1, {"serving_default": Signature("serving_default", "", {"x": spec}, {})})
    return Call(
        PREDICT,
        RequestView(ModelKey("conv"), "", (TensorView("x", 1, dims, counts={"float_val": 1}),)),
        servable,
    )


def test_a_connection_that_dies_under_a_request_without_batch_dimension_makes_it_a_suspect():
    found = diagnose(14, "Stream removed (Socket closed)", conv_call(300, 300, 3))
    assert found.reason is Reason.UPSTREAM_RESET
    assert "the request may be why" in found.sentence
    assert "batch dimension" in found.remedy


def test_a_connection_that_dies_under_a_good_request_is_not_blamed_on_it():
    assert "may be why" not in diagnose(14, "Socket closed", conv_call(1, 300, 300, 3)).sentence


def test_a_reset_stream_of_a_large_request_hints_at_a_size_limit_on_the_way():
    found = diagnose(13, "Received RST_STREAM with error code 2", Call(request_bytes=4_300_000))
    assert "4 MiB" in found.sentence
    assert "4300000" in found.sentence
