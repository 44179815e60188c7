"""Pictures: where a signature's shape has their height, width and channels, and what only their owner can convert.

Law: pictures have rank 4 and 1, 3 or 4 channels, first or last. Resizing, colours and decoding are named, never claimed
to be the mending: how it is done changes what the model sees.
"""

import re
from typing import Final, NamedTuple

from proxy.core.mending.remedies import ConvertChannels, Decode, Remedy, Resize
from proxy.core.types import UNKNOWN_DIM, Shape, fits

_COLOURS: Final = {1: "grayscale", 3: "RGB", 4: "RGBA (it has an alpha channel)"}

_RGB: Final = 3
_CALLED_SO: Final = re.compile(r"ima?ge?|pixel|photo|picture|frame", re.IGNORECASE)
"""Other data has rank 4 and one channel too."""


class Picture(NamedTuple):
    """Where a shape of pictures has its height, width and channels."""

    height: int
    width: int
    channels: int


def picture_of(shape: Shape) -> Picture | None:
    """Where pictures of `shape` have what; None: they are none."""
    if len(shape) != 4:
        return None
    if shape[3] in _COLOURS:
        return Picture(1, 2, 3)
    return Picture(2, 3, 1) if shape[1] in _COLOURS else None


def are_pictures(dims: Shape, shape: Shape, at: Picture) -> bool:
    """Whether these can be pictures: none is one pixel high or wide but where the signature says so."""
    return all(dims[axis] != 1 or shape[axis] == 1 for axis in (at.height, at.width))


def picture_remedies(alias: str, dims: Shape, shape: Shape, at: Picture, found: list[Remedy]) -> list[Remedy]:
    """Conversions that only whoever has the picture can do."""
    height, width, channels = (shape[axis] for axis in at)
    resized = f"resize the image to {height}x{width} (height x width)"
    fixed = min(height, width) > 0
    if len(dims) == 4:
        same = dims[at.channels] == channels
        same_batch = shape[0] in {dims[0], UNKNOWN_DIM}
        if fixed and same and same_batch and (dims[at.height], dims[at.width]) != (height, width):
            certainly = channels == _RGB or _CALLED_SO.search(alias)
            cause = "" if certainly else "if these are images"
            return [Remedy(resized, (Resize(alias, height, width),), cause=cause)]
        if not found and same_batch and dims[at.channels] in _COLOURS and not same:
            cause = f"the image is {_COLOURS[dims[at.channels]]}"
            how = f"convert it to {_COLOURS[channels].partition(' ')[0]}"
            return [Remedy(how, (ConvertChannels(alias, channels),), cause=cause)]
    if found:
        return []
    if channels > 1 and len(dims) in {2, 3} and fits(dims[-2:], (height, width)) and min(dims[-2:]) > 1:
        how = f"convert it to {_COLOURS[channels].partition(' ')[0]}"
        return [Remedy(how, (ConvertChannels(alias, channels),), cause="if this is a grayscale image")]
    if sum(size != 1 for size in dims) == 1:
        return [
            Remedy(
                "decode them and send the pixels",
                (Decode(alias),),
                cause="if these are the bytes of an encoded image",
            )
        ]
    return []
