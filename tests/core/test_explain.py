"""Words for people: what is quoted, listed and taken for a known name."""

import time

import pytest

from proxy.core.explain import closest, escape, listing, quote, sent_shape, tensor_text
from tests.judging import tensor, view_of

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


# === tensors ===


def test_a_shape_as_sent_is_shortened():
    assert sent_shape((1, 2)) == "[1,2]"
    assert sent_shape(tuple(range(254))) == "[0,1,2,3,4,5,6,7,8,9,...] (254 dimensions)"
    assert tensor_text(view_of(tensor("uint8", (1, 2)))) == "uint8[1,2]"
