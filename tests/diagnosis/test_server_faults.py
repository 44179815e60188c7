"""What the server lacks: told apart by GetModelStatus, by size, by the method asked for."""

from proxy.core.availability import VersionStatus
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, Servable, Signature, TensorSpec, TensorView
from proxy.diagnosis import Call, diagnose

PREDICT = "/tensorflow.serving.PredictionService/Predict"
LATEST = "Servable not found for request: Latest(m)"


def test_not_found_of_an_available_model_points_at_two_servers_on_one_port():
    found = diagnose(5, LATEST, Call(versions=(VersionStatus(1, "AVAILABLE"),)))
    assert found.reason is Reason.UPSTREAM_CONTRADICTORY
    assert found.failures == ("F42",)
    assert "so_reuseport" in found.remedy


def test_not_found_of_a_loading_model_says_that_it_loads():
    found = diagnose(5, LATEST, Call(versions=(VersionStatus(1, "LOADING"),)))
    assert found.reason is Reason.MODEL_LOADING


def test_not_found_of_a_failed_model_carries_the_servers_own_error():
    failed = VersionStatus(1, "END", 11, "Read less bytes than requested")
    found = diagnose(5, LATEST, Call(versions=(failed,)))
    assert found.reason is Reason.MODEL_LOAD_FAILED
    assert "Read less bytes than requested" in found.sentence


def test_not_found_of_a_model_nobody_has_is_answered_with_the_closest_name():
    found = diagnose(5, "Servable not found for request: Latest(resnt)", Call(versions=(), known=("resnet",)))
    assert found.reason is Reason.MODEL_NOT_FOUND
    assert "did you mean 'resnet'?" in found.sentence


def test_not_found_of_a_version_names_those_available():
    found = diagnose(
        5, "Servable not found for request: Specific(m, 2)", Call(versions=(VersionStatus(3, "AVAILABLE"),))
    )
    assert found.reason is Reason.VERSION_NOT_FOUND
    assert "version 3" in found.sentence


def test_an_empty_resource_exhausted_of_a_large_request_may_also_be_a_hop():
    assert "hop" not in diagnose(8, "", Call(request_bytes=1000)).sentence
    assert "hop" in diagnose(8, "", Call(request_bytes=5_000_000)).sentence


def test_a_deadline_of_an_empty_batch_is_told_as_such():
    spec = TensorSpec("x", 1, (-1, 4), "x:0")
    servable = Servable("m", 1, {"serving_default": Signature("serving_default", "", {"x": spec}, {})})
    empty = RequestView(ModelKey("m"), "", (TensorView("x", 1, (0, 4)),))
    found = diagnose(4, "Deadline Exceeded", Call(PREDICT, empty, servable))
    assert found.reason is Reason.BATCH_EMPTY
    full = RequestView(ModelKey("m"), "", (TensorView("x", 1, (1, 4), content_length=16),))
    assert (
        diagnose(4, "Deadline Exceeded", Call(PREDICT, full, servable)).reason
        is Reason.UPSTREAM_DEADLINE_EXCEEDED
    )


def test_a_missing_health_service_is_answered_with_the_flag_that_starts_it():
    assert (
        "--enable_grpc_healthcheck_service" in diagnose(12, "", Call("/grpc.health.v1.Health/Check")).remedy
    )
