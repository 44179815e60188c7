"""Right requests with payloads that tell every element apart, and one mistake of a known kind in each.

A mistake changes the request that it is given and returns nothing; it gives up (`assume`) where it cannot be made.
"""

from collections.abc import Callable
from itertools import combinations, permutations
from math import prod

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from proxy.core.types import DTYPES, Servable, Signature, TensorSpec, fits
from proxy.wire.protos import predict_pb2, tensor_pb2
from tests.judging import NUMBERS

Draw = Callable[[st.SearchStrategy], object]
Request = predict_pb2.PredictRequest

NUMERIC = ("float32", "float64", "float16", "int32", "int64", "uint8", "int8", "int16", "uint16", "uint32")
DTYPE_NAMES = (*NUMERIC, "float32", "float32", "int64", "string", "string", "bool", "complex64")
SIZES = (-1, -1, 1, 2, 3, 4, 5)
SHAPES = st.one_of(
    st.lists(st.sampled_from(SIZES), max_size=4).map(tuple),
    st.sampled_from(
        ((-1, 4, 5, 3), (-1, -1, -1, 3), (-1, 3, 4, 4), (-1, 8), (-1, 1), (-1,), (-1, 4, 3), (2, 5))
    ),
)
NAMES = (
    *("x", "image_tensor", "images", "input_ids", "attention_mask", "token_type_ids", "dense_input", "Age"),
    *("age", "hours-per-week", "native.country", "serving_default", "größe", "examples", "inputs"),
)


@st.composite
def aliases(draw: st.DrawFn) -> list[str]:
    if draw(st.integers(0, 2)):
        return draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    stem = draw(st.sampled_from(("keras_tensor", "input", "col", "x")))
    first, count = draw(st.integers(0, 3)), draw(st.integers(2, 4))
    if stem == "col":
        return [f"{stem}_{number:03}" for number in range(first, first + count)]
    return [f"{stem}_{number}" if number else stem for number in range(first, first + count)]


@st.composite
def signatures(draw: st.DrawFn, name: str) -> Signature:
    names = draw(aliases())
    alike = draw(st.integers(0, 2)) == 0
    spec = (draw(st.sampled_from(DTYPE_NAMES)), draw(SHAPES))
    inputs = {}
    for alias in names:
        dtype, shape = spec if alike else (draw(st.sampled_from(DTYPE_NAMES)), draw(SHAPES))
        inputs[alias] = TensorSpec(alias, NUMBERS[dtype], shape, f"{name}_{alias}:0")
    outputs = draw(st.lists(st.sampled_from(("scores", "boxes", "y", "classes")), min_size=1, unique=True))
    defaults = frozenset(alias for alias in names if draw(st.integers(0, 6)) == 0)
    return Signature(name, "", inputs, {each: TensorSpec(each, 1, None) for each in outputs}, defaults)


def array(draw: Draw, spec: TensorSpec, dims: tuple[int, ...], first: int) -> np.ndarray:
    """An array of which no two elements are equal, as far as the dtype allows."""
    name, count = DTYPES[spec.dtype].name, prod(dims)
    if name == "string":
        return np.array([*(b"token %d" % (first + at) for at in range(count)), None], object)[:-1].reshape(
            dims
        )
    if name == "bool":
        bits = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        return np.array(bits, bool).reshape(dims)
    return (np.arange(count) % 127 + (first % 2)).astype(name).reshape(dims)


def write(tensor: tensor_pb2.TensorProto, values: np.ndarray, *, in_field: bool) -> None:
    """`values` as TensorFlow's clients write them: as content, or in the field of their dtype."""
    name = "string" if values.dtype == object else values.dtype.name
    kind = DTYPES[NUMBERS[name]]
    tensor.Clear()
    tensor.dtype = kind.number
    tensor.tensor_shape.SetInParent()
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    flat = values.ravel()
    if name != "string" and not in_field:
        tensor.tensor_content = flat.tobytes()
    elif name == "float16":
        tensor.half_val.extend(flat.view("<u2").tolist())
    elif name == "complex64":
        tensor.scomplex_val.extend(flat.view("<f4").tolist())
    else:
        getattr(tensor, kind.field).extend(flat.tolist())


@st.composite
def right_requests(draw: st.DrawFn) -> tuple[Servable, Request, dict[str, np.ndarray]]:
    """A servable, a request that is right for it, and its arrays by alias."""
    signature = draw(signatures(draw(st.sampled_from(("serving_default", "predict")))))
    others = [draw(signatures("other"))] if draw(st.integers(0, 3)) == 0 else []
    request = Request()
    request.model_spec.name = "m"
    if signature.name != "serving_default":
        request.model_spec.signature_name = signature.name
    batch = draw(st.integers(1, 4))
    arrays = {}
    for number, (alias, spec) in enumerate(sorted(signature.inputs.items())):
        if alias in signature.defaults and draw(st.booleans()):
            continue
        free = (batch, *(draw(st.integers(1, 5)) for _ in spec.shape[1:]))
        dims = tuple(size if want == -1 else want for size, want in zip(free, spec.shape, strict=False))
        # No picture is one pixel high or wide.
        if len(dims) == 4:
            pixels = (1, 2) if spec.shape[3] in {1, 3, 4} else (2, 3)
            dims = tuple(
                2 if axis in pixels and size == 1 and spec.shape[axis] == -1 else size
                for axis, size in enumerate(dims)
            )
        arrays[alias] = array(draw, spec, dims, 100 * number)
        write(request.inputs[alias], arrays[alias], in_field=draw(st.booleans()))
    assume(arrays)
    request.output_filter.extend(sorted(draw(st.sets(st.sampled_from(sorted(signature.outputs))))))
    return Servable("m", 7, {each.name: each for each in (signature, *others)}), request, arrays


# === mistakes ===


def _rewrite(draw: Draw, request: Request, arrays, signature: Signature, change, reads_as=None) -> None:
    """`reads_as`: a simpler mistake that explains the dimensions as well, so that no one can tell."""
    alias = draw(st.sampled_from(sorted(arrays)))
    changed = change(arrays[alias])
    assume(reads_as is None or not reads_as(changed.shape, signature.inputs[alias].shape))
    values = np.ascontiguousarray(changed).reshape(changed.shape)
    write(request.inputs[alias], values, in_field=draw(st.booleans()))


def units_missing_or_too_many(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    def without(sizes: tuple[int, ...], number: int):
        units = [axis for axis, size in enumerate(sizes) if size in {1, -1}]
        for out in combinations(units, number):
            yield tuple(size for axis, size in enumerate(sizes) if axis not in out)

    more = len(dims) - len(shape)
    if more > 0:
        return any(fits(each, shape) for each in without(dims, more) if -1 not in dims)
    return any(fits(dims, each) for each in without(shape, -more))


def axes_in_another_order(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return any(fits(each, shape) for each in permutations(dims))


def drop_a_dimension(draw, request, arrays, signature):
    def change(values):
        units = [axis for axis, size in enumerate(values.shape) if size == 1]
        assume(units)
        return np.squeeze(values, draw(st.sampled_from(units)))

    _rewrite(draw, request, arrays, signature, change)


def add_a_dimension(draw, request, arrays, signature):
    _rewrite(draw, request, arrays, signature, lambda x: np.expand_dims(x, draw(st.integers(0, x.ndim))))


def squeeze_all(draw, request, arrays, signature):
    _rewrite(draw, request, arrays, signature, np.squeeze)


def transpose(draw, request, arrays, signature):
    _rewrite(
        draw, request, arrays, signature, lambda x: np.transpose(x, draw(st.permutations(range(x.ndim))))
    )


def transpose_and_drop_the_batch(draw, request, arrays, signature):
    ways = [
        (alias, axes)
        for alias, values in sorted(arrays.items())
        for axes in permutations(range(1, values.ndim))
        if values.shape[:1] == (1,)
        and not units_missing_or_too_many(
            tuple(values.shape[axis] for axis in axes), signature.inputs[alias].shape
        )
    ]
    assume(ways)
    alias, axes = draw(st.sampled_from(ways))
    moved = np.ascontiguousarray(np.transpose(arrays[alias], (0, *axes))[0])
    write(request.inputs[alias], moved, in_field=draw(st.booleans()))


def flatten(draw, request, arrays, signature):
    _rewrite(draw, request, arrays, signature, np.ravel, units_missing_or_too_many)


def flatten_each_example(draw, request, arrays, signature):
    def change(values):
        assume(values.ndim > 1)
        return values.reshape(values.shape[0], -1)

    _rewrite(draw, request, arrays, signature, change, units_missing_or_too_many)


def join_two_dimensions(draw, request, arrays, signature):
    def change(values):
        assume(values.ndim > 1)
        at = draw(st.integers(0, values.ndim - 2))
        dims = values.shape
        return values.reshape((*dims[:at], dims[at] * dims[at + 1], *dims[at + 2 :]))

    _rewrite(draw, request, arrays, signature, change, units_missing_or_too_many)


def split_a_dimension(draw, request, arrays, signature):
    def change(values):
        ways = [
            (*values.shape[:at], part, size // part, *values.shape[at + 1 :])
            for at, size in enumerate(values.shape)
            for part in range(1, size + 1)
            if size % part == 0
        ]
        assume(ways)
        return values.reshape(draw(st.sampled_from(ways)))

    _rewrite(draw, request, arrays, signature, change, units_missing_or_too_many)


def cut_a_dimension(draw, request, arrays, signature):
    def change(values):
        long = [axis for axis, size in enumerate(values.shape) if size > 1]
        assume(long)
        axis = draw(st.sampled_from(long))
        return np.take(values, range(values.shape[axis] - 1), axis)

    _rewrite(draw, request, arrays, signature, change, axes_in_another_order)


def swap_inputs(draw, request, arrays, signature):
    names = sorted(arrays)
    assume(len(names) > 1)
    _move(request, dict(zip(names, draw(st.permutations(names)), strict=True)))


def _move(request: Request, names: dict[str, str]) -> None:
    moved = {to: request.inputs[alias].SerializeToString() for alias, to in names.items()}
    for alias in names:
        del request.inputs[alias]
    for to, tensor in moved.items():
        request.inputs[to].MergeFromString(tensor)


def rename(draw, request, arrays, signature):
    alias = draw(st.sampled_from(sorted(arrays)))
    writings = (
        *(alias.upper(), alias.title(), alias.swapcase(), alias.replace("_", "-"), alias.replace("_", "")),
        *(f"{alias}:0", f"{signature.name}_{alias}:0", f"{signature.name}_{alias}", f"{alias}s", alias[:-1]),
        *(f"{alias}_1", f"serving_{alias}", alias.replace("-", "_"), "features", "input", f" {alias}"),
    )
    to = draw(st.sampled_from(writings))
    assume(to not in request.inputs and not _sibling(alias, to))
    _move(request, {alias: to})


def _sibling(alias: str, other: str) -> bool:
    """Whether both are of one numbered series: which of its members one more stands for, nothing tells."""
    bare = [each.rstrip("0123456789").rstrip("_") for each in (alias, other)]
    return bare[0] == bare[1]


def rename_all(draw, request, arrays, signature):
    others = draw(st.lists(st.sampled_from(NAMES), min_size=len(arrays), max_size=len(arrays), unique=True))
    # Nobody calls one input by the name of another.
    assume(not {each.casefold() for each in others} & {each.casefold() for each in signature.inputs})
    _move(request, dict(zip(sorted(arrays), others, strict=True)))


def write_all_otherwise(draw, request, arrays, signature):
    how = draw(
        st.sampled_from(
            (
                str.upper,
                str.title,
                lambda name: f"{name}:0",
                lambda name: name.replace("_", "."),
                str.casefold,
            )
        )
    )
    names = {alias: how(alias) for alias in arrays}
    assume(len(set(names.values())) == len(names))
    _move(request, names)


def renumber(draw, request, arrays, signature):
    by = draw(st.integers(-3, 3))
    names = {}
    for alias in sorted(arrays):
        stem, _, number = alias.rpartition("_")
        stem, number = (stem, number) if stem and number.isdigit() else (alias, "0")
        assume(int(number) + by >= 0)
        moved = f"{int(number) + by:0{len(number)}}"
        names[alias] = f"{stem}_{moved}" if int(moved) or len(number) > 1 else stem
    assume(len(set(names.values())) == len(names))
    _move(request, names)


def cast(draw, request, arrays, signature):
    def change(values):
        to = draw(st.sampled_from((*NUMERIC, "complex64")))
        assume(values.dtype != object and not (values.dtype.kind == "c" and to != "complex64"))
        return values.astype(to)

    _rewrite(draw, request, arrays, signature, change)


def label_wrongly(draw, request, arrays, signature):
    tensor = request.inputs[draw(st.sampled_from(sorted(arrays)))]
    tensor.dtype = draw(st.sampled_from((0, *(NUMBERS[name] for name in DTYPE_NAMES))))


def write_into_another_field(draw, request, arrays, signature):
    alias = draw(st.sampled_from(sorted(arrays)))
    values, tensor = arrays[alias], request.inputs[alias]
    assume(values.dtype.kind in "fiub")
    target = draw(st.sampled_from(("float_val", "double_val", "int_val", "int64_val", "uint32_val")))
    write(tensor, values, in_field=True)
    kind = DTYPES[tensor.dtype]
    assume(kind.field != target)
    tensor.ClearField(kind.field)
    getattr(tensor, target).extend(
        values.ravel().astype(float if target in {"float_val", "double_val"} else int).tolist()
    )


def leave_out_the_shape(draw, request, arrays, signature):
    request.inputs[draw(st.sampled_from(sorted(arrays)))].ClearField("tensor_shape")


def write_an_unknown_size(draw, request, arrays, signature):
    dims = request.inputs[draw(st.sampled_from(sorted(arrays)))].tensor_shape.dim
    assume(len(dims))
    draw(st.sampled_from(list(dims))).size = -1


def send_one_more(draw, request, arrays, signature):
    alias = draw(st.sampled_from(("phase_train", "training", "x", "X", "input_1", "keras_tensor_9")))
    assume(alias not in signature.inputs)
    request.inputs[alias].CopyFrom(request.inputs[draw(st.sampled_from(sorted(arrays)))])


def leave_one_out(draw, request, arrays, signature):
    del request.inputs[draw(st.sampled_from(sorted(arrays)))]


def name_another_signature(draw, request, arrays, signature):
    name = signature.name
    request.model_spec.signature_name = draw(
        st.sampled_from((name.upper(), name.title(), f"{name}s", name[:-1], "", "other", "x", f"{name}:0"))
    )


def name_another_output(draw, request, arrays, signature):
    assume(len(request.output_filter))
    at = draw(st.integers(0, len(request.output_filter) - 1))
    name = request.output_filter[at]
    request.output_filter[at] = draw(
        st.sampled_from((name.upper(), f"{name}:0", f"{name}s", name[1:], "zzz"))
    )


def repeat_an_output(draw, request, arrays, signature):
    assume(len(request.output_filter))
    request.output_filter.append(draw(st.sampled_from(list(request.output_filter))))


MISTAKES = (
    *(drop_a_dimension, add_a_dimension, squeeze_all, transpose, transpose_and_drop_the_batch, flatten),
    *(flatten_each_example, join_two_dimensions, split_a_dimension, cut_a_dimension, swap_inputs, rename),
    *(rename_all, write_all_otherwise, renumber, cast, label_wrongly, write_into_another_field),
    *(leave_out_the_shape, write_an_unknown_size, send_one_more, leave_one_out, name_another_signature),
    *(name_another_output, repeat_an_output),
)

UNMENDABLE = (cut_a_dimension, leave_one_out)
"""What was left out is nowhere in the request."""
