"""
Where sockets are read into: memory that is used again as soon as nobody looks at it any more.

Law: octets are handed out as views and stay as they are for as long as there is a view of them. A buffer allocated
for every read would cost a copy and, of this size, page faults. How much may be looked at is bounded; what comes
then is copied, so that little of it cannot keep much from being used again.
"""

import sys
from typing import Final, final

SIZE: Final = 1 << 20
"""Octets of a slab: as much as is read at once. More at a time is less work for each."""

MOST: Final = 32
"""Slabs that may be looked at at a time; 32 MiB."""

_LEAST_ROOM: Final = SIZE // 4
# So little is not worth a view.
_COPIED: Final = 8192
# What `getrefcount` says of a slab without a view: the list, the name, its own argument. Every view refers to it
# once more, whatever else is cut from that view.
_UNSEEN: Final = 3


@final
class Slabs:
    """`room` for the next read, then `taken` for what it read; never two reads at a time."""

    __slots__ = ("_copying", "_current", "_slabs", "_used")

    def __init__(self) -> None:
        self._current = bytearray(SIZE)
        self._slabs = [self._current]
        self._used = 0
        self._copying = False

    def room(self) -> memoryview:
        """Where to read into: a quarter of a slab at least."""
        if self._copying:
            self._turn()
        elif self._used:
            if sys.getrefcount(self._current) <= _UNSEEN:
                self._used = 0
            elif SIZE - self._used < _LEAST_ROOM:
                self._turn()
        return memoryview(self._current)[self._used :]

    def taken(self, count: int) -> bytes | memoryview:
        """The `count` octets that were read into the room."""
        first = self._used
        seen = memoryview(self._current)[first : first + count]
        if count <= _COPIED or self._copying:
            return bytes(seen)
        self._used = first + count
        return seen

    def _turn(self) -> None:
        """Go on with a slab that nobody looks at, with a new one, or with one that is only copied from."""
        self._used = 0
        for slab in self._slabs:
            if sys.getrefcount(slab) <= _UNSEEN:
                self._current = slab
                self._copying = False
                return
        if len(self._slabs) < MOST:
            self._current = bytearray(SIZE)
            self._slabs.append(self._current)
        elif not self._copying:
            self._current = bytearray(SIZE)
            self._copying = True
