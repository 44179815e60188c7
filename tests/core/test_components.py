"""Which inputs are the parts of one ragged or sparse tensor; spellings as exporters write them."""

import pytest

from proxy.core.components import Flattened, Ragged, Sparse, families
from proxy.core.types import TensorSpec

F32, I32, TEXT, I64 = 1, 3, 7, 9
ANY = -1


def read(**specs):
    return families({alias: TensorSpec(alias, dtype, shape) for alias, (dtype, shape) in specs.items()})


def read_names(specs):
    return read(**specs)


def test_an_argument_that_is_ragged():
    specs = {"tokens": (I64, (ANY,)), "tokens_1": (I64, (ANY,))}
    assert read_names(specs) == (Ragged("tokens", "tokens", ("tokens_1",)),)


def test_a_ragged_tensor_of_vectors():
    assert read(x=(F32, (ANY, 5)), x_1=(I64, (ANY,))) == (Ragged("x", "x", ("x_1",)),)


def test_row_splits_of_32_bits():
    assert read(x=(F32, (ANY,)), x_1=(I32, (ANY,))) == (Ragged("x", "x", ("x_1",)),)


def test_a_ragged_tensor_with_a_fixed_number_of_rows():
    assert read(x=(F32, (ANY,)), x_1=(I64, (5,))) == (Ragged("x", "x", ("x_1",)),)


def test_a_nested_ragged_tensor_has_its_row_splits_from_the_outermost_in():
    specs = {"x": (TEXT, (ANY,)), "x_1": (I64, (ANY,)), "x_2": (I64, (ANY,))}
    assert read_names(specs) == (Ragged("x", "x", ("x_1", "x_2")),)


def test_one_with_three_row_splits_is_not_told_from_two_with_one():
    specs = {"x": (TEXT, (ANY,)), "x_1": (I64, (ANY,)), "x_2": (I64, (ANY,)), "x_3": (I64, (ANY,))}
    assert read_names(specs) == (Flattened("x", ("x", "x_1", "x_2", "x_3")),)


def test_the_order_of_the_map_is_of_no_meaning():
    specs = {"x_2": (I64, (ANY,)), "x_1": (I64, (ANY,)), "x": (TEXT, (ANY,))}
    assert read_names(specs) == (Ragged("x", "x", ("x_1", "x_2")),)


@pytest.mark.parametrize("dtype", [F32, TEXT, I64])
def test_an_argument_that_is_sparse(dtype):
    specs = {"args_0": (I64, (ANY, 2)), "args_0_1": (dtype, (ANY,)), "args_0_2": (I64, (2,))}
    assert read_names(specs) == (Sparse("args_0", "args_0", "args_0_1", "args_0_2"),)


def test_a_sparse_tensor_of_any_rank():
    specs = {"x": (I64, (ANY, ANY)), "x_1": (F32, (ANY,)), "x_2": (I64, (ANY,))}
    assert read_names(specs) == (Sparse("x", "x", "x_1", "x_2"),)


def test_every_argument_has_its_own_components_and_dense_ones_have_none():
    found = read(
        a=(I64, (ANY,)),
        a_1=(I64, (ANY,)),
        b=(I64, (ANY, 2)),
        b_1=(F32, (ANY,)),
        b_2=(I64, (2,)),
        c=(F32, (ANY, 4)),
    )
    assert found == (Ragged("a", "a", ("a_1",)), Sparse("b", "b", "b_1", "b_2"))


def test_the_members_of_a_dict_share_the_numbers_of_their_argument():
    found = read(d=(I64, (ANY,)), d_1=(I64, (ANY,)), d_2=(I64, (ANY, 2)), d_3=(F32, (ANY,)), d_4=(I64, (2,)))
    assert found == (Ragged("d", "d", ("d_1",)), Sparse("d", "d_2", "d_3", "d_4"))
    found = read(
        args_0=(TEXT, (ANY,)), args_0_1=(I64, (ANY,)), args_0_2=(TEXT, (ANY,)), args_0_3=(I64, (ANY,))
    )
    assert found == (
        Ragged("args_0", "args_0", ("args_0_1",)),
        Ragged("args_0", "args_0_2", ("args_0_3",)),
    )


@pytest.mark.parametrize(
    "names",
    [
        ("sp/indices", "sp/values", "sp/shape"),
        ("x_indices", "x_values", "x_dense_shape"),
        ("x.indices", "x.values", "x.dense_shape"),
        ("features:indices", "features:values", "features:shape"),
        ("indices", "values", "dense_shape"),
        ("Indices", "Values", "denseShape"),
    ],
)
def test_parts_of_a_sparse_tensor_that_are_named_by_hand(names):
    indices, values, shape = names
    (found,) = read_names({shape: (I64, (2,)), values: (F32, (ANY,)), indices: (I64, (ANY, 2))})
    assert isinstance(found, Sparse)
    assert found.aliases == names


@pytest.mark.parametrize(
    "names",
    [
        ("rg/flat_values", "rg/row_splits_0"),
        ("rg/flat_values", "rg/row_splits_0", "rg/row_splits_1"),
        ("x_values", "x_row_splits"),
        ("values", "row_splits"),
        ("item_id__values", "item_id__offsets"),
    ],
)
def test_parts_of_a_ragged_tensor_that_are_named_by_hand(names):
    (found,) = read_names(dict.fromkeys(reversed(names), (I32, (ANY,))))
    assert isinstance(found, Ragged)
    assert found.aliases == names


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param({"x": (F32, (ANY, 4)), "x_1": (F32, (ANY, 4))}, id="two dense inputs"),
        pytest.param({"x": (F32, (ANY,)), "x_1": (F32, (ANY,))}, id="row splits of floats"),
        pytest.param({"x": (F32, (ANY,)), "x_1": (I64, (ANY, 1))}, id="row splits of rank 2"),
        pytest.param({"x": (F32, (4,)), "x_1": (I64, (ANY,))}, id="values of a fixed number"),
        pytest.param({"x": (F32, None), "x_1": (I64, (ANY,))}, id="values of any rank"),
        pytest.param({"x": (F32, (ANY,)), "x_1": (I64, None)}, id="row splits of any rank"),
        pytest.param(
            {"x": (F32, (ANY,)), "x_1": (I64, (ANY,)), "x_2": (I32, (ANY,))}, id="row splits of two dtypes"
        ),
        pytest.param({"x": (F32, (ANY,)), "x_2": (I64, (ANY,))}, id="a gap"),
        pytest.param({"x": (F32, (ANY,)), "x_1": (I64, (ANY,)), "x_3": (I64, (ANY,))}, id="a gap behind"),
        pytest.param({"x_1": (F32, (ANY,)), "x_2": (I64, (ANY,))}, id="a series of features"),
        pytest.param({"keras_tensor": (I64, (ANY,)), "keras_tensor_1": (I64, (ANY,))}, id="numbered by Keras"),
        pytest.param({"x": (F32, (ANY,)), "x_01": (I64, (ANY,))}, id="no number of TensorFlow's"),
        pytest.param({"x": (F32, (ANY,)), "x_" + "9" * 5000: (I64, (ANY,))}, id="a number of a size"),
        pytest.param(
            {"x": (I64, (ANY, 2)), "x_1": (F32, (ANY,)), "x_2": (I64, (3,))}, id="a shape of another rank"
        ),
        pytest.param({"x": (I32, (ANY, 2)), "x_1": (F32, (ANY,)), "x_2": (I32, (2,))}, id="sparse in 32 bits"),
        pytest.param({"x/indices": (I64, (ANY, 2)), "x/values": (F32, (ANY,))}, id="no dense shape"),
        pytest.param(
            {"x/indices": (I64, (ANY, 2)), "y/values": (F32, (ANY,)), "x/shape": (I64, (2,))}, id="of two"
        ),
        pytest.param({"x/values": (F32, (ANY,)), "x_row_splits": (I64, (ANY,))}, id="in two spellings"),
        pytest.param(
            {"t": (I64, (ANY,)), "t_1": (I64, (ANY,)), "t_1_1": (I64, (ANY,))}, id="two readings share a part"
        ),
    ],
)  # fmt: skip
def test_what_is_no_family_or_not_one_for_sure(specs):
    assert read_names(specs) == ()


def test_a_wide_signature_takes_no_time():
    specs = {"x": (TEXT, (ANY,)), **{f"x_{at}": (I64, (ANY,)) for at in range(1, 300)}}
    (found,) = read_names(specs)
    assert len(found.aliases) == 300
