"""All violations of a request together: one mistake that causes several is told once, and mended as one."""

import time

import pytest

from proxy.core.mending.remedies import plan_of
from proxy.core.policy import Policies, Policy
from tests.judging import predict, servable, signature, tensor, verdict_on

F3 = ("float32", (-1, 3))


def floats(*dims):
    return tensor("float32", dims)


def mended_by(request, *signatures):
    """(certainty, steps) of the whole request, and what is told of each violation."""
    verdict = verdict_on(request, servable(*signatures))
    plan = plan_of(each.mending for each in verdict.violations)
    return (
        plan.certainty.value,
        [step.form() for step in plan.steps],
        [each.hint for each in verdict.violations],
    )


def test_a_rename_mends_the_unknown_and_the_missing_name_and_is_told_once():
    certainty, steps, hints = mended_by(predict(X=floats(1, 3)), signature({"x": F3}))
    assert (certainty, steps) == ("the", [{"do": "rename_inputs", "names": {"X": "x"}}])
    assert hints == ["did you mean 'x'?", ""]


def test_several_renames_are_one_step_that_happens_at_once():
    sent = {"A": floats(1, 3), "B": floats(1, 3)}
    _, steps, _ = mended_by(predict(**sent), signature({"a": F3, "b": F3}))
    assert steps == [{"do": "rename_inputs", "names": {"A": "a", "B": "b"}}]


def test_two_independent_mistakes_are_both_mended_and_renames_come_last():
    sent = {"X": floats(1, 3), "y": floats(3)}
    certainty, steps, _ = mended_by(predict(**sent), signature({"x": F3, "y": F3}))
    assert certainty == "the"
    assert [step["do"] for step in steps] == ["expand_dims", "rename_inputs"]


def test_swapped_tensors_are_told_where_they_belong():
    inputs = {"ids": ("int64", (-1, 4)), "text": ("string", (-1,))}
    sent = {"ids": tensor("string", (1,), string_val=[b""]), "text": tensor("int64", (1, 4))}
    certainty, steps, hints = mended_by(predict(**sent), signature(inputs))
    assert (certainty, steps) == ("the", [{"do": "rename_inputs", "names": {"ids": "text", "text": "ids"}}])
    assert [each for each in hints if each] == [
        "tensors are swapped: this one belongs under 'text'",
        "tensors are swapped: this one belongs under 'ids'",
    ]


def test_a_swap_in_which_an_input_that_fits_may_have_part_is_no_certain_one():
    inputs = {"a": F3, "b": ("int64", (-1,)), "c": ("int64", (-1,))}
    sent = {"a": tensor("int64", (1,)), "b": floats(1, 3), "c": tensor("int64", (1,))}
    assert mended_by(predict(**sent), signature(inputs))[0] == "one_of"


def test_another_signature_that_takes_the_request_as_it_is_stands_beside_a_rename():
    certainty, _, hints = mended_by(
        predict(z=floats(1, 3)), signature({"x": F3}), signature({"z": F3}, name="other")
    )
    assert certainty == "one_of"
    assert hints[0] == (
        "did you mean 'x', or set model_spec.signature_name to 'other', which takes this request?"
    )


def test_a_missing_input_is_not_mended_by_a_signature_that_happens_to_take_the_rest():
    both = signature({"x": F3, "y": F3})
    certainty, _, _ = mended_by(predict(x=floats(1, 3)), both, signature({"x": F3}, name="other"))
    assert certainty != "the"


def test_a_missing_input_alone_has_no_mending():
    assert mended_by(predict(x=floats(1, 3)), signature({"x": F3, "y": F3})) == ("none", [], [""])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"tokens": ("int64", (-1,)), "tokens_1": ("int64", (-1,))},
            "'tokens' is ragged: values 'tokens', row splits 'tokens_1'",
        ),
        (
            {"tokens": ("int64", (-1, 2)), "tokens_1": ("int64", (-1,)), "tokens_2": ("int64", (2,))},
            "'tokens' is sparse: indices 'tokens', values 'tokens_1', dense shape 'tokens_2'",
        ),
    ],
)
def test_a_dense_tensor_for_a_composite_one_is_told_which_inputs_belong_together_once(inputs, words):
    _, steps, hints = mended_by(predict(tokens=tensor("int64", (4, 10))), signature(inputs))
    assert steps == []
    assert [each for each in hints if each] == [words]


def test_a_shape_that_was_not_set_and_the_length_that_follows_from_it_are_one_mistake():
    proto = floats(1, 3)
    proto.ClearField("tensor_shape")
    certainty, steps, hints = mended_by(predict(x=proto), signature({"x": F3}))
    assert (certainty, steps) == ("the", [{"do": "set_shape", "input": "x", "shape": (1, 3)}])
    assert hints == ["the shape was not set: set it to [1,3]", ""]


def test_a_size_of_minus_one_is_told_by_the_payload():
    proto = floats(2, 3)
    proto.tensor_shape.dim[0].size = -1
    certainty, steps, _ = mended_by(predict(x=proto), signature({"x": F3}))
    assert (certainty, steps) == ("the", [{"do": "set_shape", "input": "x", "shape": (2, 3)}])


def test_numbers_in_place_of_strings_are_told_nothing_about_their_shape():
    certainty, _, hints = mended_by(
        predict(examples=floats(1, 10)), signature({"examples": ("string", (-1,))})
    )
    assert certainty == "one_of"
    assert ["string_val" in each for each in hints] == [True, False]
    assert hints[1] == ""


def test_a_string_in_place_of_pixels_is_one_mistake():
    sent = {"x": tensor("string", (1,), string_val=[b"\x89PNG\r\n\x1a\n"])}
    certainty, _, hints = mended_by(predict(**sent), signature({"x": ("float32", (-1, 300, 300, 3))}))
    assert certainty == "one_of"
    assert hints == ["the string holds a PNG image: decode it and send the pixel array", ""]


def test_a_swap_stands_beside_casts_that_would_do():
    inputs = {"age": ("float32", (-1, 1)), "children": ("int64", (-1, 1))}
    sent = {"age": tensor("int64", (1, 1)), "children": floats(1, 1)}
    assert mended_by(predict(**sent), signature(inputs))[0] == "one_of"


def test_a_batch_unlike_that_of_the_others_is_no_certain_mending():
    inputs = {"a": ("float32", (-1, 1)), "b": ("float32", (-1, 1))}
    assert mended_by(predict(a=floats(3), b=floats(1, 1)), signature(inputs))[0] == "one_of"
    assert mended_by(predict(a=floats(3), b=floats(3, 1)), signature(inputs))[0] == "the"


def test_an_input_of_unknown_rank_may_share_the_mistake():
    inputs = {"a": ("float32", None), "b": F3}
    assert mended_by(predict(a=floats(3), b=floats(3)), signature(inputs))[0] == "one_of"


def test_every_column_of_a_wide_table_is_mended():
    inputs = {f"col_{number}": ("float32", (-1, 1)) for number in range(300)}
    sent = {alias: tensor("float64", (2, 1)) for alias in inputs}
    certainty, steps, _ = mended_by(predict(**sent), signature(inputs))
    assert certainty == "the"
    assert [step["do"] for step in steps] == ["cast"] * 300


def test_a_batch_that_is_too_large_keeps_its_mending_beside_another_violation():
    request = predict(x=floats(4, 3), y=tensor("float64", (4, 3)))
    verdict = verdict_on(
        request, servable(signature({"x": F3, "y": F3})), policies=Policies(Policy(max_batch=2))
    )
    assert {each.reason.name: each.mending.words for each in verdict.violations} == {
        "BATCH_TOO_LARGE": "split the batch",
        "DTYPE_MISMATCH": "cast with dtype=np.float32 (NumPy defaults to float64)",
    }


@pytest.mark.parametrize(
    "sent", [tensor("float32", (), float_val=[0.0] * 6), tensor("float32", (-1, 3), float_val=[0.0] * 6)]
)
def test_a_shape_by_which_the_batch_would_be_another_than_the_other_inputs_have_is_not_certain(sent):
    certainty, steps, _ = mended_by(predict(x=sent, y=floats(5, 3)), signature({"x": F3, "y": F3}))
    assert certainty != "the"
    assert not steps


def test_a_request_of_many_tensors_of_high_rank_is_judged_in_little_time():
    inputs = {f"x{number}": ("float32", (-1,) * 7 + (99,)) for number in range(200)}
    request = predict(**{alias: floats(*(1, 2) * 4) for alias in inputs})
    began = time.perf_counter()
    verdict_on(request, servable(signature(inputs)))
    assert time.perf_counter() - began < 1
