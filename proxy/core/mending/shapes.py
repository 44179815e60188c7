"""Which arrays of a signature's shape a tensor of other dimensions was meant to be.

Law: equal numbers of elements prove nothing. A shape is proposed where it comes of adding or dropping dimensions of
1, of splitting or joining neighbours into sizes that the signature fixes, or of moving axes. Joining or splitting
what may be the examples of a batch, resizing, padding and the like are left to the client to decide.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import Final, Literal

from proxy.core.mending.axes import (
    MOST_STEPS,
    in_python,
    placements,
    sizes_of,
    transposed,
    turned,
)
from proxy.core.mending.pictures import are_pictures, picture_of, picture_remedies
from proxy.core.mending.remedies import (
    ExpandDims,
    PadOrCut,
    Remedy,
    Reshape,
    SetShape,
    SplitBatch,
    Squeeze,
    Step,
)
from proxy.core.types import DT_STRING, UNKNOWN_DIM, Shape, fits, shape_text

_MAX_RANK: Final = 8
_MOST_NAMED: Final = 3
"""More ways than these are no help: then nothing is said."""

_INTEGERS: Final = frozenset({3, 9})
"""int32 and int64: what ids come as, and columns of a table."""
_LONG: Final = 32
_TOKENS: Final = re.compile(r"ids?(?![a-z])|tok|mask|seg|word|posit|sequence", re.IGNORECASE)


def shape_remedies(alias: str, dims: Shape, shape: Shape, dtype: int) -> list[Remedy]:
    """Ways to make of a tensor of `dims` one that `shape` allows; `dtype` is the signature's.

    Empty for ranks beyond 8 and for impossible dimensions.
    """
    if max(len(dims), len(shape)) > _MAX_RANK or min(dims, default=0) < 0:
        return []
    found = [*_rearranged(alias, dims, shape), *_in_question(alias, dims, shape)]
    picture = picture_of(shape)
    if picture is not None:
        found += picture_remedies(alias, dims, shape, picture, found)
    if not found and len(shape) == 2 and _are_tokens(alias, dtype, shape[1]):
        found += _of_sequences(alias, dims, shape)
    if found:
        return found
    if shape and len(dims) == len(shape) and fits(dims[1:], shape[1:]):
        size = shape[0]
        how = "send examples one by one" if size == 1 else f"send {size} at a time"
        cause = f"the model was exported with a fixed batch of {size}"
        return [Remedy(f"{how}, or export it with a free batch dimension", (SplitBatch(size),), cause=cause)]
    return []


def unset_shape_remedies(alias: str, count: int, shape: Shape | None) -> list[Remedy]:
    """Ways to set the shape of a tensor that has none and holds `count` values."""
    cause = "the shape was not set"
    flat: Shape = (count,)
    if shape is None or fits(flat, shape):
        kept = {flat: shape is not None}
    else:
        kept = _order_keeping(flat, shape)
        kept |= {dims: False for dims, _ in _several_examples(flat, shape)}
    found = [
        Remedy(f"set it to {shape_text(dims)}", (SetShape(alias, dims),), exact, cause)
        for dims, exact in kept.items()
    ]
    return found if 0 < len(found) <= _MOST_NAMED else [Remedy("fill tensor_shape", cause=cause)]


def _rearranged(alias: str, dims: Shape, shape: Shape) -> list[Remedy]:
    """What adding, dropping, joining, splitting and moving dimensions makes of it."""
    kept = _order_keeping(dims, shape)
    by_units = [wanted for wanted in kept if _only_units(dims, wanted) or _only_units(wanted, dims)]
    if by_units and len(dims) != len(shape):
        # A dimension of 1 too many or too few explains it: no second mistake is looked for.
        ways = [_reshaped(alias, dims, wanted, exact=True) for wanted in by_units]
        return ways if len(ways) <= _MOST_NAMED else []
    moved = placements(dims, shape)
    if moved is None:
        return []
    if picture_of(shape) and len(dims) == len(shape):
        # Nobody takes the batch of pictures for one of their axes.
        kept = {wanted: exact for wanted, exact in kept.items() if wanted[0] == dims[0]}
        moved = [placed for placed in moved if sizes_of(dims, placed)[0] == dims[0]]
    certain = len(moved) + len(kept) <= _MOST_NAMED
    if not certain:
        moved = [each for each in moved if each[:1] == (0,)]
    found = [_reshaped(alias, dims, wanted, exact and certain) for wanted, exact in kept.items()]
    for placed in moved:
        # Another leading axis may be a batch of its own, whose examples are wrong otherwise.
        same_batch = shape[0] != UNKNOWN_DIM or placed[0] in {0, None}
        one_mistake = same_batch and abs(len(dims) - len(shape)) < 2 and not turned(shape, placed)
        found.append(transposed(alias, dims, shape, placed, certain and one_mistake))
    return found if len(found) <= _MOST_NAMED else []


def _only_units(fewer: Shape, more: Shape) -> bool:
    """Whether `more` is `fewer` with dimensions of 1 put in."""
    at = 0
    for size in more:
        if at < len(fewer) and fewer[at] == size:
            at += 1
        elif size != 1:
            return False
    return at == len(fewer)


# === dimensions in their order ===


_Change = Literal["joined", "split"] | None


def _order_keeping(dims: Shape, shape: Shape) -> dict[Shape, bool]:
    """Shapes that keep every element in its place in the row → whether examples stay examples.

    A free dimension takes one dimension as it is, or 1. False: the leading dimension, which may be the batch,
    is joined with others or split. Empty where there are too many to look at.
    """
    found: dict[Shape, bool] = {}
    lengthy = sum(size != 1 for size in dims) > 1
    batch = bool(dims) and dims[0] != 1 and shape[:1] == (UNKNOWN_DIM,)
    picture = picture_of(shape)
    steps = 0

    def walk(i: int, j: int, built: Shape, kept: Shape, keeps: bool, change: _Change = None) -> None:
        """`kept` is `built` before anything was joined or split."""
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            return
        if i == len(dims) and j == len(shape):
            if picture is not None and not are_pictures(built, shape, picture):
                return
            if change is None or _only_units(dims, kept) or _only_units(kept, dims):
                found[built] = found.get(built, False) or keeps
            return
        if i < len(dims) and dims[i] == 1:
            walk(i + 1, j, built, kept, keeps, change)
        if j < len(shape) and shape[j] in {1, UNKNOWN_DIM}:
            walk(i, j + 1, (*built, 1), (*kept, 1), keeps, change)
        if i == len(dims) or j == len(shape):
            return
        size, want = dims[i], shape[j]
        if size != 1 and want in {size, UNKNOWN_DIM}:
            walk(i + 1, j + 1, (*built, size), (*kept, size), keeps, change)
        whole = keeps and not (batch and i == 0)
        # Who joins and splits at once made two mistakes, or none of these.
        for end in _run(dims, i, want) if change != "split" else ():
            walk(end, j + 1, (*built, want), kept + dims[i:end], whole, "joined")
        for end in _run(shape, j, size) if change != "joined" else ():
            one_of_many = whole or (keeps and not lengthy)
            walk(i + 1, end, built + shape[j:end], (*kept, size), one_of_many, "split")

    walk(0, 0, (), (), True)
    return {} if steps > MOST_STEPS else found


def _run(sizes: Shape, start: int, product: int) -> Iterator[int]:
    """Where neighbours from `start` on end that multiply to `product`, two or more of them greater than 1."""
    if product < 2:
        return
    got, greater = 1, 0
    for at in range(start, len(sizes)):
        if sizes[at] < 1:
            return
        got *= sizes[at]
        greater += sizes[at] > 1
        if got > product:
            return
        if got == product and greater > 1:
            yield at + 1


def _reshaped(alias: str, dims: Shape, wanted: Shape, exact: bool) -> Remedy:
    said = shape_text(wanted)
    if not exact:
        how = f"send {said} (np.reshape(x, {in_python(wanted)}))"
        return Remedy(how, (Reshape(alias, wanted),), cause="if this is one example")
    step: Step = Reshape(alias, wanted)
    call, cause = f"np.reshape(x, {in_python(wanted)})", ""
    if len(wanted) == len(dims) + 1:
        for axis in range(len(wanted)):
            if (*dims[:axis], 1, *dims[axis:]) == wanted:
                step, call = ExpandDims(alias, axis), f"np.expand_dims(x, {axis})"
                last = axis == len(dims) and axis > 0
                which = "batch" if axis == 0 else "last" if last else ""
                cause = f"the {which} dimension is missing" if which else "a dimension is missing"
                break
    elif len(wanted) == len(dims) - 1:
        for axis in range(len(dims)):
            if dims[axis] == 1 and dims[:axis] + dims[axis + 1 :] == wanted:
                step, call, cause = (
                    Squeeze(alias, axis),
                    f"np.squeeze(x, {axis})",
                    "one dimension too many",
                )
                break
    if not dims:
        return Remedy(f"send {said}", (Reshape(alias, wanted),), True, "one value")
    if not wanted:
        return Remedy("send one value with an empty shape", (step,), True, "the input is a scalar")
    if not cause and sum(size != 1 for size in dims) == 1 < sum(size != 1 for size in wanted):
        cause = "the array was flattened"
    return Remedy(f"send {said} ({call})", (step,), True, cause)


# === what the client has to decide ===


def _in_question(alias: str, dims: Shape, shape: Shape) -> list[Remedy]:
    return [
        Remedy(
            f"send {shape_text(wanted)} (np.reshape(x, {in_python(wanted)}))",
            (Reshape(alias, wanted),),
            cause=f"if these are {number} examples one after the other",
        )
        for wanted, number in _several_examples(dims, shape)
    ]


def _several_examples(dims: Shape, shape: Shape) -> list[tuple[Shape, int]]:
    """A row that holds a whole number of examples, two or more; their number would be a guess in any other shape."""
    each = prod(shape[1:])
    if len(dims) != 1 or len(shape) < 2 or shape[0] != UNKNOWN_DIM or min(shape[1:]) < 1 or each < 2:
        return []
    number, rest = divmod(dims[0], each)
    return [] if rest or number < 2 else [((number, *shape[1:]), number)]


def _are_tokens(alias: str, dtype: int, length: int) -> bool:
    """Whether rows of `length` are sequences, and not the columns of a table, which nobody pads."""
    return dtype == DT_STRING or (dtype in _INTEGERS and (length >= _LONG or bool(_TOKENS.search(alias))))


def _of_sequences(alias: str, dims: Shape, shape: Shape) -> list[Remedy]:
    """Sequences of ids or strings of another length than the signature's."""
    length = shape[1]
    if length < 1 or not dims or len(dims) > 2 or dims[-1] in {0, length}:
        return []
    if len(dims) == 2 and shape[0] not in {dims[0], UNKNOWN_DIM}:
        return []
    batch = "" if len(dims) == 2 else f" and send {shape_text((1, length))}"
    return [Remedy(f"pad or cut each example to {length}{batch}", (PadOrCut(alias, length),))]
