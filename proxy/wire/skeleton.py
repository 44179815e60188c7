"""Recognising a request that differs from an earlier one in payload bytes only: then it has the same view.

Law: what `parse_predict` can see lies outside the opaque payloads and is compared byte for byte; what lies
inside them it never looks at. Whenever in doubt there is no skeleton, and the request is read as any other.
"""

from typing import Final

from proxy.core.types import DTYPES
from proxy.wire.pieces import Pieces
from proxy.wire.wire_format import (
    ALIAS_TAG,
    CONTENT_TAG,
    CONTINUED,
    DTYPE_TAG,
    INPUTS_TAG,
    LENGTH,
    LOOKED_INTO,
    MODEL_SPEC_TAG,
    OPAQUE_TAGS,
    OUTPUT_FILTER_TAG,
    SHAPE_TAG,
    TENSOR_TAG,
    TYPE_MASK,
    VARINT,
    UnusualError,
    read_varint,
)

_TENSOR_TAGS: Final = frozenset({DTYPE_TAG, SHAPE_TAG, CONTENT_TAG}) | OPAQUE_TAGS
_MAX_SPEC: Final = 127
"""Octets whose length is written in one."""
_MAX_BONES: Final = 8192
"""Bytes outside the payloads that are remembered at most: some 200 tensors."""

Key = tuple[bytes, int]
"""Serialised model_spec and total length: what requests with the same skeleton have in common."""


def key_of(data: bytes | Pieces) -> Key | None:
    """The key of a message that begins with a short model_spec, as serialisers write it."""
    size = len(data)
    if not isinstance(data, bytes):
        data = data.between(0, 2 + _MAX_SPEC)
    if size < 2 or data[0] != MODEL_SPEC_TAG or data[1] > _MAX_SPEC:
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
            if tag == INPUTS_TAG:
                payloads += _payloads_of_entry(data, start, stop)
            elif tag not in {MODEL_SPEC_TAG, OUTPUT_FILTER_TAG}:
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
        value, start = read_varint(data, pos + 1)
        if tag >= CONTINUED:
            raise _NoSkeletonError
        if tag & TYPE_MASK == VARINT:
            found.append((tag, pos + 1, start))
            pos = start
        elif tag & TYPE_MASK == LENGTH:
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
    if [tag for tag, _, _ in entry] != [ALIAS_TAG, TENSOR_TAG]:
        raise _NoSkeletonError
    tensor = _fields(data, *entry[1][1:])
    tags = [tag for tag, _, _ in tensor]
    if len(set(tags)) != len(tags) or not set(tags) <= _TENSOR_TAGS:
        raise _NoSkeletonError
    dtype = next((read_varint(data, begin)[0] for tag, begin, _ in tensor if tag == DTYPE_TAG), 0)
    kind = DTYPES.get(dtype)
    if kind is None or not kind.size or dtype in LOOKED_INTO:
        raise _NoSkeletonError
    return [(begin, end) for tag, begin, end in tensor if tag == CONTENT_TAG or tag in OPAQUE_TAGS]
