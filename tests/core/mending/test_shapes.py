"""Shapes that do not fit: what is told, and whether it claims to be the mending."""

import time

import pytest

from proxy.core.mending.remedies import Mending
from proxy.core.mending.shapes import shape_remedies, unset_shape_remedies
from tests.judging import NUMBERS

IMAGES = (-1, 300, 300, 3)
FREE_IMAGES = (-1, -1, -1, 3)


def told(dims, shape, dtype="float32"):
    mending = Mending(tuple(shape_remedies("x", dims, shape, NUMBERS[dtype])))
    return mending.certainty.value, mending.words


@pytest.mark.parametrize(
    ("dims", "shape", "words"),
    [
        # a dimension of 1
        ((300, 300, 3), IMAGES, "the batch dimension is missing: send [1,300,300,3] (np.expand_dims(x, 0))"),
        ((1, 1, 300, 300, 3), IMAGES, "one dimension too many: send [1,300,300,3] (np.squeeze(x, 0))"),
        ((8, 1), (-1,), "one dimension too many: send [8] (np.squeeze(x, 1))"),
        ((8,), (-1, 1), "the last dimension is missing: send [8,1] (np.expand_dims(x, 1))"),
        ((8, 4), (-1, 1, 4), "a dimension is missing: send [8,1,4] (np.expand_dims(x, 1))"),
        ((28, 28), (-1, 28, 28, 1), "send [1,28,28,1] (np.reshape(x, (1,28,28,1)))"),
        ((1, 1, 1, 10), (-1, 10), "send [1,10] (np.reshape(x, (1,10)))"),
        ((), (-1,), "one value: send [1]"),
        ((), (-1, 1), "one value: send [1,1]"),
        ((1,), (), "the input is a scalar: send one value with an empty shape"),
        ((10, 1), (-1, 10), "send [1,10] (np.reshape(x, (1,10)))"),
        # neighbours joined or split
        ((270000,), IMAGES, "the array was flattened: send [1,300,300,3] (np.reshape(x, (1,300,300,3)))"),
        ((2, 270000), IMAGES, "send [2,300,300,3] (np.reshape(x, (2,300,300,3)))"),
        ((32, 28, 28), (-1, 784), "send [32,784] (np.reshape(x, (32,784)))"),
        ((8, 16), (-1, 4, 4), "send [8,4,4] (np.reshape(x, (8,4,4)))"),
        ((2,), (-1, 1), "the last dimension is missing: send [2,1] (np.expand_dims(x, 1))"),
        # axes in another order
        (
            (100, 40),
            (-1, 40, 100),
            "the axes are in another order: send [1,40,100] (np.transpose(x, (1,0))[None])",
        ),
        (
            (1, 100, 40),
            (-1, 40, 100),
            "the axes are in another order: send [1,40,100] (np.transpose(x, (0,2,1)))",
        ),
        (
            (7, 3, 200, 300),
            (-1, 200, 300, 3),
            "channels come first: send [7,200,300,3] (np.transpose(x, (0,2,3,1)))",
        ),
        ((3, 200, 300), (-1, 200, 300, 3), "channels come first: send [1,200,300,3] (np.transpose(x, (1,2,0))[None])"),
        ((7, 200, 300, 3), (-1, 3, 200, 300), "channels come last: send [7,3,200,300] (np.transpose(x, (0,3,1,2)))"),
    ],
)  # fmt: skip
def test_where_one_way_keeps_the_elements_in_place_it_is_the_mending(dims, shape, words):
    assert told(dims, shape) == ("the", words)


@pytest.mark.parametrize(
    ("dims", "shape", "dtype", "words"),
    [
        # what is the batch is not told by the numbers
        ((28, 28), (-1, 784), "float32", "if this is one example: send [1,784] (np.reshape(x, (1,784)))"),
        (
            (540000,),
            IMAGES,
            "float32",
            "if these are 2 examples one after the other: send [2,300,300,3] (np.reshape(x, (2,300,300,3)))",
        ),
        (
            (5, 2, 3),
            (-1, 5, 3),
            "float32",
            "if the axes are in another order: send [2,5,3] (np.transpose(x, (1,0,2)))",
        ),
        ((128, 4), (-1, 128, 1), "float32", "if the axes are in another order: send [4,128,1] (np.transpose(x, (1,0)).reshape((4,128,1)))"),
        ((8, 4), (1, 4), "float32", "the model was exported with a fixed batch of 1: send examples one by one, or export it with a free batch dimension"),
        ((8, 4), (16, 4), "float32", "the model was exported with a fixed batch of 16: send 16 at a time, or export it with a free batch dimension"),
        # two ways
        ((1, 3, 300, 300), IMAGES, "float32", "channels come first: send [1,300,300,3] (np.transpose(x, (0,2,3,1))), or if channels come first and height and width are swapped: send [1,300,300,3] (np.transpose(x, (0,3,2,1)))"),
        ((1, 640, 480, 3), (-1, 480, 640, 3), "float32", "if height and width are swapped: send [1,480,640,3] (np.transpose(x, (0,2,1,3))), or resize the image to 480x640 (height x width)"),
        # pictures
        ((1, 224, 224, 3), IMAGES, "float32", "resize the image to 300x300 (height x width)"),
        ((1, 299, 300, 3), IMAGES, "uint8", "resize the image to 300x300 (height x width)"),
        ((1, 300, 300, 4), IMAGES, "float32", "the image is RGBA (it has an alpha channel): convert it to RGB"),
        ((1, 300, 300, 1), IMAGES, "float32", "the image is grayscale: convert it to RGB"),
        ((1, 28, 28, 3), (-1, 28, 28, 1), "float32", "the image is RGB: convert it to grayscale"),
        ((1, 640, 480, 3), (-1, -1, -1, 1), "float32", "the image is RGB: convert it to grayscale"),
        ((300, 300), IMAGES, "uint8", "if this is a grayscale image: convert it to RGB"),
        ((1, 300, 300), IMAGES, "uint8", "if this is a grayscale image: convert it to RGB"),
        ((12345,), IMAGES, "uint8", "if these are the bytes of an encoded image: decode them and send the pixels"),
        ((12345,), FREE_IMAGES, "uint8", "if these are the bytes of an encoded image: decode them and send the pixels"),
        # sequences
        ((1, 100), (-1, 128), "int64", "pad or cut each example to 128"),
        ((1, 100), (-1, 128), "string", "pad or cut each example to 128"),
        ((100,), (-1, 128), "int32", "pad or cut each example to 128 and send [1,128]"),
    ],
)  # fmt: skip
def test_where_the_client_has_to_choose_every_way_is_named(dims, shape, dtype, words):
    assert told(dims, shape, dtype) == ("one_of", words)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        # as many elements prove nothing
        ((1, 2, 3, 4, 5), (-1, 2, 3)),
        ((2, 200000), (-1,)),
        ((6, 4), (-1, 8, 3)),
        ((4, 2, 2), (2, 2, 5)),
        ((7, 7, 7), (2, 2)),
        # numbers are no tokens: nothing may be padded
        ((1, 9), (-1, 10)),
        ((1, 30), (-1, 10)),
        ((2, 0), (-1, 4)),
        ((0,), (-1, 4)),
        ((), (2, 2)),
        ((), (-1, 10)),
        ((2,), ()),
        ((224, 224, 3, 8), (-1, 224, 224, 3)),
        ((-1, 5, 5), (-1, 4)),
        # more ways than are of help
        ((2, 3, 4), (-1, -1, -1, -1, -1)),
    ],
)
def test_where_nothing_is_recognised_nothing_is_said(dims, shape):
    assert told(dims, shape) == ("none", "")


@pytest.mark.parametrize(
    ("count", "shape", "certainty", "words"),
    [
        (8, (-1,), "the", "the shape was not set: set it to [8]"),
        (270000, IMAGES, "the", "the shape was not set: set it to [1,300,300,3]"),
        (4, (2, 2), "the", "the shape was not set: set it to [2,2]"),
        (540000, IMAGES, "one_of", "the shape was not set: set it to [2,300,300,3]"),
        (3, (-1, -1), "one_of", "the shape was not set: set it to [1,3], or set it to [3,1]"),
        (3, None, "one_of", "the shape was not set: set it to [3]"),
        (5, (-1, 2, 3), "one_of", "the shape was not set: fill tensor_shape"),
    ],
)
def test_a_shape_that_was_not_set_is_told_by_the_number_of_values(count, shape, certainty, words):
    mending = Mending(tuple(unset_shape_remedies("x", count, shape)))
    assert (mending.certainty, mending.words) == (certainty, words)


def test_a_hundred_thousand_dimensions_cost_no_time():
    began = time.perf_counter()
    shape_remedies("x", (2**62,) * 100_000, IMAGES, 1)
    shape_remedies("x", (1,) * 100_000, IMAGES, 1)
    assert time.perf_counter() - began < 0.2


def test_the_most_ambiguous_shapes_cost_little_time():
    began = time.perf_counter()
    for dims in ((1,) * 8, (2,) * 8, (2, 1) * 4, (2**60,), (720720,), (2, 3, 5, 7, 11, 13, 17, 19)):
        shape_remedies("x", dims, (-1,) * 8, 1)
        shape_remedies("x", dims, (*(-1,) * 7, 99), 1)
        shape_remedies("x", dims, (2,) * 8, 1)
        unset_shape_remedies("x", 2**60, (2,) * 8)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("dims", [(1, 2) * 4, (2,) * 8, (2, 3, 4, 5, 6, 7, 8, 9)])
def test_of_a_search_that_is_cut_nothing_is_certain(dims):
    mending = Mending(tuple(shape_remedies("x", dims, (-1,) * 8, 1)))
    assert mending.certainty != "the"
