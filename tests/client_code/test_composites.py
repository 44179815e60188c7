"""Components of ragged and sparse tensors agree with one another, whatever the signature leaves open."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.client_code.composites import components, fixed_rows
from proxy.core.components import Flattened, Ragged, Sparse, described, families
from proxy.core.types import TensorSpec

FLOAT, INT32, STRING, INT64 = 1, 3, 7, 9
ANY = -1


def specs(**named):
    return {alias: TensorSpec(alias, dtype, shape, f"{alias}:0") for alias, (dtype, shape) in named.items()}


@given(
    depth=st.integers(1, 5),
    rows=st.integers(0, 5),
    dtype=st.sampled_from([INT32, INT64]),
    inner=st.lists(st.integers(0, 4), max_size=2).map(tuple),
)
def test_row_splits_begin_at_zero_never_fall_and_end_at_what_they_split(depth, rows, dtype, inner):
    names = ["x", *(f"x_{at}" for at in range(1, depth + 1))]
    family = Ragged("x", "x", tuple(names[1:]))
    values = TensorSpec("x", FLOAT, (ANY, *inner), "x:0")
    found = components(
        family, {"x": values, **specs(**dict.fromkeys(names[1:], (dtype, (ANY,))))}, rows, inner
    )
    assert set(found) == set(names)
    splits = [found[name] for name in names[1:]]
    for each, split_up in zip(splits, [*(split.dims[0] - 1 for split in splits[1:]), None], strict=True):
        assert each.dims == (len(each.numbers),)
        assert each.numbers[0] == 0
        assert list(each.numbers) == sorted(each.numbers)
        assert each.numbers[-1] == (found["x"].dims[0] if split_up is None else split_up)
    assert len(splits[0].numbers) == rows + 1
    assert found["x"].dims[1:] == inner


@given(
    count=st.just(ANY) | st.integers(0, 20),
    rank=st.just(ANY) | st.integers(0, 4),
    rows=st.integers(1, 5),
)
def test_indices_lie_in_the_dense_shape_and_are_in_order(count, rank, rows):
    found = components(
        Sparse("x", "x", "x_1", "x_2"),
        specs(x=(INT64, (count, rank)), x_1=(STRING, (count,)), x_2=(INT64, (rank,))),
        rows,
        (),
    )
    many, wide = found["x"].dims
    assert found["x_1"].dims == (many,)
    assert found["x_2"].dims == (wide,)
    assert count in (ANY, many)
    assert rank in (ANY, wide)
    numbers, dense = found["x"].numbers, found["x_2"].numbers
    assert len(numbers) == math.prod(found["x"].dims)
    places = [numbers[at * wide : (at + 1) * wide] for at in range(many)]
    if wide:
        assert places == sorted(set(places))
    assert all(index < size for place in places for index, size in zip(place, dense, strict=True))


def test_a_fixed_number_of_rows_is_read_off_the_outermost_row_splits():
    (family,) = families(specs(x=(FLOAT, (ANY,)), x_1=(INT64, (5,))))
    assert fixed_rows(family, specs(x=(FLOAT, (ANY,)), x_1=(INT64, (5,)))) == 4
    assert fixed_rows(family, specs(x=(FLOAT, (ANY,)), x_1=(INT64, (ANY,)))) is None


@pytest.mark.parametrize(
    ("family", "words"),
    [
        (Ragged("x", "x", ("x_1", "x_2")), "'x' is ragged: values 'x', row splits 'x_1', 'x_2'"),
        (
            Sparse("f", "f/indices", "f/values", "f/shape"),
            "'f' is sparse: indices 'f/indices', values 'f/values', dense shape 'f/shape'",
        ),
        (
            Flattened("x", ("x", "x_1")),
            "'x', 'x_1' are components of ragged or sparse tensors in 'x'; the signature does not say of which",
        ),
    ],
)
def test_what_belongs_together_is_told_in_one_line(family, words):
    assert described(family) == words
