"""The request that the form begins with fits the signature, whatever its tensors are; and code says why there is none."""

import json

import pytest
from google.protobuf import json_format

from proxy.client_code.server import Server
from proxy.core.policy import Policy
from proxy.core.reasons import Reason
from proxy.core.types import DTYPES, PREDICT_METHOD, Servable, Signature, TensorSpec
from proxy.core.validate import judge
from proxy.observe.admin.pages.examples import LANGUAGES, code_for, inputs_for
from proxy.observe.admin.views import ModelListing
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict

SENDABLE = sorted(number for number, kind in DTYPES.items() if kind.size or kind.name == "string")


def listed(**inputs: tuple[int, tuple[int, ...] | None]) -> list[ModelListing]:
    specs = {alias: TensorSpec(alias, dtype, shape, f"{alias}:0") for alias, (dtype, shape) in inputs.items()}
    signature = Signature("serving_default", PREDICT_METHOD, specs, {})
    return [ModelListing("m", servables=(Servable("m", 1, {"serving_default": signature}),))]


def judged(models):
    """The verdict on the request that the form holds, and the form."""
    form = inputs_for(models, "m", "serving_default")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    for each in form["inputs"]:
        json_format.Parse(each["json"], request.inputs[each["alias"]])
    ((servable,),) = (each.servables for each in models)
    return judge(parse_predict(request.SerializeToString()), servable, Policy()), form


@pytest.mark.parametrize("dtype", SENDABLE, ids=lambda number: DTYPES[number].name)
@pytest.mark.parametrize("shape", [(), (-1,), (-1, 128), (-1, 0), (-1, 300, 300, 3), None])
def test_what_the_form_begins_with_is_accepted_and_only_large_tensors_are_warned_of(dtype, shape):
    verdict, form = judged(listed(x=(dtype, shape), many=(1, (-1, 2))))
    large = shape == (-1, 300, 300, 3)
    assert verdict is None or verdict.violations == ()
    warned = () if verdict is None else verdict.warnings
    assert [each.reason for each in warned] == [Reason.PAYLOAD_SINGLE_VALUE] * large
    (x,) = [each for each in form["inputs"] if each["alias"] == "x"]
    assert ("one value stands for all 270000" in x["note"]) is large


def test_each_tensor_is_json_of_a_few_lines():
    _, form = judged(listed(x=(1, (-1, 128))))
    (x,) = form["inputs"]
    assert json.loads(x["json"])["floatVal"] == [0] * 128
    assert 3 <= x["rows"] <= 8


def test_code_is_there_in_every_language_with_what_it_needs():
    found = code_for(listed(x=(1, (-1, 2))), "m", "serving_default", Server("h:1", token=True))
    assert list(found["languages"]) == list(LANGUAGES)
    assert len(found["needs"]) == 1
    assert found["why_not"] == ""


@pytest.mark.parametrize(
    "models", [[], [ModelListing("m")], listed(x=(20, ()))], ids=["none", "unknown", "resource"]
)
def test_where_there_is_no_code_it_says_why(models):
    found = code_for(models, "m", "serving_default", Server("h:1"))
    assert found["languages"] == {}
    assert found["why_not"]
