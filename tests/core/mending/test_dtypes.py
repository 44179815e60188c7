"""Dtypes that do not fit: what is told, and whether it claims to be the mending."""

import pytest

from proxy.core.mending.dtypes import (
    dtype_remedies,
    field_remedies,
    length_remedies,
    string_kind,
    string_remedy,
)
from proxy.core.mending.remedies import Mending, SetDtype
from proxy.core.types import DTYPES, TensorView
from tests.judging import NUMBERS, spec, tensor, view_of

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
PNG = b"\x89PNG\r\n\x1a\n"
EXAMPLE = b"\n\x10\n\x0e\n\x01x\x12\t\x12\x07\n\x05\x00\x00\x80?"
LONG_EXAMPLE = b"\n\xac\x02\n\xa9\x02\n\x05image\x12\x9f\x02"


def mending(sent, wanted, shape=(-1,)):
    return Mending(tuple(dtype_remedies(view_of(sent), spec("x", wanted, shape))))


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
        (b"data:image/jpeg;", "a data: URL"),
        (b"b'\\xff\\xd8", "bytes written as Python text (str of bytes)"),
        (b'b"it\'s"', "bytes written as Python text (str of bytes)"),
        (b"https://a.b/c.jp", "an address"),
        (b"gs://bucket/a.pn", "an address"),
        (b"/home/me/cat.jpg", "the path of a file"),
        (b"./images/cat.jpg", "the path of a file"),
        (b"C:\\images\\a.jpg", "the path of a file"),
        (b"BMW and others", ""),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", ""),
        (b"\nnew line\n", ""),
        (b"b and c", ""),
        (b"data: what I have", ""),
        (b"/ or not", ""),
        (b"/5 of them", ""),
        (b"text", ""),
        (b"", ""),
    ],
)
def test_a_string_is_recognised_by_its_first_bytes(head, kind):
    assert string_kind(head) == kind


@pytest.mark.parametrize(
    ("sent", "wanted", "certainty", "words"),
    [
        ("float64", "float32", "the", "cast with dtype=np.float32 (NumPy defaults to float64)"),
        ("int64", "int32", "the", "cast with dtype=np.int32 (NumPy defaults to int64)"),
        ("int32", "int64", "the", "cast with dtype=np.int64 (TensorFlow makes int32 of Python integers)"),
        ("float32", "float64", "the", "cast with dtype=np.float64 (TensorFlow makes float32 of Python floats)"),
        ("float32", "float16", "the", "cast with dtype=np.float16"),
        ("bool", "int64", "the", "cast with dtype=np.int64"),
        ("int64", "bool", "the", "cast with dtype=np.bool_ (NumPy defaults to int64)"),
        # whether pixels are normalised, and fractions lost, is not told by the numbers
        ("uint8", "float32", "one_of", "cast with dtype=np.float32, and normalise as in training"),
        (
            "float32",
            "uint8",
            "one_of",
            "cast with dtype=np.uint8, after scaling back to 0..255 if the values were normalised",
        ),
        ("float64", "int64", "one_of", "cast with dtype=np.int64 if the values are whole numbers (NumPy defaults to float64), or set dtype to int64 if the bytes are int64 already"),
        ("float32", "bfloat16", "one_of", "cast to bfloat16"),
        ("uint8", "quint8", "one_of", "cast to quint8, or set dtype to quint8 if the bytes are quint8 already"),
        ("int16", "float32", "one_of", "cast with dtype=np.float32, and scale as in training"),
        ("int8", "float32", "one_of", "cast with dtype=np.float32, and scale as in training"),
        # the length of the bytes fits both
        (
            "int32",
            "float32",
            "one_of",
            "cast with dtype=np.float32 (TensorFlow makes int32 of Python integers), or set dtype to float32 if the bytes are float32 already",
        ),
    ],
)  # fmt: skip
def test_a_cast_is_the_mending_only_where_numbers_keep_their_meaning(sent, wanted, certainty, words):
    found = mending(tensor(sent, (2,)), wanted)
    assert (found.certainty, found.words) == (certainty, words)


def test_content_of_the_wanted_dtype_was_only_labelled_wrongly():
    found = mending(tensor("float64", (2,), tensor_content=bytes(8)), "float32")
    assert found.words == (
        "tensor_content already has the length of float32: only the dtype field is wrong if the bytes are float32"
    )
    assert found.certainty == "one_of"
    assert found.remedies[0].steps == (SetDtype("x", "float32"),)


def test_integers_for_pictures_may_have_to_be_normalised_whatever_their_size():
    found = mending(tensor("int64", (1, 4, 5, 3)), "float32", (-1, 4, 5, 3))
    assert (found.certainty, found.words) == (
        "one_of",
        "cast with dtype=np.float32, and normalise as in training",
    )


def test_values_in_the_field_of_the_wanted_dtype_were_only_labelled_wrongly():
    found = mending(tensor("float32", (2,), int64_val=[1, 2]), "int64")
    assert found.words == "int64_val already holds int64: only the dtype field is wrong"
    assert found.certainty == "the"


def test_a_dtype_that_was_not_set_is_told_by_the_payload():
    found = mending(tensor(0, (2,), float_val=[1, 2]), "float32")
    assert (found.certainty, found.remedies[0].steps) == ("the", (SetDtype("x", "float32"),))
    assert mending(tensor(0, (2,), float_val=[1, 2]), "int64").certainty == "none"
    assert mending(tensor(999, (2,), tensor_content=bytes(9)), "float32").certainty == "none"


@pytest.mark.parametrize(
    ("string", "words"),
    [
        (JPEG, "the string holds a JPEG image: decode it and send the pixel array"),
        (PNG, "the string holds a PNG image: decode it and send the pixel array"),
        (EXAMPLE, "the string holds a serialised tf.train.Example: this signature wants the parsed array"),
        (b"hello", "send an array of float32, not bytes"),
        (b"data:image/png;base64,", "send an array of float32, not bytes (the string holds a data: URL)"),
    ],
)
def test_a_string_where_an_array_is_wanted_is_told_by_what_it_holds(string, words):
    found = mending(tensor("string", (1,), string_val=[string]), "float32")
    assert (found.certainty, found.words) == ("one_of", words)


def test_an_array_where_a_string_is_wanted_is_told_what_strings_may_hold():
    words = mending(tensor("float32", (6, 10)), "string").words
    for each in ("encoded image", "tf.train.Example", "string_val"):
        assert each in words
    assert "tobytes()" in mending(tensor("uint8", (60,)), "string").words


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"data:image/png;b", "the string holds a data: URL: send the bytes themselves: base64.b64decode(url.partition(',')[2])"),
        (b"b'\\x89PNG", "the string holds bytes written as Python text (str of bytes): send the bytes themselves, not str(...) of them"),
        (b"https://a.b/c.jp", "the string holds an address: fetch it and send what it holds"),
        (b"/tmp/images/a.jp", "the string holds the path of a file: read it and send what it holds"),
    ],
)  # fmt: skip
def test_a_string_that_only_tells_where_the_bytes_are_is_told_what_to_send_instead(head, words):
    assert Mending((string_remedy("x", string_kind(head)),)).words == words


def test_a_string_with_the_bytes_themselves_is_told_nothing():
    for head in (JPEG, PNG, EXAMPLE[:16], b"hello", b""):
        assert string_remedy("x", string_kind(head)) is None


@pytest.mark.parametrize(
    ("sent", "wanted"), [("variant", "float32"), ("resource", "float32"), ("float32", "variant")]
)
def test_no_cast_is_offered_where_there_is_none(sent, wanted):
    assert dtype_remedies(TensorView("x", NUMBERS[sent]), spec("x", wanted, None)) == []


@pytest.mark.parametrize(
    ("dtype", "fields", "words"),
    [
        ("int64", {"int_val": [1, 2]}, "put the values into int64_val"),
        ("float32", {"double_val": [1, 2]}, "put the values into float_val"),
        ("float32", {"int_val": [1, 2]}, "put the values into float_val"),
        ("bool", {"int_val": [0, 1]}, "put the values into bool_val"),
        ("int64", {"float_val": [1, 2]}, ""),
        ("int64", {"int_val": [1]}, ""),
        ("string", {"int_val": [1, 2]}, ""),
        ("float16", {"float_val": [1, 2]}, ""),
    ],
)
def test_values_in_another_field_are_moved_where_they_mean_the_same(dtype, fields, words):
    view = view_of(tensor(dtype, (2,), **fields))
    assert Mending(tuple(field_remedies(view, DTYPES[view.dtype]))).words == words


@pytest.mark.parametrize(
    ("dtype", "count", "length", "words"),
    [
        ("float32", 6, 48, "the bytes look like float64 or int64: make dtype and array agree"),
        ("uint8", 60, 240, "the bytes look like float32 or int32: make dtype and array agree"),
        ("float16", 4, 16, "the bytes look like float32 or int32: make dtype and array agree"),
        (
            "float32",
            6,
            6,
            "one byte a value is uint8, or numbers cut to bytes: send the bytes of the array, not one byte for each value",
        ),
        ("float32", 2, 7, ""),
        ("uint8", 60, 59, ""),
    ],
)
def test_content_of_another_length_is_told_what_it_looks_like(dtype, count, length, words):
    view = view_of(tensor(dtype, (count,), tensor_content=bytes(length)))
    found = Mending(tuple(length_remedies(view, DTYPES[view.dtype], count)))
    assert found.words == words
    assert found.certainty != "the"
