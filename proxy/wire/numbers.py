"""Varints that follow each other, and strings behind their lengths, seen as a whole: how many, and do they fit.

Law: no step in Python per value, no copy of a payload: C looks at it, some 64 KiB at a time, and other threads may run
in between.
"""

import re
from functools import lru_cache
from typing import Final

from proxy.core.types import DTYPES, DType, Shape, element_count
from proxy.wire.fields import Parts
from proxy.wire.preemption import let_others_run
from proxy.wire.wire_format import CONTINUED, CONTINUED_OCTET, LAST_OCTET, LONGEST, LONGEST_LENGTH

_CHUNK: Final = 64 << 10
_CONTINUATION: Final = bytes(range(CONTINUED, 0x100))
_CONTINUES: Final = bytes([0] * 128 + [1] * 128)
_MULTI_BYTE: Final = re.compile(CONTINUED_OCTET + b"+" + LAST_OCTET)
_STRING_LENGTH: Final = CONTINUED_OCTET + b"{0,%d}+" % (LONGEST_LENGTH - 1) + LAST_OCTET
_WIDTH: Final = 32


def count_varints(data: bytes, start: int, stop: int) -> int | None:
    """How many varints lie there; None: the last one is cut, or one has more than ten bytes."""
    if data[stop - 1] >= CONTINUED:
        return None
    count = stop - start
    for begin in range(start, stop, _CHUNK):
        let_others_run()
        # What came right before is looked at again: a varint may lie across.
        before = min(begin - start, LONGEST)
        chunk = data[begin - before : min(begin + _CHUNK, stop)]
        if chunk.isascii():
            continue
        # One long integer with a bit for each byte that continues: its operators take 64 bits and more at a time.
        continues = int.from_bytes(chunk.translate(_CONTINUES), "little")
        pairs = continues & continues >> 8
        eights = (fours := pairs & pairs >> 16) & fours >> 32
        if eights & pairs >> 64:
            return None
        count -= (continues >> 8 * before).bit_count()
    return count


def count_ends(data: bytes, start: int, stop: int) -> int:
    """How many bytes there do not continue a varint."""
    count = 0
    for begin in range(start, stop, _CHUNK):
        let_others_run()
        count += len(data[begin : min(begin + _CHUNK, stop)].translate(None, _CONTINUATION))
    return count


def varints_fit(kind: DType, data: bytes, start: int, stop: int) -> bool:
    """Whether packed values of `int_val` or `half_val`, which are whole, are all within `kind`."""
    table, before_last = _bounds(kind)
    for begin in range(start, stop, _CHUNK):
        let_others_run()
        before = min(begin - start, before_last)
        chunk = data[begin - before : min(begin + _CHUNK, stop)]
        marks = int.from_bytes(chunk.translate(table), "little")
        beyond = marks >> 8 * before_last + 1
        for place in range(before_last):
            beyond &= marks >> 8 * place
        if beyond:
            # A negative value, one outside, or an encoding longer than it need be.
            return _matches(_within(kind, b""), data, start, stop)
    return True


def run_fits(kind: DType, tag: bytes, data: bytes, start: int, stop: int) -> bool:
    """The same for single values, each with its tag before it."""
    return _matches(_within(kind, tag), data, start, stop)


def _matches(pattern: re.Pattern[bytes], data: bytes, start: int, stop: int) -> bool:
    """Whether all of it matches a repetition."""
    while start < stop:
        let_others_run()
        match = pattern.match(data, start, min(start + _CHUNK, stop))
        if match is None or match.end() == start:
            return False
        start = match.end()
    return True


@lru_cache(maxsize=len(DTYPES))
def _bounds(kind: DType) -> tuple[bytes, int]:
    """How to see that varints are from 0 to `kind.high` without decoding them.

    A table that marks their bytes, and how many bytes the longest has before its last one. Bit 0 marks a byte
    that continues, bit 1 one that may not come after so many of those: too long, or too high.
    """
    assert kind.high is not None
    before_last = max(kind.high.bit_length() - 1, 0) // 7
    top = kind.high >> 7 * before_last
    return bytes([0] * (top + 1) + [2] * (0x7F - top) + [3 if before_last else 2] * 128), before_last


@lru_cache(maxsize=4 * len(DTYPES))
def _within(kind: DType, tag: bytes) -> re.Pattern[bytes]:
    """Varints of any length whose lower 32 bits, which is what both fields hold, are within `kind`."""
    assert kind.low is not None
    assert kind.high is not None
    ways: dict[tuple[int, int], bytes] = {}
    for length in range(1, LONGEST + 1):
        for sign, limit in ((0, kind.high), (1, ~kind.low)):
            if sign and (kind.low == 0 or 7 * length < _WIDTH):
                continue
            groups = [_allowed(7 * place, limit.bit_length(), sign) for place in range(length)]
            continued = b"".join(_class(each, CONTINUED) for each in groups[:-1])
            ways[length, sign] = continued + _class(groups[-1], 0)
    # Most negative values have ten bytes; and many of a kind follow each other.
    order = sorted(ways, key=lambda way: (way != (1, 0), way != (LONGEST, 1), way[0]))
    each = b"|".join(b"(?:%s%s)++" % (re.escape(tag), ways[way]) for way in order)
    return re.compile(b"(?:%s)*+" % each, re.DOTALL)


def _allowed(lowest: int, free: int, sign: int) -> list[int]:
    """The values of seven bits from bit `lowest` on, where bits from `free` on repeat the sign."""
    fixed = [bit for bit in range(7) if free <= lowest + bit < _WIDTH]
    return [value for value in range(128) if all(value >> bit & 1 == sign for bit in fixed)]


def _class(values: list[int], flag: int) -> bytes:
    return b"[%s]" % b"".join(b"\\x%02x" % (value | flag) for value in values)


def only_bools(data: bytes, start: int, stop: int) -> bool:
    """Whether no byte there is anything but 0 or 1."""
    for begin in range(start, stop, _CHUNK):
        let_others_run()
        if data[begin : min(begin + _CHUNK, stop)].translate(None, b"\x00\x01"):
            return False
    return True


def holds_strings(data: bytes, start: int, stop: int, dims: Shape, parts: Parts) -> bool:
    """Whether that is TensorFlow's own encoding of as many strings as `dims` say.

    That is (`port::DecodeStringList`): the lengths as varints of at most five bytes, then all the bytes. Raises
    TooComplexError when there would be too many.
    """
    count = element_count(dims)
    if not count or count > stop - start:
        return count == 0
    parts.take_strings(count)
    lengths = data[start : start + count]
    if not lengths.isascii():
        match = re.compile(b"(?:%s){%d}+" % (_STRING_LENGTH, count)).match(data, start, stop)
        if match is None:
            return False
        lengths = match.group()
    return start + len(lengths) + _sum(lengths) == stop


def _sum(lengths: bytes) -> int:
    """The sum of varints of 32 bits."""
    total = sum(_MULTI_BYTE.sub(b"", lengths))
    by_length: list[list[bytes]] = [[] for _ in range(LONGEST_LENGTH + 1)]
    for encoded in _MULTI_BYTE.findall(lengths):
        by_length[len(encoded)].append(encoded)
    for size in range(2, LONGEST_LENGTH + 1):
        joined = b"".join(by_length[size])
        for place in range(size):
            column = joined[place::size].translate(_LOW_FOUR if place == LONGEST_LENGTH - 1 else _LOW_SEVEN)
            total += sum(column) << 7 * place
    return total


_LOW_SEVEN: Final = bytes(value & 0x7F for value in range(256))
_LOW_FOUR: Final = bytes(value & 0x0F for value in range(256))
