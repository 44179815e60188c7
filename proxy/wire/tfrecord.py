"""TFRecord framing: length, checksum, payload, checksum (`record_reader.cc`), checksums by masked CRC-32C.

Law: bytes only; what a record holds is not known here. A file is read record by record, never whole,
and written without a copy of what it holds.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import IO, Final

_HEADER: Final = struct.Struct("<QI")
_LENGTH: Final = struct.Struct("<Q")
_CHECKSUM: Final = struct.Struct("<I")
_PIECE: Final = 8 << 10
_POLYNOMIAL: Final = 0x82F63B78
_MASK_DELTA: Final = 0xA282EAD8
LARGEST_RECORD: Final = 2**31 - 1
"""Bytes of the largest record that can hold a protobuf message."""


class CorruptRecordError(ValueError):
    """Record number `index` (from 0), which begins at byte `offset`, is not as TensorFlow wrote it."""

    def __init__(self, problem: str, index: int, offset: int) -> None:
        super().__init__(problem)
        self.index = index
        self.offset = offset


def read_records(file: IO[bytes]) -> Iterator[bytes]:
    """The payloads of a TFRecord file from where it stands. Raises CorruptRecordError."""
    index, offset = 0, 0
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise CorruptRecordError("the file ends within a record's length", index, offset)
        length, checksum = _HEADER.unpack(header)
        if masked_crc32c(header[:8]) != checksum:
            raise CorruptRecordError("the checksum of a record's length is wrong", index, offset)
        if length > LARGEST_RECORD:
            raise CorruptRecordError(f"a record claims {length} bytes", index, offset)
        payload, footer = file.read(length), file.read(_CHECKSUM.size)
        if len(payload) < length or len(footer) < _CHECKSUM.size:
            raise CorruptRecordError(f"the file ends within a record of {length} bytes", index, offset)
        if masked_crc32c(payload) != _CHECKSUM.unpack(footer)[0]:
            raise CorruptRecordError("the checksum of a record's data is wrong", index, offset)
        yield payload
        index, offset = index + 1, offset + _HEADER.size + length + _CHECKSUM.size


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720), rotated and offset as TensorFlow stores it (`crc32c.h`)."""
    return _masked(crc32c(data))


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(parts: Sequence[bytes], pause: Callable[[], None] = lambda: None) -> tuple[bytes, bytes]:
    """What stands before and behind a record that consists of `parts`.

    `pause` is called after every 8 KiB, about half a millisecond of work that no other thread can interrupt.
    """
    length = _LENGTH.pack(sum(map(len, parts)))
    crc = 0
    for part in parts:
        for start in range(0, len(part), _PIECE):
            crc = crc32c(part[start : start + _PIECE], crc)
            pause()
    return length + _CHECKSUM.pack(masked_crc32c(length)), _CHECKSUM.pack(_masked(crc))


def crc32c(data: bytes, crc: int = 0) -> int:
    """CRC-32C of `data`, two bytes a step (measured: 15 MB/s); `crc` is that of what stands before."""
    table = _table()
    crc ^= 0xFFFFFFFF
    even = len(data) & ~1
    pairs = array("H", data[:even])
    if sys.byteorder == "big":
        pairs.byteswap()
    for pair in pairs:
        crc = table[(crc ^ pair) & 0xFFFF] ^ (crc >> 16)
    if even != len(data):
        crc = _shifted((crc ^ data[-1]) & 0xFF, 8) ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _shifted(value: int, bits: int) -> int:
    for _ in range(bits):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


@cache
def _table() -> list[int]:
    low = [_shifted(value, 8) for value in range(256)]
    # A pair of bytes is its low byte shifted out, then the high one.
    return [low[(low[pair & 0xFF] ^ (pair >> 8)) & 0xFF] ^ (low[pair & 0xFF] >> 8) for pair in range(0x10000)]
