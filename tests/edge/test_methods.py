"""What is known of methods."""

import pytest

from proxy.edge.methods import UNARY_METHODS, changes_state
from proxy.gate import JUDGED_METHODS


def test_every_judged_method_is_unary():
    assert JUDGED_METHODS <= UNARY_METHODS


def test_all_methods_of_tf_serving_are_known():
    assert {method.rpartition("/")[2] for method in UNARY_METHODS} == {
        *("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"),
        *("GetModelStatus", "HandleReloadConfigRequest"),
    }


@pytest.mark.parametrize(
    "method",
    [
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
        "/tensorflow.ProfilerService/Profile",
        "/tensorflow.ProfilerService/Terminate",
    ],
)
def test_what_changes_the_server_is_told_apart(method):
    assert changes_state(method)


@pytest.mark.parametrize(
    "method", [*JUDGED_METHODS, "/tensorflow.serving.ModelService/GetModelStatus", "/a.B/C", ""]
)
def test_everything_else_does_not_change_it(method):
    assert not changes_state(method)
