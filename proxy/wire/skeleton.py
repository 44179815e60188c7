"""Recognising a request that differs from an earlier one in payload bytes, and in the order of its inputs, only.

Law: what `parse_predict` can see lies outside the opaque payloads and is compared byte for byte; what lies
inside them it never looks at. Inputs may come in any order, as serialisers of maps write them, each once. Whenever in
doubt there is no skeleton, and the request is read as any other.
"""

from typing import Final, final

from proxy.core.types import DTYPES
from proxy.wire.pieces import Pieces
from proxy.wire.wire_format import (
    ALIAS_TAG,
    CONTENT_TAG,
    CONTINUED,
    DTYPE_TAG,
    INPUTS_TAG,
    LENGTH,
    LONGEST_LENGTH,
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


@final
class _Entry:
    """One input: the octets around its payloads."""

    __slots__ = ("bones", "head", "round", "size")

    def __init__(self, entry: bytes, payloads: list[tuple[int, int]]) -> None:
        starts = [0, *(stop for _, stop in payloads)]
        stops = [*(start for start, _ in payloads), len(entry)]
        self.size = len(entry)
        self.head = entry[: stops[0]]
        # What follows the first payload: mostly nothing.
        self.bones = [
            (start, entry[start:stop])
            for start, stop in zip(starts[1:], stops[1:], strict=True)
            if start < stop
        ]
        # In which look it was last found.
        self.round = 0

    @property
    def octets(self) -> int:
        return len(self.head) + sum(len(bone) for _, bone in self.bones)


@final
class Skeleton:
    """The bytes of one message outside its opaque payloads: before its inputs, of each input, and behind them."""

    __slots__ = ("_entries", "_head", "_longest", "_round", "_size", "_tail", "fields", "octets")

    def __init__(self, head: bytes, entries: dict[bytes, _Entry], tail: bytes, fields: int) -> None:
        self._head = head
        self._entries = entries
        self._tail = tail
        self._size = len(head) + sum(entry.size for entry in entries.values()) + len(tail)
        self._longest = max((len(entry.head) for entry in entries.values()), default=0)
        self._round = 0
        self.octets = len(head) + sum(entry.octets for entry in entries.values()) + len(tail)
        """How many of them it holds."""
        self.fields = fields
        """Inputs and outputs that are named in it: each is an object here, and another where it was read."""

    def fits(self, data: bytes | Pieces) -> bool:
        """Whether `data` is the same message but for payload bytes and the order of its inputs."""
        if len(data) != self._size or not data.startswith(self._head):
            return False
        self._round = now = self._round + 1
        pos = len(self._head)
        for _ in range(len(self._entries)):
            if isinstance(data, bytes):
                entry = self._entry_at(data, pos)
            else:
                entry = self._entry_at(data.between(pos, pos + self._longest), 0)
            if entry is None or entry.round == now:
                return False
            entry.round = now
            for start, bone in entry.bones:
                if not data.startswith(bone, pos + start):
                    return False
            pos += entry.size
        return not self._tail or data.startswith(self._tail, pos)

    def _entry_at(self, data: bytes, pos: int) -> _Entry | None:
        """The input whose octets up to its payload stand here."""
        try:
            at = pos + 1
            while data[at] >= CONTINUED:
                at += 1
                if at > pos + LONGEST_LENGTH:
                    return None
            # Behind the entry's length come the tag of the alias and its length, if these are what the entry has.
            at += 3
            entry = self._entries.get(data[at : at + data[at - 1]])
        except IndexError:
            return None
        if entry is None:
            return None
        head = entry.head
        return entry if data[pos : pos + len(head)] == head else None


def skeleton_of(data: bytes) -> Skeleton | None:
    """The skeleton of a serialised PredictRequest that `parse_predict` has read; None: it has none."""
    try:
        fields = _fields(data, 0, len(data))
        if not fields or [tag for tag, _, _ in fields] != sorted(tag for tag, _, _ in fields):
            return None
        entries: dict[bytes, _Entry] = {}
        first = last = None
        begin = 0
        for tag, start, stop in fields:
            if tag == INPUTS_TAG:
                alias, payloads = _input(data, start, stop)
                if alias in entries:
                    return None
                entries[alias] = _Entry(data[begin:stop], [(a - begin, b - begin) for a, b in payloads])
                first, last = begin if first is None else first, stop
            elif tag not in {MODEL_SPEC_TAG, OUTPUT_FILTER_TAG}:
                return None
            begin = stop
    except (_NoSkeletonError, UnusualError, IndexError):
        return None
    skeleton = Skeleton(data[:first], entries, b"" if last is None else data[last:], len(fields))
    return skeleton if skeleton.octets <= _MAX_BONES else None


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


def _input(data: bytes, start: int, stop: int) -> tuple[bytes, list[tuple[int, int]]]:
    """The alias of an entry, and where the payloads of its tensor stand."""
    entry = _fields(data, start, stop)
    if [tag for tag, _, _ in entry] != [ALIAS_TAG, TENSOR_TAG]:
        raise _NoSkeletonError
    (_, alias, alias_end), (_, tensor_start, tensor_end) = entry
    if alias != start + 2 or alias_end - alias >= CONTINUED:
        # Its length has more than one octet: it would not be found again.
        raise _NoSkeletonError
    tensor = _fields(data, tensor_start, tensor_end)
    tags = [tag for tag, _, _ in tensor]
    if len(set(tags)) != len(tags) or not set(tags) <= _TENSOR_TAGS:
        raise _NoSkeletonError
    dtype = next((read_varint(data, begin)[0] for tag, begin, _ in tensor if tag == DTYPE_TAG), 0)
    kind = DTYPES.get(dtype)
    if kind is None or not kind.size or dtype in LOOKED_INTO:
        raise _NoSkeletonError
    payloads = [(begin, end) for tag, begin, end in tensor if tag == CONTENT_TAG or tag in OPAQUE_TAGS]
    return data[alias:alias_end], payloads
