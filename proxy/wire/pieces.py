"""A message in the pieces in which it arrived, read here and there without being put together.

Law: shows the octets that the whole would have; copies only what is asked for. Knows nothing of what they mean.
"""

from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview


class Pieces:
    """`size` octets of `pieces`, from `start` of the first one, which holds at least that many."""

    __slots__ = ("_begin", "_number", "_pieces", "_size", "_start", "joined")

    def __init__(self, pieces: Sequence[Buffer], start: int, size: int) -> None:
        self._pieces = pieces
        self._start = start
        self._size = size
        # In which piece was looked last, and where it begins: the next look is mostly behind it.
        self._number = self._begin = 0
        self.joined: bytes | None = None

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        """Put the message together: the one copy, once, in the place of the pieces."""
        if self.joined is None:
            start, pieces = self._start, self._pieces
            if len(pieces) == 1:
                whole = bytes(pieces[0][start : start + self._size])
            else:
                whole = b"".join((memoryview(pieces[0])[start:], *pieces[1:]))
            self.joined = whole if len(whole) == self._size else whole[: self._size]
            self._pieces, self._start = (self.joined,), 0
            self._number = self._begin = 0
        return self.joined

    def between(self, first: int, last: int) -> bytes:
        """The octets from `first` to before `last`; fewer where the message ends."""
        found = b""
        last = min(last, self._size)
        if first >= last:
            return found
        first, last = first + self._start, last + self._start
        pieces = self._pieces
        number, begin = self._number, self._begin
        if first < begin:
            number = begin = 0
        piece = pieces[number]
        length = len(piece)
        while begin + length <= first:
            begin += length
            number += 1
            piece = pieces[number]
            length = len(piece)
        self._number, self._begin = number, begin
        first, last = first - begin, last - begin
        while last > length:
            found += bytes(piece[first:])
            first, last = 0, last - length
            number += 1
            piece = pieces[number]
            length = len(piece)
        part = bytes(piece[first:last])
        return found + part if found else part

    def startswith(self, prefix: bytes, start: int = 0) -> bool:
        """As of bytes."""
        return self.between(start, start + len(prefix)) == prefix
