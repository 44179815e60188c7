"""Hints: each names the cause that it recognises, and nothing where it recognises none."""

import time

import pytest

from proxy.core.explain import (
    alias_hint,
    closest,
    dtype_hint,
    escape,
    fits,
    length_hint,
    listing,
    quote,
    sent_shape,
    shape_hint,
    signature_hint,
    string_kind,
    swap_hint,
    tensor_text,
)
from proxy.core.types import DTYPES, TensorView
from tests.judging import NUMBERS, signature, spec, tensor, view_of

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
PNG = b"\x89PNG\r\n\x1a\n"
EXAMPLE = b"\n\x10\n\x0e\n\x01x\x12\t\x12\x07\n\x05\x00\x00\x80?"
LONG_EXAMPLE = b"\n\xac\x02\n\xa9\x02\n\x05image\x12\x9f\x02"


# === text ===


def test_escaped_text_is_printable_ascii():
    assert escape("a\n\x00\x7fé漢😀\\") == "a\\n\\x00\\x7f\\xe9\\u6f22\\U0001f600\\\\"


@pytest.mark.parametrize("text", ["x" * 500, "漢" * 500, "😀" * 500, "\\" * 500, "\x00" * 500, "x\n" * 500])
@pytest.mark.parametrize("limit", [1, 2, 5, 80])
def test_escaped_text_is_cut_to_its_limit_but_never_inside_of_an_escape(text, limit):
    shown = escape(text, limit)
    assert len(shown) <= limit + 3
    assert shown.endswith("...")
    assert shown.removesuffix("...").encode().decode("unicode_escape") in text


def test_text_of_exactly_the_limit_is_not_cut():
    assert escape("x" * 80) == "x" * 80


def test_a_quote_is_escaped_and_in_single_quotes():
    assert quote("a\tb") == "'a\\tb'"


def test_a_listing_is_sorted_and_says_how_many_it_leaves_out():
    assert listing([]) == "none"
    assert listing(["b", "a"]) == "'a', 'b'"
    assert listing([str(number) for number in range(9)]) == "'0', '1', '2', '3', '4', '5' and 3 more"


# === did you mean ===


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("Image_Tensor", ["images", "image_tensor"], "image_tensor"),
        ("input", ["inputs"], "inputs"),
        ("detection_score", ["detection_boxes", "detection_scores"], "detection_scores"),
        ("x", ["ids", "text"], None),
        ("", ["x"], None),
        ("x", [], None),
    ],
)
def test_the_closest_name_is_one_in_other_case_or_a_few_letters_away(name, known, found):
    assert closest(name, known) == found


def test_a_name_is_not_close_to_itself():
    assert closest("x", ["x"]) is None


def test_looking_for_a_close_name_takes_no_time_that_a_client_can_stretch():
    known = [f"{number}" * 60 for number in range(1000)]
    began = time.perf_counter()
    closest("0123456789" * 100_000, known)
    assert time.perf_counter() - began < 1


SPECS = {"image_tensor": spec("image_tensor", "uint8", None), "ids": spec("ids", "int64", None)}


def test_the_name_of_a_tensor_in_the_graph_is_recognised():
    for name in ("serving_default_ids:0", "serving_default_ids"):
        assert alias_hint(name, SPECS, ["ids"]) == "that is the graph name; the alias is 'ids'"


def test_the_suffix_of_a_graph_tensor_is_recognised():
    assert alias_hint("ids:0", SPECS, ["ids"]) == "drop the ':0': the alias is 'ids'"


def test_another_case_comes_before_a_signature_that_has_the_very_name():
    assert alias_hint("IDS", SPECS, ["ids"], ["other"]) == "did you mean 'ids'?"


def test_a_signature_that_has_the_very_name_comes_before_a_similar_name():
    hint = alias_hint("image", SPECS, ["image_tensor"], ["predict_images", "other"])
    assert hint == "that alias exists in signature 'other': set model_spec.signature_name"


def test_a_similar_name_is_suggested_only_where_it_is_not_taken():
    assert alias_hint("image_tenso", SPECS, ["image_tensor"]) == "did you mean 'image_tensor'?"
    assert alias_hint("image_tenso", SPECS, ["ids", "zzz"]) == ""


def test_the_only_name_left_is_suggested_however_different():
    assert alias_hint("foo", SPECS, ["ids"]) == "did you mean 'ids'?"


def test_an_input_too_many_is_to_be_left_out():
    assert alias_hint("foo", SPECS, []) == "leave it out"
    assert alias_hint("foo", {}, []) == "this signature takes none"


def test_the_only_signature_is_suggested_where_none_was_named():
    assert "'predict'" in signature_hint("", {"predict": signature({}, name="predict")})


def test_a_signature_in_other_case_is_suggested():
    found = {name: signature({}, name=name) for name in ("sig_a", "sig_b")}
    assert signature_hint("SIG_A", found) == "did you mean 'sig_a'?"
    assert signature_hint("", found) == "set model_spec.signature_name to one of them"
    assert signature_hint("zzz", found) == "set model_spec.signature_name to one of them"


def test_a_model_without_signatures_is_to_be_exported_with_one():
    assert "export" in signature_hint("serving_default", {})


# === dtype ===


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (JPEG, "a JPEG image"),
        (PNG, "a PNG image"),
        (b"GIF89a", "a GIF image"),
        (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00", "a BMP image"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "a WebP image"),
        (EXAMPLE[:16], "a serialised tf.train.Example"),
        (LONG_EXAMPLE[:16], "a serialised tf.train.Example"),
        (b"BMW and others", ""),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", ""),
        (b"\nnew line\n", ""),
        (b"text", ""),
        (b"", ""),
    ],
)
def test_a_string_is_recognised_by_its_first_bytes(head, kind):
    assert string_kind(head) == kind


def dtype_hint_for(sent, wanted, shape=(-1,)):
    return dtype_hint(view_of(sent), spec("x", wanted, shape))


@pytest.mark.parametrize(
    ("sent", "wanted", "hint"),
    [
        ("float64", "float32", "cast with dtype=np.float32 (NumPy defaults to float64)"),
        ("int64", "int32", "cast with dtype=np.int32 (NumPy defaults to int64)"),
        ("int32", "int64", "cast with dtype=np.int64 (TensorFlow makes int32 of Python integers)"),
        ("int32", "float32", "cast with dtype=np.float32 (TensorFlow makes int32 of Python integers)"),
        ("float32", "float64", "cast with dtype=np.float64 (TensorFlow makes float32 of Python floats)"),
        (
            "float32",
            "uint8",
            "cast with dtype=np.uint8, after scaling back to 0..255 if the values were normalised",
        ),
        ("uint8", "float32", "cast with dtype=np.float32, and normalise as in training"),
        ("float32", "float16", "cast with dtype=np.float16"),
        ("float32", "bfloat16", "cast to bfloat16"),
        ("uint8", "quint8", "cast to quint8"),
        ("int8", "int4", "cast to int4"),
    ],
)
def test_a_cast_mends_a_numeric_dtype(sent, wanted, hint):
    assert dtype_hint_for(tensor(sent, (2,)), wanted) == hint


def test_content_that_already_has_the_length_of_the_wanted_dtype_was_only_labelled_wrongly():
    hint = dtype_hint_for(tensor("float32", (2,), tensor_content=bytes(2)), "uint8")
    assert hint == "tensor_content already has the length of uint8: only the dtype field is wrong"


def test_dtypes_of_equal_size_are_told_apart_only_by_a_cast():
    assert dtype_hint_for(tensor("int32", (2,)), "float32").startswith("cast")


@pytest.mark.parametrize(
    ("string", "hint"),
    [
        (JPEG, "the string holds a JPEG image: decode it and send the pixel array"),
        (PNG, "the string holds a PNG image: decode it and send the pixel array"),
        (EXAMPLE, "the string holds a serialised tf.train.Example: this signature wants the parsed array"),
        (b"hello", "send an array of float32, not bytes"),
    ],
)
def test_a_string_where_an_array_is_wanted_is_told_by_what_it_holds(string, hint):
    assert dtype_hint_for(tensor("string", (1,), string_val=[string]), "float32") == hint


def test_an_array_where_a_string_is_wanted_is_told_what_strings_may_hold():
    hint = dtype_hint_for(tensor("uint8", (60,)), "string")
    assert "encoded image" in hint
    assert "tf.train.Example" in hint
    assert "string_val" in hint


@pytest.mark.parametrize(
    ("sent", "wanted"), [("variant", "float32"), ("resource", "float32"), ("float32", "variant")]
)
def test_no_cast_is_offered_where_there_is_none(sent, wanted):
    assert dtype_hint(TensorView("x", NUMBERS[sent]), spec("x", wanted, None)) == ""


def test_no_hint_is_given_for_a_dtype_that_nobody_knows():
    assert dtype_hint(TensorView("x", 999), spec("x", "float32", None)) == ""


# === shape ===

IMAGES = (-1, 300, 300, 3)


@pytest.mark.parametrize(
    ("dims", "shape", "hint"),
    [
        ((300, 300, 3), IMAGES, "the batch dimension is missing: send [1,300,300,3] (np.expand_dims(x, 0))"),
        ((), (-1,), "the batch dimension is missing: send [1] (np.expand_dims(x, 0))"),
        ((1, 1, 300, 300, 3), IMAGES, "one dimension too many: send [1,300,300,3] (np.squeeze(x, 0))"),
        ((8, 1), (-1,), "one dimension too many: send [8] (np.squeeze(x, -1))"),
        ((8,), (-1, 1), "the last dimension is missing: send [8,1] (np.expand_dims(x, -1))"),
        (
            (8, 28, 28),
            (-1, 28, 28, 1),
            "the last dimension is missing: send [8,28,28,1] (np.expand_dims(x, -1))",
        ),
        ((270000,), IMAGES, "the array was flattened: reshape to [1,300,300,3]"),
        ((2, 270000), IMAGES, "the array was flattened: reshape to [2,300,300,3]"),
        ((540000,), IMAGES, "the array was flattened: reshape to [2,300,300,3]"),
        ((28, 28), (-1, 28, 28, 1), "reshape to [1,28,28,1]"),
        (
            (1, 3, 300, 300),
            IMAGES,
            "channels come first: transpose to [1,300,300,3] (np.transpose(x, (0, 2, 3, 1)))",
        ),
        (
            (3, 300, 300),
            IMAGES,
            "channels come first: transpose to [1,300,300,3] (np.transpose(x, (1, 2, 0))[None])",
        ),
        (
            (1, 480, 640, 3),
            (-1, 3, -1, -1),
            "channels come last: transpose to [1,3,480,640] (np.transpose(x, (0, 3, 1, 2)))",
        ),
        (
            (8, 4),
            (1, 4),
            "the model was exported with a fixed batch of 1: send examples one by one, or export it with a free batch dimension",
        ),
        ((8, 4), (16, 4), "the model was exported with a fixed batch of 16"),
        ((1, 300, 300, 4), IMAGES, "the image is RGBA (it has an alpha channel): convert it to RGB"),
        ((1, 300, 300, 1), IMAGES, "the image is grayscale: convert it to RGB"),
        ((1, 28, 28, 3), (-1, 28, 28, 1), "the image is RGB: convert it to grayscale"),
        ((1, 640, 480, 3), (-1, 480, 640, 3), "height and width are swapped: send [1,480,640,3]"),
        ((1, 224, 224, 3), IMAGES, "resize the image to 300x300 (height x width)"),
        ((1, 299, 300, 3), IMAGES, "resize the image to 300x300 (height x width)"),
        ((2, 3), (-1, 4), "pad or cut each example to this length"),
        ((2,), (), "the input is a scalar: send one value with an empty shape"),
        ((), (2, 2), "the shape was not set: fill tensor_shape"),
        ((7, 7, 7), (2, 2), ""),
        ((2, 0), (-1, 4), ""),
        ((5, 5), (-1, -1, -1, 3), ""),
        ((-1, 5, 5), (-1, 4), ""),
    ],
)
def test_a_shape_that_does_not_fit_is_told_its_cause(dims, shape, hint):
    assert shape_hint(dims, shape) == hint


def test_whatever_a_shape_hint_says_to_send_would_fit():
    for dims in ((300, 300, 3), (1, 1, 300, 300, 3), (270000,), (1, 3, 300, 300), (3, 300, 300)):
        sizes = shape_hint(dims, IMAGES).partition("[")[2].partition("]")[0]
        assert fits(tuple(map(int, sizes.split(","))), IMAGES)


def test_a_hundred_thousand_dimensions_cost_no_time():
    dims = (2**62,) * 100_000
    began = time.perf_counter()
    shape_hint(dims, IMAGES)
    dtype_hint(TensorView("x", 1, dims, content_length=9), spec("x", "uint8", None))
    assert time.perf_counter() - began < 0.2


def test_a_shape_as_sent_is_shortened():
    assert sent_shape((1, 2)) == "[1,2]"
    assert sent_shape(tuple(range(254))) == "[0,1,2,3,4,5,6,7,8,9,...] (254 dimensions)"
    assert tensor_text(view_of(tensor("uint8", (1, 2)))) == "uint8[1,2]"


@pytest.mark.parametrize(
    ("dims", "shape", "expected"),
    [
        ((1, 2), None, True),
        ((), (), True),
        ((0, 4), (-1, 4), True),
        ((2,), (), False),
        ((), (-1,), False),
        ((3, 4), (2, -1), False),
    ],
)
def test_a_shape_fits_where_every_fixed_size_is_met(dims, shape, expected):
    assert fits(dims, shape) is expected


# === payload ===


@pytest.mark.parametrize(
    ("dtype", "dims", "length", "hint"),
    [
        ("float32", (2, 3), 48, "the bytes look like float64 or int64: make dtype and array agree"),
        ("uint8", (60,), 240, "the bytes look like float32 or int32: make dtype and array agree"),
        ("float32", (6,), 6, "the bytes look like uint8: make dtype and array agree"),
        ("float16", (4,), 16, "the bytes look like float32 or int32: make dtype and array agree"),
        ("float32", (), 8, "the shape was not set: fill tensor_shape"),
        ("float32", (2,), 7, "not a whole number of float32 values: cut or of another dtype"),
        ("uint8", (60,), 59, ""),
    ],
)
def test_content_of_another_length_is_told_its_cause(dtype, dims, length, hint):
    view = view_of(tensor(dtype, dims, tensor_content=bytes(length)))
    count = 1
    for size in dims:
        count *= size
    assert length_hint(view, DTYPES[view.dtype], count) == hint


# === swaps ===

THREE = {
    "a": spec("a", "float32", (-1, 2)),
    "b": spec("b", "int64", (-1, 2)),
    "c": spec("c", "string", (-1,)),
}
FITTING = {
    "a": tensor("float32", (1, 2)),
    "b": tensor("int64", (1, 2)),
    "c": tensor("string", (1,), string_val=[b""]),
}


def swapped(**sent):
    views = {alias: view_of(FITTING[own], alias) for alias, own in sent.items()}
    return swap_hint(views, THREE, sorted(alias for alias, own in sent.items() if alias != own))


def test_two_swapped_tensors_are_recognised():
    assert swapped(a="b", b="a", c="c") == {"a": "b", "b": "a"}


def test_three_tensors_in_a_circle_are_recognised():
    assert swapped(a="b", b="c", c="a") == {"a": "b", "b": "c", "c": "a"}
    assert swapped(a="c", b="a", c="b") == {"a": "c", "b": "a", "c": "b"}


def test_a_tensor_sent_twice_is_no_swap():
    assert swapped(a="b", b="b", c="c") == {}
    assert swapped(a="b", b="b", c="a") == {}


def test_a_tensor_that_would_fit_two_places_is_no_swap():
    specs = {**THREE, "b": THREE["a"]}
    views = {alias: view_of(FITTING[own], alias) for alias, own in {"a": "c", "b": "c", "c": "a"}.items()}
    assert swap_hint(views, specs, ["a", "b", "c"]) == {}
