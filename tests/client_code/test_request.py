"""What a signature leaves open is filled in sensibly, and said."""

import pytest

from proxy.client_code.request import PNG, TF_EXAMPLE, NoExampleError, Server, example_request
from proxy.core.types import (
    CLASSIFY_METHOD,
    PREDICT_METHOD,
    ModelKey,
    Servable,
    Signature,
    TensorSpec,
)

FLOAT, STRING, RESOURCE = 1, 7, 20


def servable(*inputs, name="serving_default", method=PREDICT_METHOD, defaults=(), more=()):
    specs = {spec.alias: spec for spec in inputs}
    signature = Signature(name, method, specs, {}, frozenset(defaults))
    return Servable("m", 1, {each.name: each for each in (signature, *more)})


def request_of(model, signature=None):
    return example_request(model, ModelKey("m"), signature, Server("localhost:8500"))


def only_input(*arguments, **more):
    (one,) = request_of(servable(TensorSpec(*arguments, graph_name="x:0"), **more)).inputs
    return one


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((-1, 4), (1, 4)),
        ((), ()),
        ((2, 2), (2, 2)),
        (None, (1,)),
        ((-1, -1), (1, 8)),
        ((-1, 300, 300, 3), (1, 300, 300, 3)),
        ((-1, -1, -1, 3), (1, 224, 224, 3)),
        ((-1, 3, -1, -1), (1, 3, 224, 224)),
        ((-1, -1, -1, -1), (1, 224, 224, 3)),
        ((-1, -1, 3), (224, 224, 3)),
        ((-1, 10, 3), (1, 10, 3)),
        ((-1, 0), (1, 0)),
    ],
)
def test_unknown_sizes_are_one_example_and_images_of_224(shape, dims):
    assert only_input("x", FLOAT, shape).dims == dims


def test_a_string_is_text_unless_its_name_says_image_or_example():
    assert only_input("query", STRING, (-1,)).element == b"text"
    assert only_input("image_bytes", STRING, (-1,)).element == PNG
    assert only_input("examples", STRING, (-1,)).element == TF_EXAMPLE


def test_a_string_that_classify_feeds_is_a_serialised_example():
    spec = TensorSpec("x", STRING, (-1,), "ser:0")
    classify = Signature("c", CLASSIFY_METHOD, {"inputs": TensorSpec("inputs", STRING, (-1,), "ser:0")}, {})
    (one,) = request_of(servable(spec, more=[classify])).inputs
    assert one.element == TF_EXAMPLE
    assert "features" in one.note


def test_the_only_signature_needs_no_name():
    assert request_of(servable(name="embed")).signature == "embed"
    assert request_of(servable()).signature == ""


def test_several_signatures_without_a_default_are_listed():
    model = servable(name="a", more=[Signature("b", PREDICT_METHOD, {}, {})])
    with pytest.raises(NoExampleError, match=r"no serving_default: choose with --signature; it has a, b"):
        request_of(model)
    assert request_of(model, "b").signature == "b"
    with pytest.raises(NoExampleError, match=r"no signature 'c'; it has a, b"):
        request_of(model, "c")


def test_inputs_with_a_default_are_left_out():
    specs = TensorSpec("x", FLOAT, (), "x:0"), TensorSpec("alpha", FLOAT, (), "alpha:0")
    assert [each.alias for each in request_of(servable(*specs, defaults=["alpha"])).inputs] == ["x"]


def test_what_cannot_be_sent_is_said():
    with pytest.raises(NoExampleError, match="'t' is resource, which cannot be sent"):
        request_of(servable(TensorSpec("t", RESOURCE, (), "t:0")))
    with pytest.raises(NoExampleError, match="sparse or composite"):
        request_of(servable(TensorSpec("t", FLOAT, (), "")))
    with pytest.raises(NoExampleError, match="Predict does not run"):
        request_of(servable(method=""))
