"""Damage to what was valid: of octets, of protobuf messages, of HTTP/2 frames, of lines of text, of TFRecords.

Law: an input and a random generator in, another input out; the same generator, the same input. Knows forms and not
what they mean. An octet changed at random mostly ruins a length before anything behind it is read, so these put lengths
and checksums right again, most of the time.
"""

import random
from collections.abc import Callable, Sequence

from proxy.wire.tfrecord import frame
from proxy.wire.wire_format import FIXED32, FIXED64, GROUP, GROUP_END, LENGTH, VARINT, write_tag, write_varint

Mutate = Callable[[bytes, random.Random], bytes]

_OCTETS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x08, 0x0A, 0x12, 0x20, 0x40)
_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    10,
    14,
    19,
    23,
    100,
    127,
    128,
    255,
    256,
    2**15,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_LARGE = (2**32, 2**35, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def octets(data: bytes, rng: random.Random) -> bytes:
    """One change without regard to form."""
    found = bytearray(data)
    at = rng.randrange(len(found) + 1)
    how = rng.randrange(9)
    if how < 3 and at < len(found):
        found[at] = (
            found[at] ^ 1 << rng.randrange(8),
            rng.choice(_OCTETS),
            (found[at] + rng.choice((1, 255))) & 0xFF,
        )[how]
    elif how == 3:
        found[at:at] = rng.randbytes(rng.randrange(1, 5))
    elif how == 4:
        del found[at : at + rng.randrange(1, 9)]
    elif how < 7:
        start = rng.randrange(len(found) + 1)
        part = found[start : start + rng.randrange(1, 33)]
        found[at : at + len(part) if how == 5 else at] = part
    elif how == 7 and rng.random() < 0.3:
        del found[at:]
    else:
        del found[at : at + 1]
    return bytes(found)


# === protobuf ===

_Span = tuple[int, int, int, int, int]
"""Number and wire type of a field, where it begins, where its content begins, where it ends."""


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        octet = data[pos]
        pos += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, pos
    raise IndexError


def _spans(data: bytes) -> list[_Span]:
    """The fields of a message; raises IndexError or ValueError where it is none."""
    found, pos = [], 0
    while pos < len(data):
        begin = pos
        tag, pos = _varint(data, pos)
        number, kind = tag >> 3, tag & 7
        start = pos
        if kind == LENGTH:
            length, start = _varint(data, pos)
            pos = start + length
        elif kind == VARINT:
            _, pos = _varint(data, pos)
        elif kind in {FIXED32, FIXED64}:
            pos += 4 if kind == FIXED32 else 8
        elif kind not in {GROUP, GROUP_END}:
            raise ValueError
        if number == 0 or pos > len(data):
            raise ValueError
        found.append((number, kind, begin, start, pos))
    return found


def _padded(varint: bytes, rng: random.Random) -> bytes:
    """The same number, now and then in more octets than it needs, or in more than may be."""
    if rng.random() < 0.9:
        return varint
    return varint[:-1] + bytes((varint[-1] | 0x80,)) + b"\x80" * rng.choice((0, 1, 2, 3, 7, 9)) + b"\x00"


def _field(number: int, content: bytes, rng: random.Random) -> bytes:
    return _padded(write_tag(number, LENGTH), rng) + _padded(write_varint(len(content)), rng) + content


def _number(rng: random.Random) -> int:
    return rng.choice(_NUMBERS) if rng.random() < 0.8 else rng.choice(_LARGE)


def _any_field(rng: random.Random) -> bytes:
    number = rng.choice(
        (1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 30, 2000, 2**29 - 1)
    )
    kind = rng.choice((VARINT, LENGTH, LENGTH, LENGTH, FIXED32, FIXED64, GROUP, GROUP_END))
    if kind == LENGTH:
        values = b"".join(_padded(write_varint(_number(rng)), rng) for _ in range(rng.randrange(4)))
        return _field(
            number, rng.choice((b"", bytes(rng.choice((1, 4, 8, 12))), values, b"x", rng.randbytes(3))), rng
        )
    content = {
        VARINT: _padded(write_varint(_number(rng)), rng),
        FIXED32: bytes(4),
        FIXED64: bytes(8),
        GROUP: (b"\x08\x01" if rng.random() < 0.5 else b"") + write_tag(number, GROUP_END),
    }
    return _padded(write_tag(number, kind), rng) + content.get(kind, b"")


def protobuf(data: bytes, rng: random.Random) -> bytes:
    """One change to a field at any depth, after which the lengths around it are right."""
    try:
        spans = _spans(data)
    except (IndexError, ValueError):
        return octets(data, rng)
    if not spans:
        return data + _any_field(rng) if rng.random() < 0.7 else octets(data, rng)
    number, kind, begin, start, stop = rng.choice(spans)
    if kind == LENGTH and rng.random() < 0.75:
        content = protobuf(data[start:stop], rng) if rng.random() < 0.9 else octets(data[start:stop], rng)
        return data[:begin] + _field(number, content, rng) + data[stop:]
    whole = data[begin:stop]
    other = rng.choice(spans)
    match rng.randrange(10):
        case 0:
            return data[:begin] + data[stop:]
        case 1:
            return data[:stop] + whole + data[stop:]
        case 2:
            return data[:begin] + data[stop:] + whole
        case 3:
            return data[:begin] + data[other[2] : other[4]] + data[stop:]
        case 4:
            return data[:begin] + _any_field(rng) + data[begin:]
        case 5:
            return data[:stop] + _any_field(rng) + data[stop:]
        case 6:
            return (
                data[:begin]
                + write_tag(max(1, number + rng.choice((-1, 1, 8))), kind)
                + data[_tag_end(data, begin) :]
            )
        case 7 if kind == VARINT:
            return data[:start] + _padded(write_varint(_number(rng)), rng) + data[stop:]
        case 8:
            tag = _padded(write_tag(number, kind), rng)
            return data[:begin] + tag + data[_tag_end(data, begin) :]
        case _:
            return data[:begin] + octets(whole, rng) + data[stop:]


def _tag_end(data: bytes, pos: int) -> int:
    return _varint(data, pos)[1]


def behind(octets_before: int, mutate: Mutate) -> Mutate:
    """`mutate` for what comes behind a few octets that say how to go about it."""

    def mutated(data: bytes, rng: random.Random) -> bytes:
        head, rest = data[:octets_before], data[octets_before:]
        if rng.random() < 0.3:
            return octets(head, rng)[:octets_before].ljust(octets_before, b"\0") + rest
        return head + mutate(rest, rng)

    return mutated


# === frames of HTTP/2 ===


def frames(data: bytes, rng: random.Random) -> bytes:
    """One change to a sequence of frames, each of which keeps its length, most of the time."""
    found = _frames(data)
    if not found or rng.random() < 0.1:
        return octets(data, rng)
    at = rng.randrange(len(found))
    head, payload = found[at]
    match rng.randrange(10):
        case 0:
            del found[at]
        case 1:
            found.insert(rng.randrange(len(found) + 1), found[at])
        case 2:
            other = rng.randrange(len(found))
            found[at], found[other] = found[other], found[at]
        case 3:
            found[at] = (head[:3] + bytes((rng.randrange(11),)) + head[4:], payload)
        case 4:
            found[at] = (head[:4] + bytes((head[4] ^ rng.choice((1, 4, 8, 0x20)),)) + head[5:], payload)
        case 5:
            stream = rng.choice((0, 1, 1, 2, 3, 3, 5, 7, 2**31 - 1, 2**31 + 1))
            found[at] = (head[:5] + stream.to_bytes(4, "big"), payload)
        case 6 if payload:
            found[at] = (
                head,
                rng.choice((0, 1, 65535, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "big") + payload[4:],
            )
        case 7:
            found.insert(at, _any_frame(rng))
        case _:
            found[at] = (head, octets(payload, rng))
    keep = rng.random() < 0.95
    return b"".join(
        (len(payload).to_bytes(3, "big") if keep else head[:3]) + head[3:] + payload
        for head, payload in found
    )


def _any_frame(rng: random.Random) -> tuple[bytes, bytes]:
    kind = rng.randrange(11)
    stream = rng.choice((0, 1, 3, 5, 7))
    payload = {
        0: rng.randbytes(rng.choice((0, 1, 5, 300))),
        1: rng.choice(HEADER_BLOCKS),
        2: bytes(5),
        3: rng.choice((0, 8)).to_bytes(4, "big"),
        4: rng.randrange(1, 8).to_bytes(2, "big") + rng.choice(_NUMBERS).to_bytes(4, "big"),
        6: bytes(8),
        7: stream.to_bytes(4, "big") + bytes(4),
        8: rng.choice((1, 5, 65535, 2**31 - 1)).to_bytes(4, "big"),
        9: rng.choice(HEADER_BLOCKS)[:9],
    }.get(kind, rng.randbytes(3))
    flags = rng.choice((0, 1, 4, 5, 5, 8, 0x2D))
    return bytes(3) + bytes((kind, flags)) + stream.to_bytes(4, "big"), payload


def _frames(data: bytes) -> list[tuple[bytes, bytes]]:
    found, pos = [], 0
    while pos + 9 <= len(data):
        stop = pos + 9 + int.from_bytes(data[pos : pos + 3], "big")
        found.append((data[pos : pos + 9], data[pos + 9 : stop]))
        pos = stop
    return found


HEADER_BLOCKS = (
    # Indexed fields of a request; a literal that is inserted; one that is not; Huffman; a table of another size; a head
    # of an answer; trailers.
    b"\x83\x86\x44\x06/p.S/M\x41\x01a",
    b"\x83\x86\xbf\x41\x01b",
    b"\x40\x01a\x01b",
    b"\x00\x01a\x03bcd",
    b"\x10\x01a\x00",
    b"\x83\x86\x44\x81\x63\x41\x8a\x08\x9d\x5c\x0b\x81\x70\xdc\x78\x0f\x03",
    b"\x20\x83",
    b"\x3f\xe1\x1f\x83\x87",
    b"\x88\x5f\x10application/grpc",
    b"\x00\x0bgrpc-status\x010",
)


def blocks(data: bytes, rng: random.Random) -> bytes:
    """One change to a sequence of header blocks as the target `hpack` reads them, which refer to one another."""
    found, pos = [], 0
    while pos + 2 < len(data):
        stop = pos + (3 if data[pos + 1] == 0xFF else 2 + data[pos + 1])
        found.append(data[pos:stop])
        pos = stop
    if not found or rng.random() < 0.2:
        return octets(data, rng)
    at = rng.randrange(len(found))
    how = rng.randrange(5)
    if how == 0:
        del found[at]
    elif how == 1:
        block = rng.choice((*HEADER_BLOCKS, b"\xbe", b"\xbf", b"\xbe\xbf\xc0"))
        found.insert(at, bytes((rng.randrange(3), len(block))) + block)
    elif how == 2:
        found.append(bytes((rng.randrange(3), 0xFF, rng.randrange(4))))
    else:
        block = octets(found[at][2:], rng)[:0xFE]
        found[at] = bytes((found[at][0] if found[at] else 0, len(block))) + block
    return b"".join(found)


# === text ===


def lines(words: Sequence[bytes]) -> Mutate:
    """Changes to lines, among which `words` mean something."""

    def mutated(data: bytes, rng: random.Random) -> bytes:
        how = rng.randrange(8)
        found = data.split(b"\n")
        at = rng.randrange(len(found))
        if how == 0:
            del found[at]
        elif how == 1:
            found.insert(rng.randrange(len(found) + 1), found[at])
        elif how == 2:
            found[at] = b" " * rng.choice((1, 2, 4)) + found[at]
        elif how < 6:
            line = found[at]
            place = rng.randrange(len(line) + 1)
            end = place + rng.choice((0, 0, 1, 3, 8))
            found[at] = line[:place] + rng.choice(words) + line[end:]
        else:
            return octets(data, rng)
        return b"\n".join(found)

    return mutated


# === TFRecord ===


def records(mutate: Mutate) -> Mutate:
    """`mutate` for what is in one of the records, whose checksums are then right, most of the time."""

    def mutated(data: bytes, rng: random.Random) -> bytes:
        found, pos = [], 0
        while pos + 12 <= len(data) and len(found) < 50:
            stop = pos + 12 + int.from_bytes(data[pos : pos + 8], "little")
            found.append(data[pos + 12 : stop])
            pos = stop + 4
        if not found or rng.random() < 0.3:
            return octets(data, rng)
        at = rng.randrange(len(found))
        how = rng.randrange(6)
        if how == 0:
            del found[at]
        elif how == 1:
            found.insert(at, found[at])
        else:
            found[at] = mutate(found[at], rng)
        framed = [(frame((each,)), each) for each in found]
        return b"".join(head + each + foot for (head, foot), each in framed)

    return mutated
