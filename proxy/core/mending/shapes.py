"""Which arrays of a signature's shape a tensor of other dimensions was meant to be.

Law: equal numbers of elements prove nothing. A shape is proposed where it comes of adding or dropping dimensions of
1, of splitting or joining neighbours into sizes that the signature fixes, or of moving axes. Joining or splitting
what may be the examples of a batch, resizing, padding and the like are left to the client to decide.
"""

from collections.abc import Iterator
from math import prod
from typing import Final, Literal

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
    Transpose,
)
from proxy.core.types import DT_STRING, UNKNOWN_DIM, Shape, fits, shape_text

_MAX_RANK: Final = 8
_MOST_NAMED: Final = 3
"""More ways than these are no help: then nothing is said."""
_MOST_LOOKED_AT: Final = 64
_MOST_STEPS: Final = 2000
"""Of a search; what has more possibilities than that is as good as lost."""

_IDS: Final = frozenset({3, 9, DT_STRING})
"""int32, int64 and string: what tokens come as."""


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
    if not found and len(shape) == 2 and dtype in _IDS:
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
    moved = list(_placements(dims, shape))
    if picture_of(shape) and len(dims) == len(shape):
        # Nobody takes the batch of pictures for one of their axes.
        kept = {wanted: exact for wanted, exact in kept.items() if wanted[0] == dims[0]}
        moved = [placed for placed in moved if _sizes(dims, placed)[0] == dims[0]]
    certain = len(moved) + len(kept) <= _MOST_NAMED
    if not certain:
        moved = [each for each in moved if each[:1] == (0,)]
    found = [_reshaped(alias, dims, wanted, exact and certain) for wanted, exact in kept.items()]
    for placed in moved:
        # Another leading axis may be a batch of its own, whose examples are wrong otherwise.
        same_batch = shape[0] != UNKNOWN_DIM or placed[0] in {0, None}
        one_mistake = same_batch and abs(len(dims) - len(shape)) < 2 and not _turned(shape, placed)
        found.append(_transposed(alias, dims, shape, placed, certain and one_mistake))
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
    is joined with others or split.
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
        if len(found) == _MOST_LOOKED_AT or steps > _MOST_STEPS:
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
    return found


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
        how = f"send {said} (np.reshape(x, {_tuple(wanted)}))"
        return Remedy(how, (Reshape(alias, wanted),), cause="if this is one example")
    step: Step = Reshape(alias, wanted)
    call, cause = f"np.reshape(x, {_tuple(wanted)})", ""
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


# === axes in another order ===


_Placement = tuple[int | None, ...]
"""For each dimension of the signature the axis that was sent for it; None: a new dimension of 1."""


def _placements(dims: Shape, shape: Shape) -> Iterator[_Placement]:
    """Every way to send the axes longer than 1 in another order; bounded."""
    axes = [axis for axis, size in enumerate(dims) if size != 1]
    picture = picture_of(shape)
    if len(axes) > len(shape):
        return
    found = steps = 0

    def place(j: int, left: tuple[int, ...], placed: _Placement) -> Iterator[_Placement]:
        nonlocal steps
        steps += 1
        if len(left) > len(shape) - j or steps > _MOST_STEPS:
            return
        if j == len(shape):
            yield placed
            return
        for axis in left:
            if shape[j] in {dims[axis], UNKNOWN_DIM}:
                yield from place(j + 1, tuple(each for each in left if each != axis), (*placed, axis))
        if shape[j] in {1, UNKNOWN_DIM}:
            yield from place(j + 1, left, (*placed, None))

    for placed in place(0, tuple(axes), ()):
        order = [axis for axis in placed if axis is not None]
        if order == axes or (picture and not are_pictures(_sizes(dims, placed), shape, picture)):
            continue
        yield placed
        found += 1
        if found == _MOST_LOOKED_AT:
            return


def _sizes(dims: Shape, placed: _Placement) -> Shape:
    return tuple(1 if axis is None else dims[axis] for axis in placed)


def _transposed(alias: str, dims: Shape, shape: Shape, placed: _Placement, exact: bool) -> Remedy:
    units = [axis for axis, size in enumerate(dims) if size == 1]
    wanted = _sizes(dims, placed)
    if len(dims) == len(shape):
        axes = tuple(units.pop(0) if axis is None else axis for axis in placed)
    else:
        axes = (*(axis for axis in placed if axis is not None), *units)
    between = tuple(dims[axis] for axis in axes)
    steps: tuple[Step, ...] = (Transpose(alias, axes),)
    call = f"np.transpose(x, {_tuple(axes)})"
    if wanted == (1, *between):
        steps, call = (*steps, ExpandDims(alias, 0)), f"{call}[None]"
    elif wanted != between:
        steps, call = (*steps, Reshape(alias, wanted)), f"{call}.reshape({_tuple(wanted)})"
    why = _why_transposed(dims, shape, placed)
    return Remedy(f"send {shape_text(wanted)} ({call})", steps, exact, why if exact else f"if {why}")


def _turned(shape: Shape, placed: _Placement) -> bool:
    """Whether pictures are turned on their side: they may as well be of another format, to be resized."""
    picture = picture_of(shape)
    if picture is None:
        return False
    height, width = placed[picture.height], placed[picture.width]
    return height is not None and width is not None and height > width


def _why_transposed(dims: Shape, shape: Shape, placed: _Placement) -> str:
    picture = picture_of(shape)
    if picture is None:
        return "the axes are in another order"
    channel = placed[picture.channels]
    rank = len(dims)
    why = ""
    if channel is not None and channel == rank - 3 and picture.channels == 3:
        why = "channels come first"
    if channel is not None and channel == rank - 1 and picture.channels == 1:
        why = "channels come last"
    if why and _turned(shape, placed):
        return f"{why} and height and width are swapped"
    return why or "height and width are swapped"


def _tuple(sizes: tuple[int, ...]) -> str:
    """`(1,28)`, as it stands in Python."""
    return f"({','.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


# === what the client has to decide ===


def _in_question(alias: str, dims: Shape, shape: Shape) -> list[Remedy]:
    return [
        Remedy(
            f"send {shape_text(wanted)} (np.reshape(x, {_tuple(wanted)}))",
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


def _of_sequences(alias: str, dims: Shape, shape: Shape) -> list[Remedy]:
    """Sequences of ids or strings of another length than the signature's."""
    length = shape[1]
    if length < 1 or not dims or len(dims) > 2 or dims[-1] in {0, length}:
        return []
    if len(dims) == 2 and shape[0] not in {dims[0], UNKNOWN_DIM}:
        return []
    batch = "" if len(dims) == 2 else f" and send {shape_text((1, length))}"
    return [Remedy(f"pad or cut each example to {length}{batch}", (PadOrCut(alias, length),))]
