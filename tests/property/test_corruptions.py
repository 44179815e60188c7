"""Every way to spoil one tensor of a valid request is refused, for its reason, and the answer names the tensor."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proxy.core.types import DT_STRING, DTYPES, Signature, TensorSpec
from proxy.wire.status import status_of
from tests.judging import NO_DTYPE, verdict_on
from tests.property.tensors import KINDS, put, tensors, valid_requests, values


def another_dtype(draw, tensor, spec):
    tensor.dtype = draw(st.sampled_from([kind.number for kind in KINDS if kind.number != spec.dtype]))
    return "DTYPE_MISMATCH"


def no_dtype(draw, tensor, spec):
    tensor.dtype = draw(st.sampled_from((0, NO_DTYPE, 101, 999)))
    return "DTYPE_INVALID"


def one_dimension_more(draw, tensor, spec):
    assume(spec.shape is not None)
    tensor.tensor_shape.dim.insert(
        draw(st.integers(0, len(spec.shape))), type(tensor.tensor_shape).Dim(size=1)
    )
    return "RANK_MISMATCH"


def one_dimension_less(draw, tensor, spec):
    assume(spec.shape)
    del tensor.tensor_shape.dim[draw(st.integers(0, len(spec.shape) - 1))]
    return "RANK_MISMATCH"


def another_size(draw, tensor, spec):
    fixed = [axis for axis, size in enumerate(spec.shape or ()) if size != -1]
    assume(fixed)
    axis = draw(st.sampled_from(fixed))
    tensor.tensor_shape.dim[axis].size = draw(st.sampled_from((0, 4, 299, 2**62)))
    return "SHAPE_MISMATCH"


def a_negative_size(draw, tensor, spec):
    assume(len(tensor.tensor_shape.dim))
    dim = draw(st.sampled_from(list(tensor.tensor_shape.dim)))
    dim.size = draw(st.sampled_from((-1, -2, -(2**63))))
    return "SHAPE_INVALID"


def more_content(draw, tensor, spec):
    assume(tensor.tensor_content)
    tensor.tensor_content += b"\x01" * draw(st.integers(1, 3))
    return "PAYLOAD_LENGTH_MISMATCH"


def less_content(draw, tensor, spec):
    assume(len(tensor.tensor_content) > 1 and spec.dtype != DT_STRING)
    tensor.tensor_content = tensor.tensor_content[: -draw(st.integers(1, len(tensor.tensor_content) - 1))]
    return "PAYLOAD_LENGTH_MISMATCH"


def one_value_more(draw, tensor, spec):
    kind = DTYPES[spec.dtype]
    assume(len(getattr(tensor, kind.field)))
    extra = draw(values(kind, 1))
    if kind.field == "float8_val":
        tensor.float8_val += b"\x00"
    else:
        put(tensor, kind, extra)
    # One value fills any number of elements, so one more of it may still be right for two of them.
    assume(len(getattr(tensor, kind.field)) != element_count(tensor) * kind.per_element)
    return "PAYLOAD_COUNT_MISMATCH"


def values_in_another_field(draw, tensor, spec):
    kind = DTYPES[spec.dtype]
    assume(len(getattr(tensor, kind.field)))
    tensor.ClearField(kind.field)
    other = draw(st.sampled_from([each for each in KINDS if each.field != kind.field]))
    put(tensor, other, draw(values(other, element_count(tensor))))
    return "PAYLOAD_FIELD_MISMATCH"


def no_values(draw, tensor, spec):
    tensor.ClearField("tensor_content")
    tensor.ClearField(DTYPES[spec.dtype].field)
    return "PAYLOAD_MISSING"


def a_value_outside(draw, tensor, spec):
    kind = DTYPES[spec.dtype]
    assume(kind.low is not None and len(getattr(tensor, kind.field)))
    found = getattr(tensor, kind.field)
    found[draw(st.integers(0, len(found) - 1))] = draw(
        st.sampled_from((kind.low - 1, kind.high + 1, 2**31 - 1, -(2**31)))
    )
    return "VALUE_OUT_OF_RANGE"


CORRUPTIONS = (
    another_dtype,
    no_dtype,
    one_dimension_more,
    one_dimension_less,
    another_size,
    a_negative_size,
    more_content,
    less_content,
    one_value_more,
    values_in_another_field,
    no_values,
    a_value_outside,
)


def element_count(tensor) -> int:
    count = 1
    for dim in tensor.tensor_shape.dim:
        count *= dim.size
    return count


def assert_refused(verdict, reason: str, alias: str) -> None:
    assert reason in {each.reason for each in verdict.violations if each.alias == alias}
    assert {each.alias for each in verdict.violations} == {alias}
    assert f"input '{alias.encode('unicode_escape').decode()}'" in status_of(verdict).text


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda corrupt: corrupt.__name__)
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_a_spoiled_tensor_is_refused_by_name(corrupt, data):
    servable, request = data.draw(valid_requests(smallest=1))
    signature: Signature = servable.signature(request.model_spec.signature_name)
    assume(request.inputs)
    alias = data.draw(st.sampled_from(sorted(request.inputs)))
    spec: TensorSpec = signature.inputs[alias]
    encodings = {"more_content": ("content",), "less_content": ("content",)}.get(
        corrupt.__name__, ("field", "one value")
    )
    tensor = data.draw(tensors(spec, smallest=1, encodings=encodings))
    reason = corrupt(data.draw, tensor, spec)
    request.inputs[alias].CopyFrom(tensor)

    assert_refused(verdict_on(request, servable), reason, alias)


@given(valid_requests(), st.data())
def test_a_renamed_input_is_refused_under_both_names(case, data):
    servable, request = case
    signature = servable.signature(request.model_spec.signature_name)
    required = sorted(request.inputs.keys() - signature.defaults)
    assume(required)
    alias = data.draw(st.sampled_from(required))
    request.inputs[f"{alias}!"].CopyFrom(request.inputs[alias])
    assume(f"{alias}!" not in signature.inputs)
    del request.inputs[alias]

    verdict = verdict_on(request, servable)
    assert {(each.reason, each.alias) for each in verdict.violations} == {
        ("INPUT_UNKNOWN", f"{alias}!"),
        ("INPUT_MISSING", alias),
    }


@given(valid_requests(), st.text(st.characters(exclude_categories=("Cs",)), max_size=6))
def test_an_unknown_or_repeated_output_is_refused(case, output):
    servable, request = case
    signature = servable.signature(request.model_spec.signature_name)
    request.output_filter.append(output)
    repeated = list(request.output_filter).count(output) > 1
    expected = "OUTPUT_UNKNOWN" if output not in signature.outputs else "OUTPUT_DUPLICATE"
    assume(output not in signature.outputs or repeated)

    assert {each.reason for each in verdict_on(request, servable).violations} == {expected}
