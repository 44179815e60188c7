"""What a signature leaves open is filled in sensibly, and said."""

import pytest

from proxy.client_code.request import PNG, TF_EXAMPLE, NoExampleError, example_request
from proxy.client_code.server import Server
from proxy.core.types import (
    CLASSIFY_METHOD,
    PREDICT_METHOD,
    ModelKey,
    Servable,
    Signature,
    TensorSpec,
)

FLOAT, STRING, INT64, RESOURCE = 1, 7, 9, 20


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
        ((-1, -1, 3), (1, 8, 3)),
        ((-1, -1, 4), (1, 8, 4)),
        ((-1, -1, -1), (1, 8, 8)),
        ((-1, -1, -1, 64), (1, 8, 8, 64)),
        ((-1, 12, -1, 64), (1, 12, 8, 64)),
        ((-1, -1, -1, -1, 3), (1, 8, 8, 8, 3)),
        ((-1, 10, 3), (1, 10, 3)),
        ((-1, 0), (1, 0)),
    ],
)
def test_unknown_sizes_are_one_example_and_images_of_224(shape, dims):
    assert only_input("x", FLOAT, shape).dims == dims


@pytest.mark.parametrize(
    ("shapes", "dims"),
    [
        ({"frames": (-1, -1, 4), "state": (2, -1, 8)}, {"frames": (1, 1, 4), "state": (2, 1, 8)}),
        ({"x": (-1, -1, 4), "past": (2, -1, 8)}, {"x": (1, 1, 4), "past": (2, 1, 8)}),
        ({"x": (-1, -1, 4), "h0": (-1, 8), "c0": (-1, 8)}, {"x": (1, 1, 4), "h0": (1, 8), "c0": (1, 8)}),
        ({"x": (-1, -1, 4), "mask": (-1, -1)}, {"x": (1, 8, 4), "mask": (1, 8)}),
        ({"image": (-1, -1, -1, 3), "state": (-1, 8)}, {"image": (1, 224, 224, 3), "state": (1, 8)}),
        ({"state": (2, -1, 8)}, {"state": (2, 8, 8)}),
    ],
)
def test_beside_a_state_every_open_size_is_one_since_its_batch_may_come_second(shapes, dims):
    specs = [TensorSpec(alias, FLOAT, shape, f"{alias}:0") for alias, shape in shapes.items()]
    assert {each.alias: each.dims for each in request_of(servable(*specs)).inputs} == dims


def test_components_of_which_the_signature_does_not_say_enough_are_said_to_be_such():
    names = ("x", "x_1", "x_2", "x_3")
    specs = [TensorSpec(name, STRING if name == "x" else INT64, (-1,), f"{name}:0") for name in names]
    with pytest.raises(NoExampleError, match="the signature does not say of which"):
        request_of(servable(*specs))


def test_what_is_ragged_decides_about_the_batch_of_what_is_dense():
    specs = (
        TensorSpec("x", FLOAT, (-1, 5), "x:0"),
        TensorSpec("x_1", INT64, (4,), "x_1:0"),
        TensorSpec("dense", FLOAT, (-1, 2), "dense:0"),
    )
    found = {each.alias: each for each in request_of(servable(*specs)).inputs}
    assert (found["dense"].dims, found["x"].dims) == ((3, 2), (6, 5))
    assert found["x_1"].numbers == (0, 2, 4, 6)


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
