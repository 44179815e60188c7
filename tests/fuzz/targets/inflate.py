"""Compressed messages: inflated a step at a time as zlib inflates all at once, or refused in words.

The first three octets say how: which encoding, where the message is cut, and how much at a time.
"""

import gzip
import zlib

from proxy.edge.native.inflating import Inflation, UnreadError
from tests.fuzz.texts import latin

_HEAD = 3
_LIMIT = 64 << 10


def seeds() -> list[bytes]:
    plain = b"The quick brown fox. " * 9
    return [
        b"\0\7\3" + gzip.compress(plain, mtime=0),
        b"\1\7\x30" + zlib.compress(plain),
        b"\0\7\xff" + gzip.compress(bytes(100_000), mtime=0),
        b"\2\1\1" + plain,
        b"\0\1\1",
    ]


def check(data: bytes) -> None:
    if len(data) < _HEAD:
        return
    encodings = ((b"gzip",), (b"deflate",), (b"identity",), (), (b"gzip", b"gzip"), (data[:9],))[data[0] % 6]
    message, cut, step = data[_HEAD:], data[1], 1 + data[2] * 16
    try:
        inflation = Inflation([message[:cut], message[cut:]], len(message), 1, encodings, _LIMIT)
        while not inflation.step(step):
            assert inflation.size <= _LIMIT + step
        ours = inflation.plain()
    except UnreadError as error:
        assert latin(error.verdict.violations[0].got)
        ours = None
    expected = (
        _plain(message, 31 if encodings == (b"gzip",) else 15)
        if encodings in {(b"gzip",), (b"deflate",)}
        else None
    )
    assert ours == expected


def _plain(message: bytes, wbits: int) -> bytes | None:
    if not message:
        return b""
    inflater = zlib.decompressobj(wbits)
    try:
        plain = inflater.decompress(message, _LIMIT + 1)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data and len(plain) <= _LIMIT
    return plain if whole else None
