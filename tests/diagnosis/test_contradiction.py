"""Which texts of the server contradict a signature that is held, and which agree with it; texts as measured."""

import pytest

from proxy.core.types import ModelKey, RequestView, Servable, Signature, TensorSpec
from proxy.diagnosis import Call
from proxy.diagnosis.contradiction import contradicts, denies_servable

STRING, INT64 = 7, 9
INPUTS = {
    "text": TensorSpec("text", STRING, (-1,), "serving_default_text:0"),
    "ids": TensorSpec("ids", INT64, (-1, 4), "serving_default_ids:0"),
}
OUTPUTS = {"score": TensorSpec("score", 1, (-1,), "PartitionedCall:0")}
NOT_FOUND = "not found in request and no default value provided. Inputs expected to be in the request {a,b}, or default input alias set: "


def contradicted(text, inputs=INPUTS, defaults=frozenset(), name="serving_default", asked=""):
    signature = Signature(name, "tensorflow/serving/predict", inputs, OUTPUTS, defaults)
    request = RequestView(ModelKey("m"), asked)
    return contradicts(text, Call("/…/Predict", request, Servable("m", 1, {name: signature})))


@pytest.mark.parametrize(
    "text",
    [
        f"Signature input alias: ids(feed name: serving_default_ids:0) {NOT_FOUND}",
        "input tensor alias not found in signature: img. Inputs expected to be in the set {ids,text}.",
        "input tensor alias not found in signature: img",
        "input size does not match signature: 1!=2 len({text}) != len({ids,text}). Sent extra: {}. Missing but required: {ids}.",
        "input size does not match signature: 1!=2",
        "output tensor alias not found in signature: nope Outputs expected to be in the set {score}.",
        'Serving signature key "nope" not found.',
        "No signature was found with the name: nope",
        "Expects arg[0] to be int64 but float is provided",
        "Expects arg[1] to be string but int64 is provided",
        "Expects arg[7] to be string but int64 is provided",
        "Expected input ids to be int64 but get float",
        "tensor parsing error: ids",
        "Matrix size-incompatible: In[0]: [1,3], In[1]: [4,2]",
        "a model may say so: Signature input alias: gone(feed name: gone:0) not found in request",
        "input size does not match signature: 3!=2 len({ids,text,xxxxxxxxxxxxxxx",
        "",
    ],
)
def test_what_can_be_true_of_the_signature_does_not_contradict_it(text):
    assert not contradicted(text)


@pytest.mark.parametrize(
    "text",
    [
        f"Signature input alias: words(feed name: serving_default_words:0) {NOT_FOUND}",
        f"Signature input alias: ids(feed name: serving_default_input_2:0) {NOT_FOUND}",
        "input tensor alias not found in signature: ids. Inputs expected to be in the set {text,words}.",
        "input tensor alias not found in signature: img. Inputs expected to be in the set {image}.",
        "input size does not match signature: 2!=1 len({ids,text}) != len({text}). Sent extra: {ids}. Missing but required: {}.",
        "input size does not match signature: 1!=2 len({text}) != len({text,words}). Sent extra: {}. Missing but required: {words}.",
        "input size does not match signature: 2!=3",
        "output tensor alias not found in signature: score Outputs expected to be in the set {scores}.",
        'Serving signature key "serving_default" not found.',
        "Default serving signature key not found.",
        "No signature was found with the name: serving_default",
        "Expects arg[0] to be int32 but int64 is provided",
        "Expected input ids to be int32 but get int64",
        "Expected input words to be string but get int64",
        "tensor parsing error: words",
    ],
)
def test_what_cannot_be_true_of_the_signature_contradicts_it(text):
    assert contradicted(text)


def test_an_input_that_may_be_left_out_is_not_one_that_the_server_misses():
    text = f"Signature input alias: ids(feed name: serving_default_ids:0) {NOT_FOUND}"
    assert contradicted(text, defaults=frozenset({"ids"}))


def test_a_server_that_has_the_signature_contradicts_a_model_without_it():
    text = f"Signature input alias: x(feed name: other_x:0) {NOT_FOUND}"
    assert contradicted(text, asked="other")


def test_a_name_with_commas_is_in_the_list():
    inputs = {"a,b": TensorSpec("a,b", INT64, (-1,), "a:0"), "c": TensorSpec("c", INT64, (-1,), "c:0")}
    sentence = "input size does not match signature: 0!=2 len({}) != len({a,b,c}). Sent extra: {}. Missing but required: {a,b,c}."
    assert not contradicted(sentence, inputs)
    assert contradicted(sentence.replace("!= len({a,b,c})", "!= len({a,c,d})"), inputs)


def test_places_do_not_tell_where_two_inputs_are_one_tensor():
    inputs = {alias: TensorSpec(alias, INT64, (-1,), "x:0") for alias in ("a", "b")}
    assert not contradicted("Expects arg[0] to be float but int64 is provided", inputs)


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("Servable not found for request: Latest(m)", True),
        ("Servable not found for request: Specific(m, 1)", True),
        ("Unrecognized servable version label: stable", True),
        ("Table not found: Servable not found for request: Latest(m)", False),
    ],
)
def test_the_server_says_that_it_has_no_such_servable(text, denied):
    assert denies_servable(text) is denied


def test_nothing_known_is_nothing_contradicted():
    assert not contradicts(f"Signature input alias: x(feed name: x:0) {NOT_FOUND}", Call())
