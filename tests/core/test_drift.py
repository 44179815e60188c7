"""What a new version changes for the clients of the old one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.drift import Change, DriftKind, differences_of, drift_of
from proxy.core.types import Servable, Signature, TensorSpec

FLOAT, UINT8, INT64 = 1, 4, 9


def signature(inputs, outputs=None, *, defaults=(), method="tensorflow/serving/predict"):
    outputs = {"y": (FLOAT, (-1,))} if outputs is None else outputs
    return Signature(
        "s",
        method,
        {alias: TensorSpec(alias, *tensor) for alias, tensor in inputs.items()},
        {alias: TensorSpec(alias, *tensor) for alias, tensor in outputs.items()},
        frozenset(defaults),
    )


OLD = signature({"x": (FLOAT, (-1, 300, 3))})


def step(old, new):
    """The changes between two signatures of the same name, and the kind of the whole step."""
    drift = drift_of(Servable("m", 1, {"s": old}), Servable("m", 2, {"s": new}))
    return [difference.change for difference in drift.differences], drift.kind


def test_equal_signatures_are_unchanged():
    assert step(OLD, signature({"x": (FLOAT, (-1, 300, 3))})) == ([], DriftKind.UNCHANGED)


@pytest.mark.parametrize(
    ("new", "changes", "kind"),
    [
        (signature({"x": (UINT8, (-1, 300, 3))}), [Change.DTYPE_CHANGED], DriftKind.BREAKING),
        (signature({"x": (FLOAT, (-1, 300))}), [Change.RANK_CHANGED], DriftKind.BREAKING),
        (signature({"x": (FLOAT, (-1, 299, 3))}), [Change.SHAPE_CHANGED], DriftKind.BREAKING),
        (signature({"x": (FLOAT, (1, 300, 3))}), [Change.SHAPE_NARROWED], DriftKind.BREAKING),
        (signature({"x": (FLOAT, (-1, -1, 3))}), [Change.SHAPE_WIDENED], DriftKind.COMPATIBLE),
        (signature({"x": (FLOAT, None)}), [Change.SHAPE_WIDENED], DriftKind.COMPATIBLE),
        (signature({"x": (FLOAT, (1, -1, 3))}), [Change.SHAPE_CHANGED], DriftKind.BREAKING),
        (
            signature({"image": (FLOAT, (-1, 300, 3))}),
            [Change.INPUT_ADDED, Change.INPUT_REMOVED],
            DriftKind.BREAKING,
        ),
    ],
)
def test_an_input_that_takes_less_breaks_and_one_that_takes_more_does_not(new, changes, kind):
    assert step(OLD, new) == (changes, kind)


def test_an_unknown_rank_that_becomes_known_is_narrower():
    assert step(signature({"x": (FLOAT, None)}), OLD) == ([Change.SHAPE_NARROWED], DriftKind.BREAKING)


def test_a_new_input_breaks_unless_it_has_a_default():
    inputs = {"x": (FLOAT, (-1, 300, 3)), "k": (INT64, ())}
    assert step(OLD, signature(inputs)) == ([Change.INPUT_ADDED], DriftKind.BREAKING)
    assert step(OLD, signature(inputs, defaults={"k"})) == ([Change.INPUT_ADDED], DriftKind.COMPATIBLE)


def test_losing_a_default_breaks_and_gaining_one_does_not():
    with_default = signature({"x": (FLOAT, (-1, 300, 3))}, defaults={"x"})
    assert step(with_default, OLD) == ([Change.INPUT_REQUIRED], DriftKind.BREAKING)
    assert step(OLD, with_default) == ([Change.INPUT_OPTIONAL], DriftKind.COMPATIBLE)


@pytest.mark.parametrize(
    ("outputs", "changes", "kind"),
    [
        ({}, [Change.OUTPUT_REMOVED], DriftKind.BREAKING),
        ({"y": (FLOAT, (-1,)), "z": (FLOAT, ())}, [Change.OUTPUT_ADDED], DriftKind.COMPATIBLE),
        ({"y": (INT64, (-1,))}, [Change.DTYPE_CHANGED], DriftKind.BREAKING),
        ({"y": (FLOAT, (-1, 2))}, [Change.RANK_CHANGED], DriftKind.BREAKING),
        ({"y": (FLOAT, (100,))}, [Change.SHAPE_NARROWED], DriftKind.COMPATIBLE),
        ({"y": (FLOAT, None)}, [Change.SHAPE_WIDENED], DriftKind.COMPATIBLE),
    ],
)
def test_an_output_breaks_when_it_goes_or_contradicts_what_it_was(outputs, changes, kind):
    assert step(OLD, signature({"x": (FLOAT, (-1, 300, 3))}, outputs)) == (changes, kind)


def test_another_method_breaks():
    new = signature({"x": (FLOAT, (-1, 300, 3))}, method="tensorflow/serving/classify")
    assert step(OLD, new) == ([Change.METHOD_CHANGED], DriftKind.BREAKING)


def test_a_removed_signature_breaks_and_an_added_one_does_not():
    removed = differences_of({"a": OLD, "b": OLD}, {"a": OLD})
    added = differences_of({"a": OLD}, {"a": OLD, "b": OLD})
    assert [(each.signature, each.change, each.breaking) for each in (*removed, *added)] == [
        ("b", Change.SIGNATURE_REMOVED, True),
        ("b", Change.SIGNATURE_ADDED, False),
    ]


def test_graph_names_are_nobodys_business():
    old = Signature("s", "m", {"x": TensorSpec("x", FLOAT, (), "a:0")}, {})
    new = Signature("s", "m", {"x": TensorSpec("x", FLOAT, (), "b:0")}, {})
    assert differences_of({"s": old}, {"s": new}) == ()


def test_differences_read_as_sentences():
    new = signature({"x": (UINT8, (-1, -1, 3)), "k": (INT64, ())})
    assert [str(each) for each in differences_of({"s": OLD}, {"s": new, "t": new})] == [
        "s input 'k': input added",
        "s input 'x': dtype changed float32 -> uint8",
        "s input 'x': shape widened [?,300,3] -> [?,?,3]",
        "t: signature added",
    ]


dims = st.sampled_from([-1, 1, 3])
shapes = st.none() | st.lists(dims, max_size=3).map(tuple)
concrete = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)


def accepts(shape, value):
    return shape is None or (
        len(shape) == len(value) and all(d in {-1, v} for d, v in zip(shape, value, strict=True))
    )


@given(old=shapes, new=shapes, value=concrete)
def test_a_shape_accepted_before_a_compatible_step_is_accepted_after_it(old, new, value):
    _, kind = step(signature({"x": (FLOAT, old)}), signature({"x": (FLOAT, new)}))
    if kind is not DriftKind.BREAKING and accepts(old, value):
        assert accepts(new, value)
