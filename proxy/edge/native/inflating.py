"""
Compressed messages: which of them can be read, and their plain text, a step at a time and never too much of it.

Law: reads a message exactly as gRPC's core does (`message_compress.cc`: one stream, all of the input, nothing behind
it), or says why it will not be read. No clocks, no load, no threads: who calls `step` decides where and how often.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, final

from proxy.core.explain import quote
from proxy.core.verdict import Verdict
from proxy.edge.admission import UNLIMITED, encoding_invalid, too_large, too_much_inside
from proxy.edge.native.http2.stream import Buffer

MOST: Final = 128 << 20
"""Bytes of plain text, where there is no limit on messages."""

MOST_OF_ANY_RATIO: Final = 32 << 20
MOST_RATIO: Final = 100
"""More plain text than that may be so many times its compressed size: an image of zeros is 1000 times."""

AT_ONCE: Final = 64 << 10
"""Bytes of compressed input that are inflated, as far as one short step goes, while other calls wait."""

SHORT_STEP: Final = 256 << 10
LONG_STEP: Final = 1 << 20

SHORT: Final = 8 << 20
"""Bytes of plain text up to which a message never waits for longer ones."""

_WBITS: Final = {b"gzip": 31, b"deflate": 15}
_SLICE: Final = 64 << 10
_SHOWN: Final = 60


@final
class UnreadError(Exception):
    """The message is not read. `hard`: nor may it pass, whatever the policy."""

    def __init__(self, verdict: Verdict, *, hard: bool = False) -> None:
        super().__init__(verdict)
        self.verdict = verdict
        self.hard = hard


@final
class Inflation:
    """
    One message on its way to plain text.

    `pieces` hold `size` octets of it, `flag` is the octet before it, `encodings` the values of `grpc-encoding` and
    `limit` what a message may have. Raises UnreadError, as `step` does.
    """

    def __init__(
        self, pieces: Sequence[Buffer], size: int, flag: int, encodings: tuple[bytes, ...], limit: int
    ) -> None:
        fault = _fault(flag, encodings)
        if fault:
            raise UnreadError(encoding_invalid(fault))
        self.size = 0
        self._name = encodings[0].decode()
        self._inflater = zlib.decompressobj(_WBITS[encodings[0]])
        self._input = _slices(pieces)
        self._tail = b""
        self._compressed = size
        self._limit = limit
        # It grows in place, and is given away without a copy.
        self._plain = io.BytesIO()

    def step(self, most: int) -> bool:
        """Inflate on, by `most` octets at most; True: that was all."""
        if not self._compressed:
            # So does gRPC's core: nothing is the compressed form of nothing.
            return True
        inflater = self._inflater
        goal = self.size + most
        while self.size < goal:
            source = self._tail or next(self._input, b"")
            try:
                plain = inflater.decompress(source, goal - self.size)
            except zlib.error:
                raise UnreadError(encoding_invalid(f"bytes that are not {self._name}")) from None
            self._tail = inflater.unconsumed_tail
            if plain:
                self.size += len(plain)
                self._plain.write(plain)
                self._check()
            if inflater.eof:
                if inflater.unused_data or self._tail or next(self._input, b""):
                    raise UnreadError(encoding_invalid(f"bytes behind the end of the {self._name} stream"))
                return True
            if not plain and not source:
                raise UnreadError(encoding_invalid(f"a {self._name} stream that is cut off"))
        return False

    def plain(self) -> bytes:
        """All of the plain text, once."""
        plain, self._plain = self._plain, io.BytesIO()
        return plain.getvalue()

    def _check(self) -> None:
        if self._limit != UNLIMITED:
            if self.size > self._limit:
                raise UnreadError(too_large(self.size, self._limit), hard=True)
        elif self.size > MOST:
            raise UnreadError(too_much_inside(MOST, self._compressed))
        most = max(MOST_OF_ANY_RATIO, MOST_RATIO * self._compressed)
        if self.size > most:
            raise UnreadError(too_much_inside(most, self._compressed))


def _fault(flag: int, encodings: tuple[bytes, ...]) -> str:
    """Why nobody can tell how a message is compressed; "" where one can."""
    if flag != 1:
        return f"a compressed flag of {flag}"
    if not encodings:
        return "a compressed message without grpc-encoding"
    if len(encodings) > 1:
        return f"grpc-encoding {len(encodings)} times"
    if encodings[0] not in _WBITS:
        return f"a compressed message with grpc-encoding {quote(encodings[0].decode('latin-1'), _SHOWN)}"
    return ""


def _slices(pieces: Sequence[Buffer]) -> Iterator[Buffer]:
    """The same octets, in pieces that zlib does not have to copy the rest of again and again."""
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _SLICE):
            yield view[start : start + _SLICE]
