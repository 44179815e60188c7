import pytest

from proxy.observe.admin.pages.axes import aligned


def shown(expected, got):
    return [(axis.expected, axis.got, axis.mark) for axis in aligned(expected, got)]


def test_axes_of_equal_rank_stand_side_by_side_and_the_wrong_one_is_marked():
    assert shown("[?,300,300,3]", "[2,150,300,3]") == [
        ("?", "2", "fits"),
        ("300", "150", "differs"),
        ("300", "300", "fits"),
        ("3", "3", "fits"),
    ]


@pytest.mark.parametrize(
    ("expected", "got", "place", "mark"),
    [
        ("rank 4 [?,300,300,3]", "rank 3 [300,300,3]", 0, "missing"),
        ("[?,300,300,1]", "[2,300,300]", 3, "missing"),
        ("[?,128]", "[1,4,128]", 1, "too much"),
        ("[?,5]", "[7,5,1]", 2, "too much"),
        ("[]", "[1]", 0, "too much"),
        ("[?]", "[]", 0, "missing"),
    ],
)
def test_an_axis_that_is_missing_or_too_much_is_found_where_the_others_fit(expected, got, place, mark):
    marks = [axis.mark for axis in aligned(expected, got)]
    assert marks[place] == mark
    assert {each for each in marks if each != mark} <= {"fits"}


def test_a_transposed_picture_differs_in_its_axes_and_none_is_missing():
    assert [mark for _, _, mark in shown("[?,224,224,3]", "[1,3,224,224]")] == [
        "fits",
        "differs",
        "fits",
        "differs",
    ]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("float32", "int64"),
        ("[?,3]", "nothing"),
        ("'images'", "an unknown alias"),
        ("[]", "[]"),
        ("[a,b]", "[1,2]"),
    ],
)
def test_what_is_no_pair_of_shapes_is_not_aligned(expected, got):
    assert aligned(expected, got) is None


def test_shapes_of_very_many_axes_are_left_alone():
    long = f"[{','.join(['1'] * 200)}]"
    assert aligned(long, "[1]") is None
