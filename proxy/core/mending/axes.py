"""Axes that were sent in another order than the signature's.

Law: a placement says for each dimension of the signature which axis was sent for it; those that keep the order are
none. What is certain is decided by shapes.py, which knows the other explanations.
"""

from collections.abc import Iterator
from typing import Final

from proxy.core.mending.pictures import are_pictures, picture_of
from proxy.core.mending.remedies import ExpandDims, Remedy, Reshape, Step, Transpose
from proxy.core.types import UNKNOWN_DIM, Shape, shape_text

MOST_STEPS: Final = 1000
"""Of a search; what has more possibilities than that is as good as lost: of a part nothing could be certain."""


Placement = tuple[int | None, ...]
"""For each dimension of the signature the axis that was sent for it; None: a new dimension of 1."""


def placements(dims: Shape, shape: Shape) -> list[Placement] | None:
    """Every way to send the axes longer than 1 in another order; None where there are too many to look at."""
    axes = [axis for axis, size in enumerate(dims) if size != 1]
    picture = picture_of(shape)
    if len(axes) > len(shape):
        return []
    steps = 0

    def place(j: int, left: tuple[int, ...], placed: Placement) -> Iterator[Placement]:
        nonlocal steps
        steps += 1
        if len(left) > len(shape) - j or steps > MOST_STEPS:
            return
        if j == len(shape):
            yield placed
            return
        for axis in left:
            if shape[j] in {dims[axis], UNKNOWN_DIM}:
                yield from place(j + 1, tuple(each for each in left if each != axis), (*placed, axis))
        if shape[j] in {1, UNKNOWN_DIM}:
            yield from place(j + 1, left, (*placed, None))

    found = []
    for placed in place(0, tuple(axes), ()):
        order = [axis for axis in placed if axis is not None]
        if order != axes and not (picture and not are_pictures(sizes_of(dims, placed), shape, picture)):
            found.append(placed)
    return None if steps > MOST_STEPS else found


def sizes_of(dims: Shape, placed: Placement) -> Shape:
    return tuple(1 if axis is None else dims[axis] for axis in placed)


def transposed(alias: str, dims: Shape, shape: Shape, placed: Placement, exact: bool) -> Remedy:
    units = [axis for axis, size in enumerate(dims) if size == 1]
    wanted = sizes_of(dims, placed)
    if len(dims) == len(shape):
        axes = tuple(units.pop(0) if axis is None else axis for axis in placed)
    else:
        axes = (*(axis for axis in placed if axis is not None), *units)
    between = tuple(dims[axis] for axis in axes)
    steps: tuple[Step, ...] = (Transpose(alias, axes),)
    call = f"np.transpose(x, {in_python(axes)})"
    if wanted == (1, *between):
        steps, call = (*steps, ExpandDims(alias, 0)), f"{call}[None]"
    elif wanted != between:
        steps, call = (*steps, Reshape(alias, wanted)), f"{call}.reshape({in_python(wanted)})"
    why = _why_transposed(dims, shape, placed)
    return Remedy(f"send {shape_text(wanted)} ({call})", steps, exact, why if exact else f"if {why}")


def turned(shape: Shape, placed: Placement) -> bool:
    """Whether pictures are turned on their side: they may as well be of another format, to be resized."""
    picture = picture_of(shape)
    if picture is None:
        return False
    height, width = placed[picture.height], placed[picture.width]
    return height is not None and width is not None and height > width


def _why_transposed(dims: Shape, shape: Shape, placed: Placement) -> str:
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
    if why and turned(shape, placed):
        return f"{why} and height and width are swapped"
    rgb = shape[picture.channels] == 3
    return why or ("height and width are swapped" if rgb else "the axes are in another order")


def in_python(sizes: tuple[int, ...]) -> str:
    """`(1,28)`, as it stands in Python."""
    return f"({','.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"
