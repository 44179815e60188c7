"""One small pure function per rule: what a tensor, an alias or a batch must be, and what is wrong when not.

Law: a rule sees a view and a spec and returns a Violation or None (or a list where several are possible). It
does not know severities, modes or codes. What is legal for TensorFlow is never a violation: unknown rank and
-1 accept anything in their place, rank 0 is a rank, one value fills a tensor, zero dimensions are legal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from proxy.core import explain
from proxy.core.components import Ragged, input_families
from proxy.core.explain import quote, sent_shape
from proxy.core.mending.remedies import DropOutput, Mending, Remedy, SplitBatch
from proxy.core.mending.signatures import output_remedies
from proxy.core.reasons import Reason
from proxy.core.types import (
    CLASSIFY_METHOD,
    DT_RESOURCE,
    DT_STRING,
    DT_VARIANT,
    DTYPES,
    MAX_RANK,
    REGRESS_METHOD,
    UNKNOWN_DIM,
    DType,
    Signature,
    TensorSpec,
    TensorView,
    dtype_name,
    fits,
    shape_text,
)
from proxy.core.verdict import Violation

MAX_FILLED_BYTES = 2**31 - 1
"""What one value may fill: as much as the largest protobuf message could carry. A shape beyond it is a fault
(measured: TF Serving tries to allocate 4 TiB for a request of 50 bytes).
"""

_STRING_BYTES = 24
"""A `tstring`, which holds strings of up to 22 bytes in itself and allocates longer ones (`ctstring_internal.h`)."""
_ALLOCATION_BYTES = 16
_OPAQUE_BYTES = {DT_RESOURCE: 256, DT_VARIANT: 64}
"""About what a handle takes in a tensor."""


def _of_input(reason: Reason, alias: str, path: str, expected: str, got: str, hint: str = "") -> Violation:
    field = f'inputs["{explain.escape(alias)}"]{path}'
    return Violation(reason, field, f"input {quote(alias)}", expected, got, hint, alias)


def input_unknown(alias: str, signature: Signature) -> Violation:
    """An input that the signature does not have."""
    expected = explain.listing(signature.inputs)
    return _of_input(Reason.INPUT_UNKNOWN, alias, "", expected, "an unknown alias")


def input_missing(spec: TensorSpec) -> Violation:
    """An input of the signature that the request lacks."""
    expected = f"{dtype_name(spec.dtype)}{shape_text(spec.shape)}"
    return _of_input(Reason.INPUT_MISSING, spec.alias, "", expected, "nothing")


def output_filter(outputs: Iterable[str], signature: Signature) -> Iterator[Violation]:
    """Unknown and repeated names in `output_filter`."""
    seen: set[str] = set()
    for index, alias in enumerate(outputs):
        field, where = f"output_filter[{index}]", f"output {quote(alias)}"
        if alias not in signature.outputs:
            expected = explain.listing(signature.outputs)
            mending = Mending(tuple(output_remedies(index, alias, signature)))
            yield Violation(
                Reason.OUTPUT_UNKNOWN, field, where, expected, "an unknown alias", mending=mending
            )
        elif alias in seen:
            mending = Mending((Remedy("", (DropOutput(index),), exact=True),))
            yield Violation(
                Reason.OUTPUT_DUPLICATE, field, where, "each output once", "a repetition", mending=mending
            )
        seen.add(alias)


def dtype(view: TensorView, spec: TensorSpec) -> Violation | None:
    """DTYPE_INVALID or DTYPE_MISMATCH. A spec without a dtype (composite tensors, F17) accepts any."""
    sent, wanted = view.dtype, spec.dtype
    if sent == wanted != 0:
        return None
    got = dtype_name(sent)
    if sent not in DTYPES:
        expected = dtype_name(wanted) if wanted else "a dtype"
        return _of_input(Reason.DTYPE_INVALID, view.alias, ".dtype", expected, got)
    if not wanted:
        return None
    return _of_input(Reason.DTYPE_MISMATCH, view.alias, ".dtype", dtype_name(wanted), got)


def shape_invalid(view: TensorView) -> Violation:
    """SHAPE_INVALID: what `TensorShape::IsValid` refuses, for dims that have no element count."""
    path, expected, hint = ".tensor_shape", "fewer than 2^63 elements", ""
    negative = [axis for axis, dim in enumerate(view.dims) if dim < 0]
    if len(view.dims) > MAX_RANK:
        expected = f"at most {MAX_RANK} dimensions"
    elif negative:
        path = f".tensor_shape.dim[{negative[0]}]"
        expected = "dimensions of 0 or more"
        if view.dims[negative[0]] == UNKNOWN_DIM:
            hint = "send the actual size; only a signature may say -1"
    return _of_input(Reason.SHAPE_INVALID, view.alias, path, expected, sent_shape(view.dims), hint)


def shape(view: TensorView, spec: TensorSpec) -> Violation | None:
    """RANK_MISMATCH or SHAPE_MISMATCH: what TF Serving never compares."""
    wanted, dims = spec.shape, view.dims
    if wanted is None or fits(dims, wanted):
        return None
    if len(dims) != len(wanted):
        expected, got = f"rank {len(wanted)} {shape_text(wanted)}", f"rank {len(dims)} {sent_shape(dims)}"
        return _of_input(Reason.RANK_MISMATCH, view.alias, ".tensor_shape", expected, got)
    wrong = [axis for axis, size in enumerate(wanted) if size not in (dims[axis], UNKNOWN_DIM)]
    if all(dims[axis] < 0 for axis in wrong):
        return None  # SHAPE_INVALID says it already
    path = f".tensor_shape.dim[{wrong[0]}]" if len(wrong) == 1 else ".tensor_shape"
    return _of_input(Reason.SHAPE_MISMATCH, view.alias, path, shape_text(wanted), sent_shape(dims))


def filled_bytes(view: TensorView, count: int) -> int:
    """What TensorFlow allocates to fill `count` elements with one value that was sent; 0 where nothing is filled."""
    kind = DTYPES.get(view.dtype)
    if kind is None or view.content_length or count < 2:
        return 0
    if view.dtype in _OPAQUE_BYTES:
        # How many values there are is not looked at.
        return count * _OPAQUE_BYTES[view.dtype]
    if view.counts.get(kind.field, 0) != kind.per_element:
        return 0
    if view.dtype != DT_STRING:
        return count * kind.size
    length = view.string_length
    return count * (
        _STRING_BYTES if length < _STRING_BYTES - 1 else _STRING_BYTES + _ALLOCATION_BYTES + length
    )


def payload(view: TensorView, count: int, room: int = MAX_FILLED_BYTES) -> Violation | None:
    """What TensorFlow would refuse without saying why, or fill, cut and wrap without saying anything.

    `count` is the number of elements of the shape. Follows `Tensor::FromProto` (`tensor.cc`): nothing is read
    when there are no elements; `tensor_content` wins over every `*_val` field and must have the exact length;
    one value fills the tensor, of `room` bytes at most.
    """
    kind = DTYPES.get(view.dtype)
    if kind is None or not count:
        return None
    if view.dtype in _OPAQUE_BYTES and filled_bytes(view, count) <= room:
        return None
    if view.content_length:
        return _content(view, kind, count)
    values = view.counts.get(kind.field, 0)
    wanted = count * kind.per_element
    filled = values == kind.per_element and filled_bytes(view, count) <= room
    if filled or values == wanted:
        if view.wraps:
            return _wraps(view, kind)
        return None if values == wanted else _single_value(view, kind, wanted)
    if values == kind.per_element or view.dtype in _OPAQUE_BYTES:
        got = f"{values or 'few'} for {explain.tensor_text(view)}"
        most = (
            "any message can hold"
            if filled_bytes(view, count) > MAX_FILLED_BYTES
            else "--max-fill-bytes allows"
        )
        hint = f"the values or the shape are lost: TensorFlow would try to fill more memory than {most}"
        return _of_input(Reason.PAYLOAD_MISSING, view.alias, "", f"{wanted} values", got, hint)
    expected = f"{wanted} values in {kind.field} for {explain.tensor_text(view)}"
    if values:
        hint = f"TensorFlow would {'cut the rest' if values > wanted else 'repeat the last one'}"
        path = f".{kind.field}"
        return _of_input(Reason.PAYLOAD_COUNT_MISMATCH, view.alias, path, expected, f"{values}", hint)
    if view.counts:
        elsewhere = ", ".join(f"{number} in {name}" for name, number in sorted(view.counts.items()))
        hint = f"TensorFlow reads only {kind.field} for {kind.name}"
        return _of_input(Reason.PAYLOAD_FIELD_MISMATCH, view.alias, "", expected, elsewhere, hint)
    blank = "empty strings" if view.dtype == DT_STRING else "zeros"
    hint = f"the values are missing: TensorFlow would read {blank}"
    return _of_input(Reason.PAYLOAD_MISSING, view.alias, "", f"{wanted} values", "none", hint)


def _content(view: TensorView, kind: DType, count: int) -> Violation | None:
    path, length = ".tensor_content", view.content_length
    if view.dtype == DT_STRING:
        if view.string_content_fits:
            return None
        expected = f"{count} strings in TensorFlow's encoding"
        got = f"{length} bytes that are not"
        hint = "put strings into string_val"
        return _of_input(Reason.PAYLOAD_LENGTH_MISMATCH, view.alias, path, expected, got, hint)
    wanted = count * kind.size
    if length == wanted:
        return _wraps(view, kind) if view.wraps else None
    expected = f"{wanted} bytes ({count} x {kind.size}) for {explain.tensor_text(view)}"
    whole = length % kind.size == 0
    hint = "" if whole else f"not a whole number of {kind.name} values: cut or of another dtype"
    return _of_input(Reason.PAYLOAD_LENGTH_MISMATCH, view.alias, path, expected, f"{length} bytes", hint)


def _single_value(view: TensorView, kind: DType, wanted: int) -> Violation:
    expected = f"{wanted} values in {kind.field} for {explain.tensor_text(view)}"
    hint = "TensorFlow reads it as every element; arrays that a client nested end like this"
    path = f".{kind.field}"
    return _of_input(Reason.PAYLOAD_SINGLE_VALUE, view.alias, path, expected, "one", hint)


def _wraps(view: TensorView, kind: DType) -> Violation:
    if view.content_length:
        path, expected = ".tensor_content", "bytes 0 or 1"
    else:
        path, expected = f".{kind.field}", f"values from {kind.low} to {kind.high} in {kind.field}"
    hint = f"they do not fit {kind.name}: TensorFlow would wrap or refuse them"
    return _of_input(Reason.VALUE_OUT_OF_RANGE, view.alias, path, expected, "values outside", hint)


def batch(
    views: Iterable[tuple[TensorView, TensorSpec]],
    signature: Signature,
    max_batch: int | None,
    *,
    independent: bool = False,
) -> list[Violation]:
    """Warnings about the free batch dimension, and the limit a policy gives.

    A free leading dimension counts as the batch, unless the inputs are known to be `independent`; those of ragged
    and sparse tensors never do: only the number of a ragged tensor's rows, one less than its row splits, may be it.
    What the policy limits is the smallest, since a larger one may count something else.
    """
    sizes = {
        view.alias: view.dims[0]
        for view, spec in views
        if spec.shape and spec.shape[0] == UNKNOWN_DIM and len(view.dims) == len(spec.shape)
    }
    if not sizes:
        return []
    smallest, largest = min(sizes.values()), max(sizes.values())
    if 0 < smallest == largest and (max_batch is None or largest <= max_batch):
        return []
    rows = []
    for family in input_families(signature):
        found_sizes = [sizes.pop(alias, None) for alias in family.aliases]
        if isinstance(family, Ragged) and found_sizes[1]:
            rows.append((found_sizes[1] - 1, family.row_splits[0]))
    found = []
    path = ".tensor_shape.dim[0]"
    dense = sorted((size, alias) for alias, size in sizes.items())
    if dense and not independent:
        (smallest, first), (largest, last) = dense[0], dense[-1]
        if smallest != largest:
            got = f"{smallest} in {quote(first)}, {largest} in {quote(last)}"
            hint = "servers with batching refuse this"
            found.append(Violation(Reason.BATCH_MISMATCH, "inputs", "inputs", "one batch size", got, hint))
    if dense and (dense[-1] if independent else dense[0])[0] == 0:
        hint = "servers with batching may never answer"
        expected, got = "at least one example", "a batch of 0"
        found.append(_of_input(Reason.BATCH_EMPTY, dense[0][1], path, expected, got, hint))
    smallest, first = min(dense + rows, default=(0, ""))
    if max_batch is not None and smallest > max_batch:
        expected = f"a batch of at most {max_batch}"
        too_large = _of_input(Reason.BATCH_TOO_LARGE, first, path, expected, f"{smallest}")
        split = Remedy("split the batch", (SplitBatch(max_batch),))
        found.append(replace(too_large, mending=Mending((split,))))
    return found


def method(signature: Signature, wanted: str) -> Violation | None:
    """METHOD_MISMATCH: what Classify and Regress need of a signature (`classifier.cc`, `regressor.cc`).

    TF Serving looks at the shape of the signature, not at its method_name (which it checks only under a
    flag that is off), so a signature that would work is never refused.
    """
    if wanted == CLASSIFY_METHOD:
        usable = len(signature.outputs) <= 2 and not signature.outputs.keys().isdisjoint(
            ("classes", "scores")
        )
    else:
        usable = set(signature.outputs) == {"outputs"}
    if usable and set(signature.inputs) == {"inputs"}:
        return None
    call = "Regress" if wanted == REGRESS_METHOD else "Classify"
    hint = {
        CLASSIFY_METHOD: "call Classify, or Predict",
        REGRESS_METHOD: "call Regress, or Predict",
    }.get(signature.method, "call Predict")
    return Violation(
        Reason.METHOD_MISMATCH,
        "model_spec.signature_name",
        f"signature {quote(signature.name)}",
        f"one that {call} can run ({wanted})",
        signature.method or "no method_name",
        hint,
    )
