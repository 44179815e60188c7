"""Recognising a request that differs from an earlier one in payload bytes only: then it has the same view.

Law: what `parse_predict` can see lies outside the opaque payloads and is compared byte for byte; what lies
inside them it never looks at. Whenever in doubt there is no skeleton, and the request is read as any other.
"""

from typing import Final

from proxy.core.types import DT_STRING, DTYPES
from proxy.wire.fields import UnusualError, varint
from proxy.wire.pieces import Pieces

_MODEL_SPEC: Final = 0x0A
_INPUT: Final = 0x12
_OUTPUT: Final = 0x1A
_DTYPE: Final = 0x08
_SHAPE: Final = 0x12
_CONTENT: Final = 0x22
_OPAQUE_VALUES: Final = frozenset({0x2A, 0x32})
"""Packed float_val and double_val: fixed width, and no dtype narrower than the field reads them."""

_DT_BOOL: Final = 10
_INSPECTED: Final = frozenset({_DT_BOOL, DT_STRING})
"""Dtypes whose content the parser looks into."""

_MAX_SPEC: Final = 127
_MAX_BONES: Final = 8192
"""Bytes outside the payloads that are remembered at most: some 200 tensors."""

Key = tuple[bytes, int]
"""Serialised model_spec and total length: what requests with the same skeleton have in common."""


def key_of(data: bytes | Pieces) -> Key | None:
    """The key of a message that begins with a short model_spec, as serialisers write it."""
    size = len(data)
    if not isinstance(data, bytes):
        data = data.between(0, 2 + _MAX_SPEC)
    if size < 2 or data[0] != _MODEL_SPEC or data[1] > _MAX_SPEC:
        return None
    return data[2 : 2 + data[1]], size


class Skeleton:
    """The bytes of one message outside its opaque payloads, and where they stand."""

    __slots__ = ("_bones", "_head", "_size")

    def __init__(self, data: bytes, payloads: list[tuple[int, int]]) -> None:
        starts = [0, *(stop for _, stop in payloads)]
        stops = [*(start for start, _ in payloads), len(data)]
        bones = [(start, data[start:stop]) for start, stop in zip(starts, stops, strict=True) if start < stop]
        self._size = len(data)
        self._head = bones[0][1]
        self._bones = tuple(bones[1:])

    def fits(self, data: bytes | Pieces) -> bool:
        """Whether `data` is the same message but for payload bytes."""
        if len(data) != self._size or not data.startswith(self._head):
            return False
        for start, bone in self._bones:  # noqa: SIM110  a generator costs more than all comparisons
            if not data.startswith(bone, start):
                return False
        return True


def skeleton_of(data: bytes) -> Skeleton | None:
    """The skeleton of a serialised PredictRequest that `parse_predict` has read; None: it has none."""
    payloads: list[tuple[int, int]] = []
    try:
        for tag, start, stop in _fields(data, 0, len(data)):
            if tag == _INPUT:
                payloads += _payloads_of_entry(data, start, stop)
            elif tag not in {_MODEL_SPEC, _OUTPUT}:
                return None
    except (_NoSkeletonError, UnusualError, IndexError):
        return None
    if not data or len(data) - sum(stop - start for start, stop in payloads) > _MAX_BONES:
        return None
    return Skeleton(data, payloads)


class _NoSkeletonError(Exception):
    """An encoding, or a payload, of which the parser may see more than its length."""


def _fields(data: bytes, pos: int, end: int) -> list[tuple[int, int, int]]:
    """(tag, start, stop) of each field: of its value for a varint, of its content otherwise."""
    found = []
    while pos < end:
        tag = data[pos]
        value, start = varint(data, pos + 1)
        if tag > 0x7F:
            raise _NoSkeletonError
        if tag & 7 == 0:
            found.append((tag, pos + 1, start))
            pos = start
        elif tag & 7 == 2:
            pos = start + value
            found.append((tag, start, pos))
        else:
            raise _NoSkeletonError
        if len(found) > _MAX_BONES:
            raise _NoSkeletonError
    if pos != end:
        raise _NoSkeletonError
    return found


def _payloads_of_entry(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    entry = _fields(data, start, stop)
    if [tag for tag, _, _ in entry] != [0x0A, 0x12]:
        raise _NoSkeletonError
    tensor = _fields(data, *entry[1][1:])
    tags = [tag for tag, _, _ in tensor]
    if len(set(tags)) != len(tags) or not set(tags) <= {_DTYPE, _SHAPE, _CONTENT, *_OPAQUE_VALUES}:
        raise _NoSkeletonError
    dtype = next((varint(data, begin)[0] for tag, begin, _ in tensor if tag == _DTYPE), 0)
    kind = DTYPES.get(dtype)
    if kind is None or not kind.size or dtype in _INSPECTED:
        raise _NoSkeletonError
    return [(begin, end) for tag, begin, end in tensor if tag == _CONTENT or tag in _OPAQUE_VALUES]
