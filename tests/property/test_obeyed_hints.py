"""A hint is a promise: obeyed where it claims to be *the* mending, it yields the request that was meant.

Some hundreds of mistakes here, tens of thousands with `make trust`.
"""

import json

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.wire.mended import mended
from proxy.wire.status import status_of
from proxy.wire.tensors import array_of
from tests.conftest import EXPLORE
from tests.judging import verdict_on
from tests.property.mistakes import MISTAKES, right_requests


def told_by(verdict) -> dict[str, str]:
    """The metadata of ErrorInfo, which is what a program reads."""
    for packed in status_pb2.Status.FromString(status_of(verdict).details).details:
        info = error_details_pb2.ErrorInfo()
        if packed.Unpack(info):
            return dict(info.metadata)
    raise AssertionError("a refusal without ErrorInfo")


def meaning(request):
    """What a server would compute with: names, dtypes, shapes and values, however they are written."""
    inputs = {}
    for alias, tensor in request.inputs.items():
        values = array_of(tensor)
        inputs[alias] = (tensor.dtype, values.shape, values.ravel().tolist())
    name = request.model_spec.signature_name or "serving_default"
    return name, list(request.output_filter), inputs


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
@settings(
    max_examples=25 * max(1, EXPLORE),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(case=right_requests(), data=st.data())
def test_the_mending_of_a_mistake_yields_the_request_that_was_meant(mistake, case, data):
    servable, meant, arrays = case
    signature = servable.signature(meant.model_spec.signature_name)
    assert not verdict_on(meant, servable).violations
    sent = type(meant).FromString(meant.SerializeToString())
    mistake(data.draw, sent, arrays, signature)
    verdict = verdict_on(sent, servable)
    told = told_by(verdict) if verdict.violations else {}
    if told.get("certainty") != "the":
        return

    obeyed = mended(sent, json.loads(told["steps"]))

    assert meaning(obeyed) == meaning(meant), status_of(verdict).text
    assert not verdict_on(obeyed, servable).violations
