"""The wire format of protobuf: one field after another, whatever its number, and no more of them than may be.

Law: knows tags, lengths, varints and groups, and nothing of what a field means. Every step in Python is counted
against `core.bounds`; what may come in any number (single values of a tensor) is hopped over in C.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, overload

from proxy.core import bounds

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
GROUP: Final = 3
FIXED32: Final = 5
RUN: Final = 8
"""Not of the wire: several fields of one number with a value each, tags and all."""

DEPTH: Final = 100
"""How deep groups and messages may lie in one another, the message itself not counted, for protobuf."""

ANY: Final = 2**63
"""Octets that a reader may look at which can take its time."""

_STRING_COSTS: Final = 64
_GROUP_END: Final = 4
_HOP: Final = 256 << 10

Field = tuple[int, int, int, int]
"""Number, wire type, and where its value starts and stops."""


class MalformedRequestError(ValueError):
    """The bytes are not a readable request of the expected type."""


class TooComplexError(Exception):
    """A request has more than `limit` of `what`; nobody looks at the rest of it."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"more than {limit} {what}")
        self.what = what
        self.limit = limit


class UnusualError(Exception):
    """An encoding that is left to another reader."""


class Octets(Protocol):
    """A message, or what is left of one without payloads: what lies in a gap raises IndexError."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...


class Parts:
    """What a request was found to have so far, of what `core.bounds` counts over all of it."""

    __slots__ = ("dims", "fields", "names", "room", "specs", "strings")

    def __init__(self, room: int = ANY) -> None:
        self.dims = self.fields = self.names = self.specs = self.strings = 0
        # Octets of values that may still be looked at, for a reader that must not take long.
        self.room = room

    def look_at(self, octets: int) -> None:
        """Take time for so many octets, or leave them to a reader that has it."""
        self.room -= octets
        if self.room < 0:
            raise UnusualError

    def take_dims(self, count: int) -> None:
        self.dims += count
        if self.dims > bounds.MAX_DIMS:
            raise TooComplexError("dimensions", bounds.MAX_DIMS)

    def take_name(self, octets: int) -> None:
        self.names += octets
        if self.names > bounds.MAX_NAMES:
            raise TooComplexError("bytes of names and shapes", bounds.MAX_NAMES)

    def take_spec(self, octets: int) -> None:
        self.specs += octets
        if self.specs > bounds.MAX_SPEC:
            raise TooComplexError("bytes of model_spec", bounds.MAX_SPEC)

    def take_strings(self, count: int) -> None:
        self.strings += count
        if self.strings > bounds.MAX_STRINGS:
            raise TooComplexError("strings", bounds.MAX_STRINGS)


def varint(data: Octets | bytearray, pos: int) -> tuple[int, int]:
    """The value that begins at `pos`, and where it ends; raises UnusualError when it has over five bytes."""
    value = data[pos]
    pos += 1
    if value < 0x80:
        return value, pos
    value &= 0x7F
    # Lengths have at most five bytes; longer ones of other varints are left to the other reader.
    for shift in range(7, 35, 7):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
    raise UnusualError


def long_varint(data: bytes, pos: int) -> int:
    """The 64 bits of the value that begins at `pos`, which must be whole."""
    value = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF
        shift += 7


def fields(
    data: bytes, pos: int, end: int, parts: Parts, depth: int, runs: Mapping[int, re.Pattern[bytes]] = {}
) -> Iterator[Field]:
    """
    Go from field to field of a message that lies `depth` deep in others.

    `runs` are for first octets of a tag: what matches there is told as one RUN, of 256 KiB at most. Raises
    MalformedRequestError where protobuf cannot read on, TooComplexError, and IndexError where `data` ends early.
    """
    while pos < end:
        parts.fields += 1
        if parts.fields > bounds.MAX_FIELDS:
            raise TooComplexError("fields", bounds.MAX_FIELDS)
        tag = data[pos]
        if tag in runs:
            run = runs[tag].match(data, pos, min(end, pos + _HOP))
            if run is not None:
                yield tag >> 3, RUN, pos, run.end()
                pos = run.end()
                continue
        pos += 1
        if tag > 0x7F:
            tag, pos = _tag(data, pos - 1)
        number, kind = tag >> 3, tag & 7
        start = pos
        if number == 0:
            raise MalformedRequestError
        if kind == LENGTH:
            length, start = _length(data, pos)
            pos = start + length
        elif kind == VARINT:
            pos = _behind_varint(data, pos)
        elif kind == FIXED32:
            pos += 4
        elif kind == FIXED64:
            pos += 8
        elif kind == GROUP:
            pos = _behind_group(data, pos, end, number, parts, depth + 1)
        else:
            raise MalformedRequestError
        if pos > end:
            raise MalformedRequestError
        yield number, kind, start, pos


def _tag(data: bytes, pos: int) -> tuple[int, int]:
    """At most five bytes, of which protobuf in C++ keeps 32 bits without a word; others read nothing further."""
    value, pos = _length(data, pos)
    return value & 0xFFFF_FFFF, pos


def _length(data: bytes, pos: int) -> tuple[int, int]:
    """At most five bytes; what is too long for protobuf is too long for any message."""
    value = data[pos]
    if value < 0x80:
        return value, pos + 1
    try:
        return varint(data, pos)
    except UnusualError:
        raise MalformedRequestError from None


def _behind_varint(data: bytes, pos: int) -> int:
    stop = pos + 10
    while data[pos] > 0x7F:
        pos += 1
        if pos == stop:
            raise MalformedRequestError
    return pos + 1


def _behind_group(data: bytes, pos: int, end: int, number: int, parts: Parts, depth: int) -> int:
    """Where the group ends that has just begun; nobody looks at what is in it."""
    opened = [number]
    while opened:
        if depth + len(opened) - 1 > DEPTH:
            raise MalformedRequestError
        parts.fields += 1
        if parts.fields > bounds.MAX_FIELDS:
            raise TooComplexError("fields", bounds.MAX_FIELDS)
        if pos >= end:
            raise MalformedRequestError
        tag, pos = _tag(data, pos)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise MalformedRequestError
        if kind == LENGTH:
            length, pos = _length(data, pos)
            pos += length
        elif kind == VARINT:
            pos = _behind_varint(data, pos)
        elif kind == FIXED32:
            pos += 4
        elif kind == FIXED64:
            pos += 8
        elif kind == GROUP:
            opened.append(number)
        elif kind != _GROUP_END or opened.pop() != number:
            raise MalformedRequestError
    return pos


def hop_strings(data: Octets, pos: int, end: int, tag: int, parts: Parts) -> tuple[int, int]:
    """
    Step over one string after another while they have this one-octet tag.

    Returns where the last one ended and how many there were. Raises TooComplexError, and UnusualError for a length
    of more than five bytes, an end beyond `end` or when there is no time for so many.
    """
    room = min(bounds.MAX_STRINGS - parts.strings, parts.room // _STRING_COSTS)
    count = 0
    while pos < end and data[pos] == tag:
        if count == room:
            parts.look_at((count + 1) * _STRING_COSTS)
            raise TooComplexError("strings", bounds.MAX_STRINGS)
        count += 1
        length = data[pos + 1]
        if length < 0x80:
            pos += 2 + length
        elif data[pos + 2] < 0x80:
            pos += 3 + (length & 0x7F | data[pos + 2] << 7)
        else:
            length, pos = varint(data, pos + 1)
            pos += length
    if pos > end:
        raise UnusualError
    parts.look_at(count * _STRING_COSTS)
    parts.strings += count
    return pos, count
