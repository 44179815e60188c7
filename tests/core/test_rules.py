"""Each rule alone: what is legal for TensorFlow passes, everything else is told with field, expected and got."""

import pytest

from proxy.core import rules
from proxy.core.types import (
    CLASSIFY_METHOD,
    DT_RESOURCE,
    DT_STRING,
    DT_VARIANT,
    DTYPES,
    PREDICT_METHOD,
    REGRESS_METHOD,
    TensorSpec,
    TensorView,
    element_count,
)
from tests.judging import NO_DTYPE, signature, spec, tensor, view_of

FIELD_KINDS = [kind for kind in DTYPES.values() if kind.number not in (DT_RESOURCE, DT_VARIANT)]
SIZED_KINDS = [kind for kind in FIELD_KINDS if kind.size]


def by_name(kind):
    return kind.name


def payload(view: TensorView):
    return rules.payload(view, element_count(view.dims))


def counted(kind, count, dims):
    return TensorView("x", kind.number, dims, counts={kind.field: count} if count else {})


# === dtype ===


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
def test_the_dtype_of_the_signature_is_accepted_and_every_other_is_not(kind):
    wanted = spec("x", kind.name, None)
    assert rules.dtype(TensorView("x", kind.number), wanted) is None
    for other in FIELD_KINDS:
        if other is not kind:
            found = rules.dtype(TensorView("x", other.number), wanted)
            assert (found.reason, found.expected, found.got) == ("DTYPE_MISMATCH", kind.name, other.name)


@pytest.mark.parametrize("number", [0, -1, NO_DTYPE, 101, 999])
def test_a_number_that_is_no_dtype_of_a_request_is_invalid(number):
    found = rules.dtype(TensorView("x", number), spec("x", "float32", None))
    assert found.reason == "DTYPE_INVALID"
    assert found.field == 'inputs["x"].dtype'


def test_a_composite_input_without_a_dtype_accepts_any_but_an_invalid_one():
    wanted = spec("x", "", None)
    assert rules.dtype(TensorView("x", 1), wanted) is None
    assert rules.dtype(TensorView("x", 0), wanted).reason == "DTYPE_INVALID"


def test_a_dtype_that_is_newer_than_this_program_is_accepted_where_the_signature_has_it():
    assert rules.dtype(TensorView("x", NO_DTYPE), TensorSpec("x", NO_DTYPE, None)) is None


# === shape ===


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        ((), None),
        ((1, 2, 3), None),
        ((), ()),
        ((5,), (-1,)),
        ((0,), (-1,)),
        ((0, 300, 300, 3), (-1, 300, 300, 3)),
        ((1, 0, 0, 3), (-1, -1, -1, 3)),
        ((2, 2), (2, 2)),
        ((0, 4), (0, 4)),
    ],
)
def test_an_unknown_rank_and_unknown_sizes_accept_anything_in_their_place(dims, shape):
    assert rules.shape(TensorView("x", 1, dims), spec("x", "float32", shape)) is None


def test_a_scalar_signature_accepts_rank_zero_only():
    scalar = spec("x", "float32", ())
    assert rules.shape(TensorView("x", 1, ()), scalar) is None
    found = rules.shape(TensorView("x", 1, (2,)), scalar)
    assert (found.reason, found.expected, found.got) == ("RANK_MISMATCH", "rank 0 []", "rank 1 [2]")


def test_another_rank_is_told_with_both_shapes():
    found = rules.shape(TensorView("x", 1, (300, 300, 3)), spec("x", "float32", (-1, 300, 300, 3)))
    assert found.reason == "RANK_MISMATCH"
    assert found.field == 'inputs["x"].tensor_shape'
    assert (found.expected, found.got) == ("rank 4 [?,300,300,3]", "rank 3 [300,300,3]")


def test_one_wrong_size_is_told_by_its_dimension():
    found = rules.shape(TensorView("x", 1, (1, 300, 300, 4)), spec("x", "float32", (-1, 300, 300, 3)))
    assert found.reason == "SHAPE_MISMATCH"
    assert found.field == 'inputs["x"].tensor_shape.dim[3]'


def test_several_wrong_sizes_are_told_by_the_whole_shape():
    found = rules.shape(TensorView("x", 1, (1, 224, 224, 3)), spec("x", "float32", (-1, 300, 300, 3)))
    assert found.field == 'inputs["x"].tensor_shape'


def test_a_negative_size_is_left_to_the_rule_about_impossible_shapes():
    view = TensorView("x", 1, (-1, 4))
    assert rules.shape(view, spec("x", "float32", (2, 4))) is None
    assert rules.shape_invalid(view).reason == "SHAPE_INVALID"


@pytest.mark.parametrize(
    ("dims", "field", "expected"),
    [
        ((2, -1), 'inputs["x"].tensor_shape.dim[1]', "dimensions of 0 or more"),
        ((1,) * 255, 'inputs["x"].tensor_shape', "at most 254 dimensions"),
        ((2**62, 4), 'inputs["x"].tensor_shape', "fewer than 2^63 elements"),
    ],
)
def test_an_impossible_shape_is_told_why(dims, field, expected):
    found = rules.shape_invalid(TensorView("x", 1, dims))
    assert (found.reason, found.field, found.expected) == ("SHAPE_INVALID", field, expected)


def test_a_size_of_minus_one_is_explained_as_belonging_to_signatures():
    assert "only a signature may say -1" in rules.shape_invalid(TensorView("x", 1, (-1,))).hint
    assert rules.shape_invalid(TensorView("x", 1, (-5,))).hint == ""


# === payload ===


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
def test_as_many_values_as_elements_are_right(kind):
    for elements, dims in ((6, (2, 3)), (1, (1, 1)), (1, ())):
        assert payload(counted(kind, elements * kind.per_element, dims)) is None


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
def test_one_value_for_all_elements_is_told_as_such(kind):
    found = payload(counted(kind, kind.per_element, (2, 3)))
    assert (found.reason, found.got) == ("PAYLOAD_SINGLE_VALUE", "one")


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
@pytest.mark.parametrize("elements", [2, 5, 7, 12])
def test_any_other_number_of_values_is_told(kind, elements):
    found = payload(counted(kind, elements * kind.per_element, (2, 3)))
    assert found.reason == "PAYLOAD_COUNT_MISMATCH"
    assert found.field == f'inputs["x"].{kind.field}'
    assert found.expected == f"{6 * kind.per_element} values in {kind.field} for {kind.name}[2,3]"
    assert ("cut" if elements > 6 else "repeat") in found.hint


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_half_a_complex_number_is_told(name):
    kind = next(kind for kind in FIELD_KINDS if kind.name == name)
    for values in (1, 3, 11, 13):
        assert payload(counted(kind, values, (2, 3))).reason == "PAYLOAD_COUNT_MISMATCH"


@pytest.mark.parametrize("kind", SIZED_KINDS, ids=by_name)
def test_content_has_the_length_of_its_elements_and_no_other(kind):
    def of(length):
        return payload(TensorView("x", kind.number, (2, 3), content_length=length))

    assert of(6 * kind.size) is None
    for length in (1, 6 * kind.size - 1, 6 * kind.size + 1, 12 * kind.size):
        if length != 6 * kind.size:
            found = of(length)
            assert found.reason == "PAYLOAD_LENGTH_MISMATCH"
            assert found.expected == f"{6 * kind.size} bytes (6 x {kind.size}) for {kind.name}[2,3]"
            assert found.got == f"{length} bytes"


def test_content_is_read_before_any_values():
    assert payload(TensorView("x", 1, (2,), content_length=8, counts={"float_val": 5})) is None
    wrong = TensorView("x", 1, (2,), content_length=7, counts={"float_val": 2})
    assert payload(wrong).reason == "PAYLOAD_LENGTH_MISMATCH"


def test_strings_in_content_have_to_be_in_the_encoding_of_tensorflow():
    assert payload(TensorView("x", DT_STRING, (2,), content_length=5, string_content_fits=True)) is None
    found = payload(TensorView("x", DT_STRING, (2,), content_length=5, string_content_fits=False))
    assert (found.reason, found.hint) == ("PAYLOAD_LENGTH_MISMATCH", "put strings into string_val")


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
def test_values_in_the_field_of_another_dtype_are_told(kind):
    for field in {other.field for other in FIELD_KINDS} - {kind.field}:
        found = payload(TensorView("x", kind.number, (2,), counts={field: 2}))
        assert found.reason == "PAYLOAD_FIELD_MISMATCH"
        assert found.got == f"2 in {field}"


def test_values_in_other_fields_as_well_do_no_harm():
    assert payload(TensorView("x", 1, (2,), counts={"float_val": 2, "int_val": 7})) is None


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
def test_elements_without_any_values_are_told(kind):
    found = payload(TensorView("x", kind.number, (2, 3)))
    assert found.reason == "PAYLOAD_MISSING"
    assert ("empty strings" if kind.number == DT_STRING else "zeros") in found.hint


@pytest.mark.parametrize("kind", FIELD_KINDS, ids=by_name)
def test_nothing_is_read_where_there_are_no_elements(kind):
    assert payload(TensorView("x", kind.number, (0, 4))) is None
    assert payload(TensorView("x", kind.number, (0, 4), content_length=3)) is None
    assert payload(TensorView("x", kind.number, (0, 4), counts={"float_val": 3})) is None


def test_one_value_may_fill_no_more_than_a_message_could_carry():
    assert payload(counted(DTYPES[4], 1, (2**31 - 1,))).reason == "PAYLOAD_SINGLE_VALUE"
    assert payload(counted(DTYPES[4], 1, (2**31,))).reason == "PAYLOAD_MISSING"


@pytest.mark.parametrize(
    ("sent", "field", "expected"),
    [
        (tensor("uint8", (2,), int_val=[0, 256]), "int_val", "values from 0 to 255 in int_val"),
        (tensor("uint8", (2,), int_val=[-1]), "int_val", "values from 0 to 255 in int_val"),
        (tensor("float16", (2,), half_val=[0x13C00]), "half_val", "values from -32768 to 65535 in half_val"),
        (tensor("bool", (2,), tensor_content=b"\x01\x02"), "tensor_content", "bytes 0 or 1"),
    ],
)
def test_values_that_tensorflow_would_wrap_are_told(sent, field, expected):
    found = payload(view_of(sent))
    assert found.reason == "VALUE_OUT_OF_RANGE"
    assert found.field == f'inputs["x"].{field}'
    assert found.expected == expected


def test_resources_and_variants_are_opaque():
    for number in (DT_RESOURCE, DT_VARIANT):
        assert payload(TensorView("x", number, (2,))) is None


# === aliases ===


def test_a_field_path_shows_an_odd_alias_escaped():
    found = rules.shape_invalid(TensorView('a"\n', 1, (-1,)))
    assert found.field == 'inputs["a"\\n"].tensor_shape.dim[0]'
    assert found.alias == 'a"\n'


def test_a_missing_input_is_told_with_what_it_has_to_be():
    found = rules.input_missing(spec("ids", "int64", (-1, 4)))
    assert (found.reason, found.alias, found.expected, found.got) == (
        "INPUT_MISSING",
        "ids",
        "int64[?,4]",
        "nothing",
    )


def test_an_input_of_unknown_rank_is_told_as_such():
    assert rules.input_missing(spec("x", "float32", None)).expected == "float32<any rank>"


def outputs_told(*names):
    one = signature({}, {"scores": ("float32", None), "boxes": ("float32", None)})
    return list(rules.output_filter(names, one))


def test_known_outputs_may_be_asked_for_in_any_order():
    assert outputs_told("scores", "boxes") == []
    assert outputs_told() == []


def test_an_unknown_output_is_told_by_its_place():
    (found,) = outputs_told("scores", "Boxes")
    assert (found.reason, found.field) == ("OUTPUT_UNKNOWN", "output_filter[1]")
    assert found.hint == "did you mean 'boxes'?"


def test_the_graph_name_of_an_output_is_told():
    one = signature({}, {"scores": ("float32", None)})
    (found,) = rules.output_filter(["StatefulPartitionedCall:0"], one)
    assert found.hint == "that is the graph name; the alias is 'scores'"


def test_a_graph_name_of_two_outputs_is_told_as_none_of_them():
    assert outputs_told("StatefulPartitionedCall:0")[0].hint == ""


def test_a_repeated_output_is_told():
    (found,) = outputs_told("scores", "boxes", "scores")
    assert (found.reason, found.field) == ("OUTPUT_DUPLICATE", "output_filter[2]")


def test_an_empty_output_name_is_unknown():
    assert outputs_told("")[0].reason == "OUTPUT_UNKNOWN"


# === batch ===


def batch_told(*pairs, max_batch=None, independent=False):
    inputs = {f"x{i}": ("float32", shape) for i, (_, shape) in enumerate(pairs)}
    return batch_of({f"x{i}": dims for i, (dims, _) in enumerate(pairs)}, inputs, max_batch, independent)


def batch_of(sent, inputs, max_batch=None, independent=False):
    """What is said of tensors of these dims, alias by alias, for a signature with these inputs."""
    takes = signature(inputs)
    views = [(TensorView(alias, 1, dims), takes.inputs[alias]) for alias, dims in sent.items()]
    found = rules.batch(views, takes, max_batch, independent=independent)
    return [(each.reason, each.alias) for each in found]


def test_equal_batches_are_right():
    assert batch_told(((2, 3), (-1, 3)), ((2,), (-1,))) == []


def test_different_batches_are_told():
    assert batch_told(((2, 3), (-1, 3)), ((3,), (-1,))) == [("BATCH_MISMATCH", "")]


def test_only_free_leading_dimensions_are_batches():
    assert batch_told(((2, 3), (-1, 3)), ((7,), (7,)), ((), ()), ((5, 5), None)) == []


def test_an_empty_batch_is_told():
    assert batch_told(((0, 3), (-1, 3))) == [("BATCH_EMPTY", "x0")]


def test_a_limit_on_the_batch_is_kept():
    assert batch_told(((32, 3), (-1, 3)), max_batch=32) == []
    assert batch_told(((33, 3), (-1, 3)), max_batch=32) == [("BATCH_TOO_LARGE", "x0")]


def test_the_limit_looks_at_the_smallest_since_a_larger_one_may_count_something_else():
    layers = ((6, 2, 8), (-1, -1, 8))
    assert batch_told(layers, ((2, 5, 4), (-1, -1, 4)), max_batch=4) == [("BATCH_MISMATCH", "")]
    told = batch_told(layers, ((5, 5, 4), (-1, -1, 4)), max_batch=4)
    assert told == [("BATCH_MISMATCH", ""), ("BATCH_TOO_LARGE", "x1")]


def test_independent_inputs_have_no_batch_in_common():
    query, items = ((1, 4), (-1, 4)), ((9, 4), (-1, 4))
    assert batch_told(query, items, independent=True) == []
    assert batch_told(query, items, max_batch=4, independent=True) == []
    assert batch_told(query, items, max_batch=0, independent=True) == [("BATCH_TOO_LARGE", "x0")]
    assert batch_told(query, ((0, 4), (-1, 4)), independent=True) == []


RAGGED = {"tokens": ("int64", (-1,)), "tokens_1": ("int64", (-1,))}
SPARSE = {"x": ("int64", (-1, 2)), "x_1": ("float32", (-1,)), "x_2": ("int64", (2,))}


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        pytest.param(RAGGED, {"tokens": (7,), "tokens_1": (5,)}, id="ragged"),
        pytest.param(RAGGED, {"tokens": (0,), "tokens_1": (5,)}, id="ragged, every row empty"),
        pytest.param(RAGGED, {"tokens": (5,), "tokens_1": (5,)}, id="ragged, as many values as row splits"),
        pytest.param(
            {"x": ("float32", (-1, 5)), "x_1": ("int64", (-1,)), "x_2": ("int64", (-1,))},
            {"x": (40, 5), "x_1": (5,), "x_2": (9,)},
            id="nested ragged",
        ),
        pytest.param(SPARSE, {"x": (9, 2), "x_1": (9,), "x_2": (2,)}, id="sparse"),
        pytest.param(SPARSE, {"x": (0, 2), "x_1": (0,), "x_2": (2,)}, id="sparse, nothing but zeros"),
        pytest.param(
            RAGGED | {"dense": ("float32", (-1, 3))},
            {"tokens": (7,), "tokens_1": (5,), "dense": (4, 3)},
            id="ragged beside dense",
        ),
        pytest.param(
            {f"x{number and f'_{number}'}": ("int64", (-1,)) for number in ("", 1, 2, 3)},
            {"x": (90,), "x_1": (5,), "x_2": (9,), "x_3": (30,)},
            id="ragged, in one way or another",
        ),
    ],
)
def test_a_batch_of_four_in_ragged_and_sparse_tensors_is_one_of_four(inputs, sent):
    assert batch_of(sent, inputs) == []
    assert batch_of(sent, inputs, max_batch=4) == []


def test_the_rows_of_a_ragged_tensor_are_limited_and_not_their_values():
    assert batch_of({"tokens": (2,), "tokens_1": (6,)}, RAGGED, max_batch=4) == [
        ("BATCH_TOO_LARGE", "tokens_1")
    ]


def test_dense_inputs_beside_a_ragged_one_share_a_batch():
    inputs = RAGGED | {"a": ("float32", (-1, 3)), "b": ("float32", (-1,))}
    sent = {"tokens": (7,), "tokens_1": (5,), "a": (4, 3), "b": (3,)}
    assert batch_of(sent, inputs) == [("BATCH_MISMATCH", "")]


# === Classify and Regress ===

CLASSES = {"classes": ("string", None), "scores": ("float32", None)}


@pytest.mark.parametrize(
    ("inputs", "outputs", "runs"),
    [
        ("inputs", CLASSES, {CLASSIFY_METHOD}),
        ("inputs", {"scores": ("float32", None)}, {CLASSIFY_METHOD}),
        ("inputs", {"classes": ("string", None), "other": ("float32", None)}, {CLASSIFY_METHOD}),
        ("inputs", {"outputs": ("float32", None)}, {REGRESS_METHOD}),
        ("inputs", {**CLASSES, "third": ("float32", None)}, set()),
        ("inputs", {"y": ("float32", None)}, set()),
        ("examples", CLASSES, set()),
        ("examples", {"outputs": ("float32", None)}, set()),
    ],
)
def test_a_signature_runs_what_its_tensors_allow_whatever_its_method_name(inputs, outputs, runs):
    for method_name in (CLASSIFY_METHOD, REGRESS_METHOD, PREDICT_METHOD, ""):
        one = signature({inputs: ("string", (-1,))}, outputs, method=method_name)
        for asked in (CLASSIFY_METHOD, REGRESS_METHOD):
            found = rules.method(one, asked)
            assert (found is None) is (asked in runs)


@pytest.mark.parametrize(
    ("method_name", "hint"),
    [
        (REGRESS_METHOD, "call Regress, or Predict"),
        (PREDICT_METHOD, "call Predict"),
        ("", "call Predict"),
    ],
)
def test_a_signature_of_another_method_is_told_what_to_call(method_name, hint):
    found = rules.method(signature({"x": ("float32", None)}, method=method_name), CLASSIFY_METHOD)
    assert (found.reason, found.hint) == ("METHOD_MISMATCH", hint)
    assert found.expected == "one that Classify can run (tensorflow/serving/classify)"


def test_a_filled_string_counts_with_what_it_takes_in_memory():
    strings = TensorView("x", 7, (1000,), counts={"string_val": 1}, string_length=3)
    assert rules.filled_bytes(strings, 1000) == 24_000
    strings.string_length = 100
    assert rules.filled_bytes(strings, 1000) == 140_000
    strings.counts = {"string_val": 1000}
    assert rules.filled_bytes(strings, 1000) == 0


def test_a_handle_counts_however_many_were_sent():
    for dtype in (20, 21):
        assert payload(TensorView("x", dtype, (1000,))) is None
        assert payload(TensorView("x", dtype, (2**27,))).reason == "PAYLOAD_MISSING"


def test_one_value_fills_as_much_as_there_is_room_for():
    for kind in DTYPES.values():
        if kind.size:
            view = counted(kind, kind.per_element, (1000,))
            assert rules.payload(view, 1000, 1000 * kind.size).reason == "PAYLOAD_SINGLE_VALUE"
            assert rules.payload(view, 1000, 1000 * kind.size - 1).reason == "PAYLOAD_MISSING"
