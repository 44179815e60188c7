"""Names that a signature does not have: which input was meant, over all names at once."""

import itertools

import pytest

from proxy.core.mending.names import example_alias, name_remedies
from proxy.core.mending.remedies import Mending, plan_of
from proxy.core.mending.signatures import output_remedies, signature_remedies
from tests.judging import predict, signature, tensor, view_of_request

F3 = ("float32", (-1, 3))


def named(inputs, sent, defaults=frozenset()):
    """Alias sent → (certainty, words); `sent` is alias → tensor."""
    found = name_remedies(
        view_of_request(predict(**sent)), signature(inputs, defaults=frozenset(defaults))
    ).remedies
    told = {}
    for alias, remedies in found.items():
        mending = Mending(tuple(remedies))
        told[alias] = (mending.certainty.value, mending.words)
    return told


def floats(*dims):
    return tensor("float32", dims)


def test_keras_numbers_that_moved_are_told_as_such_and_never_one_by_one():
    told = named(
        {"keras_tensor_1": F3, "keras_tensor_2": F3},
        {"keras_tensor": floats(1, 3), "keras_tensor_1": floats(1, 3)},
    )
    assert told == {
        "keras_tensor": (
            "the",
            "the numbers of this series are off by 1: send 'keras_tensor' as 'keras_tensor_1', 'keras_tensor_1' as 'keras_tensor_2'",
        )
    }


@pytest.mark.parametrize("first", [1, 2, 5])
def test_columns_that_were_counted_from_another_number_are_a_series(first):
    inputs = {f"_{number:03}": ("float32", (-1, 1)) for number in range(30)}
    sent = {f"_{number:03}": floats(1, 1) for number in range(first, first + 30)}
    told = named(inputs, sent)
    assert set(told) == set(sent) - set(inputs)
    (words,) = {words for _, words in told.values() if words}
    assert words.startswith(f"the numbers of this series are off by {first}: send '_{first:03}' as '_000'")
    assert {certainty for certainty, _ in told.values()} == {"the"}


def test_a_series_whose_members_have_other_specs_is_no_series_that_moved():
    inputs = {"x_1": F3, "x_2": ("int64", (-1,))}
    told = named(inputs, {"x": floats(1, 3), "x_1": floats(1, 3)})
    assert told == {"x": ("none", "")}


BERT = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ("int64", (-1, 128)))


def test_names_of_another_export_with_equal_specs_are_a_toss_up():
    sent = {name: tensor("int64", (1, 128)) for name in ("input_word_ids", "input_mask", "input_type_ids")}
    assert named(BERT, sent) == dict.fromkeys(sent, ("none", ""))


def test_names_of_another_export_are_told_where_dtype_and_shape_leave_one():
    inputs = {"features": F3, "tokens": ("string", (-1,)), "length": ("int64", ())}
    sent = {
        "a": floats(2, 3),
        "b": tensor("string", (2,), string_val=[b"", b""]),
        "c": tensor("int64"),
    }
    assert named(inputs, sent) == {
        "a": ("the", "did you mean 'features'?"),
        "b": ("the", "did you mean 'tokens'?"),
        "c": ("the", "did you mean 'length'?"),
    }


def test_a_name_is_never_told_against_dtype_rank_or_shape():
    for wrong in (tensor("int64", (1, 3)), floats(3), floats(1, 4)):
        assert named({"features": F3}, {"feature_s2": wrong}) == {"feature_s2": ("none", "")}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("Image_Tensor", "did you mean 'image_tensor'?"),
        ("image-tensor", "did you mean 'image_tensor'?"),
        ("imageTensor", "did you mean 'image_tensor'?"),
        ("image tensor", "did you mean 'image_tensor'?"),
        ("image.tensor", "did you mean 'image_tensor'?"),
        ("image_tensor:0", "drop the ':0': the alias is 'image_tensor'"),
        (
            "serving_default_image_tensor:0",
            "that is the graph name; the alias is 'image_tensor'",
        ),
        ("serving_default_image_tensor", "that is the graph name; the alias is 'image_tensor'"),
    ],
)
def test_one_alias_in_another_writing_is_recognised_among_its_like(sent, words):
    inputs = {"image_tensor": F3, "image_mask": F3, "other": F3}
    others = {"image_mask": floats(1, 3), "other": floats(1, 3)}
    assert named(inputs, {sent: floats(1, 3), **others}) == {sent: ("the", words)}


def test_two_names_that_differ_in_writing_only_are_a_toss_up():
    inputs = {"Age": F3, "AGE": F3}
    assert named(inputs, {"age": floats(1, 3)}) == {"age": ("none", "")}
    assert named({"age": F3, "b": F3}, {"Age": floats(1, 3), "AGE": floats(1, 3)}) == {
        "Age": ("none", ""),
        "AGE": ("none", ""),
    }


def test_a_slip_among_equals_is_asked_and_not_told():
    inputs = {"feature_left": F3, "mask": F3}
    told = named(inputs, {"feature_lefft": floats(1, 3), "zzz": floats(1, 3)})
    assert told["feature_lefft"] == ("one_of", "did you mean 'feature_left'?")
    assert told["zzz"][0] != "the"


def test_a_signature_that_takes_examples_is_told_as_such_once():
    told = named({"examples": ("string", (-1,))}, {"age": floats(1), "hours": floats(1)})
    assert told == {
        "age": (
            "one_of",
            "this signature takes serialised tf.train.Example: build one from these features and send it as 'examples'",
        ),
        "hours": ("one_of", ""),
    }


def test_serialised_examples_under_another_name_are_only_misnamed():
    example = b"\n\x10\n\x0e\n\x01x\x12\t\x12\x07\n\x05\x00\x00\x80?"
    sent = {"inputs": tensor("string", (1,), string_val=[example])}
    assert named({"examples": ("string", (-1,))}, sent) == {"inputs": ("the", "did you mean 'examples'?")}


def test_a_lone_string_input_by_another_name_takes_no_examples():
    assert example_alias(signature({"text": ("string", (-1,))})) is None
    assert example_alias(signature({"examples": ("float32", (-1,))})) is None
    assert example_alias(signature({"examples": ("string", (-1,)), "x": F3})) is None


def test_an_input_too_many_is_to_be_left_out():
    assert named({"x": F3}, {"x": floats(1, 3), "training": floats()}) == {
        "training": ("the", "leave it out")
    }
    assert named({}, {"x": floats(1, 3)}) == {"x": ("the", "leave it out")}


def test_an_input_that_may_be_left_out_is_one_of_two_ways():
    inputs = {"x": F3, "temperature": ("float32", ())}
    told = named(inputs, {"x": floats(1, 3), "temp": floats()}, {"temperature"})
    assert told == {"temp": ("one_of", "did you mean 'temperature', or leave it out?")}


def test_the_same_request_gets_the_same_words_in_whatever_order_its_map_is():
    names = ("col_a", "col_b", "Col_C", "d:0")
    inputs = {"col_c": F3, "d": F3, "e": F3, "f": F3}
    told = [named(inputs, {each: floats(1, 3) for each in order}) for order in itertools.permutations(names)]
    assert all(each == told[0] for each in told)


def test_each_input_is_told_to_one_name_only():
    inputs = {f"f{number}": F3 for number in range(4)}
    for count in range(1, 5):
        for sent in itertools.combinations(("F0", "f0:0", "f_1", "f5", "g"), count):
            found = name_remedies(
                view_of_request(predict(**{each: floats(1, 3) for each in sent})), signature(inputs)
            )
            certain = [
                plan_of([Mending(tuple(each))]).steps[0].form()["names"]
                for each in found.remedies.values()
                if Mending(tuple(each)).certainty == "the"
            ]
            merged = {}
            for each in certain:
                merged |= each
            assert len(set(merged.values())) == len(merged)


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        (("input_ids", "attention_mask"), ("input_ids", "token_type_ids")),
        (("age", "fare"), ("fare", "survived")),
        (("user_id", "item_id"), ("user_id", "timestamp")),
        (("dense_1_input", "dense_2_input"), ("dense_input", "dense_1_input")),
        (("sales_2022", "sales_2023"), ("sales_2023", "sales_2024")),
        (("keras_tensor_1", "keras_tensor_2"), ("keras_tensor:0", "keras_tensor_1:0")),
        (("keras_tensor_1", "keras_tensor_2"), ("Keras_Tensor", "Keras_Tensor_1")),
        (("keras_tensor_1", "keras_tensor_2"), ("kerasTensor", "kerasTensor1")),
        (("left", "right"), ("left", "middle")),
    ],
)
def test_one_forgotten_and_one_too_many_of_equal_specs_are_only_listed(known, sent):
    told = named(dict.fromkeys(known, F3), {each: floats(1, 3) for each in sent})
    assert set(told.values()) == {("none", "")}


def test_which_of_a_series_is_too_many_is_not_told():
    known = {"input_2": F3, "input_3": F3}
    told = named(known, {f"input_{number}": floats(1, 3) for number in (1, 2, 3)})
    assert told == {"input_1": ("none", "")}


# === signatures and outputs ===


def words_of(remedies):
    mending = Mending(tuple(remedies))
    return mending.certainty.value, mending.words


def test_a_signature_in_another_writing_that_takes_the_request_is_the_one_meant():
    assert words_of(signature_remedies(["sig_a"], ["sig_a", "sig_b"], "SIG_A")) == (
        "the",
        "did you mean 'sig_a'?",
    )


def test_the_only_signature_is_told_as_such():
    assert words_of(signature_remedies(["predict"], ["predict"], "")) == (
        "the",
        "set model_spec.signature_name to 'predict', the only one",
    )


def test_signatures_that_take_the_request_are_named_where_several_do():
    assert words_of(signature_remedies(["a", "b"], ["a", "b", "c"], "")) == (
        "one_of",
        "set model_spec.signature_name to one of those that take this request: 'a', 'b'",
    )


def test_a_signature_of_the_same_writing_stands_beside_one_that_takes_the_request():
    assert words_of(signature_remedies(["encode"], ["encode", "decode"], "Decode")) == (
        "one_of",
        "did you mean 'decode', or 'encode', which takes this request?",
    )


def test_a_signature_that_does_not_take_the_request_is_only_asked_for():
    assert words_of(signature_remedies([], ["sig_a", "sig_b"], "sig_c"))[0] == "one_of"
    assert words_of(signature_remedies([], ["a", "b"], "")) == (
        "one_of",
        "set model_spec.signature_name to one of them",
    )


def test_a_model_without_signatures_is_to_be_exported_with_one():
    assert "export" in words_of(signature_remedies([], [], "serving_default"))[1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Scores", ("the", "did you mean 'scores'?")),
        ("scores:0", ("the", "drop the ':0': the alias is 'scores'")),
        ("score", ("one_of", "did you mean 'scores'?")),
        ("zzz", ("none", "")),
    ],
)
def test_an_output_is_told_like_an_input(name, told):
    outputs = {"scores": ("float32", None), "boxes": ("float32", None)}
    assert words_of(output_remedies(0, name, signature({}, outputs))) == told
