"""From field to field of a message, whatever their numbers, and through no more of them than may be.

Law: knows how protobuf delimits fields and groups, and nothing of what a field means. Every step in Python is counted
against `core.bounds`; what may come in any number (single values of a tensor) is hopped over in C.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from proxy.core import bounds
from proxy.wire.preemption import let_others_run
from proxy.wire.wire_format import (
    CONTINUED,
    FIXED32,
    FIXED64,
    GROUP,
    GROUP_END,
    LENGTH,
    STRING_VAL_TAG,
    TYPE_BITS,
    TYPE_MASK,
    VARINT,
    Octets,
    UnusualError,
    behind_contents,
    behind_varint,
    read_tag,
    read_varint,
)

RUN: Final = 8
"""Not of the wire: several fields of one number with a value each, tags and all."""

DEPTH: Final = 100
"""How deep groups and messages may lie in one another, the message itself not counted, for protobuf."""

ANY: Final = 2**61
"""Octets that a reader may look at which can take its time. Compiled code counts so far without big integers."""

_STRING_COSTS: Final = 64
_STEP: Final = 4096
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

    def take_field(self) -> None:
        self.fields += 1
        if self.fields > bounds.MAX_FIELDS:
            raise TooComplexError("fields", bounds.MAX_FIELDS)
        if self.fields % _STEP == 0:
            let_others_run()

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


def fields(
    data: bytes, pos: int, end: int, parts: Parts, depth: int, runs: Mapping[int, re.Pattern[bytes]] = {}
) -> Iterator[Field]:
    """
    Go from field to field of a message that lies `depth` deep in others.

    `runs` are for first octets of a tag: what matches there is told as one RUN, of 256 KiB at most. Raises
    MalformedRequestError where protobuf cannot read on, UnusualError where a varint is longer than it reads,
    TooComplexError, and IndexError where `data` ends early.
    """
    while pos < end:
        parts.take_field()
        tag = data[pos]
        if tag in runs:
            run = runs[tag].match(data, pos, min(end, pos + _HOP))
            if run is not None:
                yield tag >> TYPE_BITS, RUN, pos, run.end()
                pos = run.end()
                continue
        pos += 1
        if tag >= CONTINUED:
            tag, pos = read_tag(data, pos - 1)
        number, kind = tag >> TYPE_BITS, tag & TYPE_MASK
        start = pos
        if number == 0:
            raise MalformedRequestError
        if kind == LENGTH:
            length, start = read_varint(data, pos)
            pos = start + length
        elif kind == VARINT:
            pos = behind_varint(data, pos)
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


def _behind_group(data: bytes, pos: int, end: int, number: int, parts: Parts, depth: int) -> int:
    """Where the group ends that has just begun; nobody looks at what is in it."""
    opened = [number]
    while opened:
        if depth + len(opened) - 1 > DEPTH:
            raise MalformedRequestError
        parts.take_field()
        if pos >= end:
            raise MalformedRequestError
        tag, pos = read_tag(data, pos)
        number, kind = tag >> TYPE_BITS, tag & TYPE_MASK
        if number == 0:
            raise MalformedRequestError
        if kind == LENGTH:
            length, pos = read_varint(data, pos)
            pos += length
        elif kind == VARINT:
            pos = behind_varint(data, pos)
        elif kind == FIXED32:
            pos += 4
        elif kind == FIXED64:
            pos += 8
        elif kind == GROUP:
            opened.append(number)
        elif kind != GROUP_END or opened.pop() != number:
            raise MalformedRequestError
    return pos


def hop_strings(data: Octets, pos: int, end: int, parts: Parts) -> tuple[int, int]:
    """
    Step over one string of a tensor after another, as long as nothing else comes between.

    Returns where the last one ended and how many there were. Raises TooComplexError, and UnusualError for a length
    of more than five octets, an end beyond `end` or when there is no time for so many.
    """
    room = min(bounds.MAX_STRINGS - parts.strings, parts.room // _STRING_COSTS)
    count = 0
    while True:
        step = min(room - count, _STEP)
        pos, hopped = behind_contents(data, pos, end, STRING_VAL_TAG, step)
        count += hopped
        if hopped < step or count == room:
            break
        let_others_run()
    if pos > end:
        raise UnusualError
    if count == room and pos < end and data[pos] == STRING_VAL_TAG:
        parts.look_at((count + 1) * _STRING_COSTS)
        raise TooComplexError("strings", bounds.MAX_STRINGS)
    parts.look_at(count * _STRING_COSTS)
    parts.strings += count
    return pos, count
