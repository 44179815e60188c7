"""A hint is a promise: obeyed where it claims to be *the* mending, it yields the request that was meant.

Some hundreds of mistakes here, tens of thousands with `make trust`.
"""

import json
from random import Random

import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st

from proxy.wire.mended import mended
from proxy.wire.status import status_of
from proxy.wire.tensors import array_of
from tests.conftest import EXPLORE
from tests.judging import verdict_on
from tests.property.mistakes import MISTAKES, UNMENDABLE, rename_all, right_requests


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


@st.composite
def mistaken(draw, mistake):
    """A servable, the request that was meant, and the same with a mistake in it."""
    servable, meant, arrays = draw(right_requests())
    sent = type(meant).FromString(meant.SerializeToString())
    signature = servable.signature(meant.model_spec.signature_name)
    mistake(draw, sent, arrays, signature)
    # Who renames every input does not happen to use the names of another signature, and of that alone.
    others = [each for each in servable.signatures.values() if each is not signature]
    assume(mistake is not rename_all or not any(sent.inputs.keys() <= each.inputs.keys() for each in others))
    return servable, meant, sent


def told(sent, servable) -> dict[str, str]:
    verdict = verdict_on(sent, servable)
    return told_by(verdict) if verdict.violations else {}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
@settings(
    max_examples=25 * max(1, EXPLORE),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(data=st.data())
def test_the_mending_of_a_mistake_yields_the_request_that_was_meant(mistake, data):
    servable, meant, sent = data.draw(mistaken(mistake))
    assert not verdict_on(meant, servable).violations
    information = told(sent, servable)
    if information.get("certainty") != "the":
        return

    obeyed = mended(sent, json.loads(information["steps"]))

    assert meaning(obeyed) == meaning(meant), status_of(verdict_on(sent, servable)).text
    assert not verdict_on(obeyed, servable).violations


@pytest.mark.parametrize("mistake", [each for each in MISTAKES if each not in UNMENDABLE])
def test_of_every_kind_of_mistake_some_are_mended_with_certainty(mistake):
    found = settings(
        max_examples=2000, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
    )
    find(
        mistaken(mistake),
        lambda case: told(case[2], case[0]).get("certainty") == "the",
        settings=found,
        random=Random(1),
    )
