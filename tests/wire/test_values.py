"""What the values of a request show, read from its bytes."""

import base64
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from proxy.wire.values import value_facts
from tests.judging import predict, tensor

# isort: split
from tensorflow.core.example import example_pb2


def facts(proto):
    (found,) = value_facts(predict(x=proto).SerializeToString())
    return found


def strings(*each):
    return facts(tensor("string", (len(each),), string_val=each))


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint64"]
)
def test_content_and_value_fields_show_the_same(dtype):
    values = np.array([3, 1, 7, 2], dtype)
    content = facts(tensor(dtype, (4,), tensor_content=values.tobytes()))
    assert (content.count, content.finite, content.low, content.high) == (4, True, 1, 7)
    field = {
        "float32": "float_val",
        "float64": "double_val",
        "float16": "half_val",
        "int64": "int64_val",
    }.get(dtype, "uint64_val" if dtype == "uint64" else "int_val")
    listed = values.view(np.uint16) if dtype == "float16" else values
    assert facts(tensor(dtype, (4,), **{field: listed.tolist()})) == content


def test_bfloat16_is_read_though_numpy_does_not_know_it():
    bits = (np.array([1.5, -2.0, math.inf], np.float32).view(np.uint32) >> 16).astype("<u2")
    found = facts(tensor("bfloat16", (3,), tensor_content=bits.tobytes()))
    assert (found.finite, found.low, found.high) == (False, -2.0, math.inf)
    assert facts(tensor("bfloat16", (3,), half_val=bits.tolist())) == found


def test_a_nan_is_seen_and_does_not_hide_the_range_of_the_others():
    found = facts(tensor("float32", (3,), float_val=[1, math.nan, 5]))
    assert (found.finite, found.low, found.high) == (False, 1, 5)
    assert not facts(tensor("complex64", (1,), scomplex_val=[1, math.nan])).finite


def test_one_value_that_stands_for_many_counts_as_many():
    found = facts(tensor("float32", (4, 5), float_val=[7]))
    assert (found.count, found.constant) == (20, True)


def test_constant_values_are_seen_and_others_are_not():
    assert facts(tensor("uint8", (1, 4, 4, 3))).constant
    assert not facts(tensor("uint8", (2,), tensor_content=b"\x00\x01")).constant


def test_an_empty_tensor_and_one_that_numpy_cannot_read_show_nothing():
    assert facts(tensor("float32", (0, 4))).count == 0
    assert facts(tensor("float8_e5m2", (2,), tensor_content=b"ab")).count == 0


def test_booleans_have_no_range():
    assert facts(tensor("bool", (2,), bool_val=[True, False])).low is None


def test_images_are_known_by_their_first_bytes():
    found = strings(b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"GIF89a", b"hello", b"")
    assert (found.strings, found.images) == (5, 3)


def test_what_strings_hold_is_told_by_the_first_that_is_no_image():
    assert strings(b"\xff\xd8\xff\xe0", b"/data/cat.jpg", b"hello").kind == "the path of a file"
    assert strings(b"\xff\xd8\xff\xe0").kind == ""


def test_an_example_parses_and_has_features():
    example = example_pb2.Example()
    example.features.feature["x"].float_list.value.append(1)
    assert strings(example.SerializeToString(), b"", b"hello", b"\xff\xd8\xff").examples == 1


@pytest.mark.parametrize(
    ("string", "looks"),
    [
        (base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(range(64))), True),
        (base64.urlsafe_b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(200, 256))), True),
        (base64.b64encode(bytes(range(10_000 % 251)) * 100), True),
        (b"thisisaverylongwordwithoutanyspace", False),
        (b"d41d8cd98f00b204e9800998ecf8427e", False),
        (b"123e4567-e89b-12d3-a456-426614174000", False),
        (b"A sentence with 3 words more, and spaces.", False),
        (b"SGVsbG8=", False),
        (b"\xff\xd8\xff\xe0", False),
    ],
)
def test_base64_text_of_binary_data_is_told_from_words_digests_and_short_strings(string, looks):
    assert strings(string).base64 == int(looks)


def test_without_numpy_the_module_loads_and_says_what_to_install():
    code = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from proxy.wire.values import require_numpy\n"
        "try:\n"
        "    require_numpy()\n"
        "except ModuleNotFoundError as error:\n"
        "    assert 'tfs-proxy[values]' in str(error)\n"
        "else:\n"
        "    raise SystemExit('nothing missed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def encoded(*each: bytes, dims=None):
    """Strings as TensorFlow packs them into `tensor_content`: varint lengths, then the bytes."""
    lengths = b""
    for string in each:
        size = len(string)
        while size > 0x7F:
            lengths += bytes((size & 0x7F | 0x80,))
            size >>= 7
        lengths += bytes((size,))
    return tensor("string", dims or (len(each),), tensor_content=lengths + b"".join(each))


def test_strings_in_tensor_content_are_read_as_tensorflow_packs_them():
    found = facts(encoded(b"\xff\xd8\xff\xe0" + bytes(300), b"hello", b"", base64.b64encode(b"GIF89a" * 9)))
    assert (found.strings, found.images, found.base64) == (4, 1, 1)
    assert facts(encoded(b"GIF89a", b"x", dims=(2, 1))).images == 1


@pytest.mark.parametrize("content", [b"\x05abc", b"\x01abc", b"\x80", b"\xff" * 9, b"GIF89a"])
def test_content_that_is_no_strings_shows_none(content):
    assert facts(tensor("string", (1,), tensor_content=content)).strings == 0
