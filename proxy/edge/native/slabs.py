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
COPIED: Final = 8192
"""So little is not worth a view."""


@final
class Slabs:
    """`room` for the next read, then `taken` for what it read; never two reads at a time."""

    __slots__ = ("_at", "_copied", "_slabs", "_unseen", "_used")

    def __init__(self) -> None:
        self._slabs = [bytearray(SIZE)]
        # Which of them is read into, and how far; or, instead of all of them, one that is only copied from.
        self._at = 0
        self._used = 0
        self._copied: bytearray | None = None
        # Every view refers to its slab once more, whatever else is cut from that view. What a slab without a view
        # has is counted here: it depends on how this very code is run.
        self._unseen = self._references(0)

    def room(self) -> memoryview:
        """Where to read into: a quarter of a slab at least."""
        if self._copied is not None:
            self._turn()
        elif self._used:
            if self._references(self._at) <= self._unseen:
                self._used = 0
            elif SIZE - self._used < _LEAST_ROOM:
                self._turn()
        return memoryview(self._current())[self._used :]

    def taken(self, count: int) -> bytes | memoryview:
        """The `count` octets that were read into the room."""
        first = self._used
        seen = memoryview(self._current())[first : first + count]
        if count <= COPIED or self._copied is not None:
            return bytes(seen)
        self._used = first + count
        return seen

    def let_go(self) -> None:
        """Keep those that somebody looks at, and the one that is read into."""
        kept = [at for at in range(len(self._slabs)) if at == self._at or self._references(at) > self._unseen]
        self._at = kept.index(self._at)
        self._slabs = [self._slabs[at] for at in kept]

    @property
    def in_use(self) -> int:
        """Slabs that somebody looks at."""
        return sum(self._references(at) > self._unseen for at in range(len(self._slabs)))

    def _current(self) -> bytearray:
        return self._slabs[self._at] if self._copied is None else self._copied

    def _references(self, at: int) -> int:
        slab = self._slabs[at]
        return sys.getrefcount(slab)

    def _turn(self) -> None:
        """Go on with a slab that nobody looks at, with a new one, or with one that is only copied from."""
        self._used = 0
        for at in range(len(self._slabs)):
            if self._references(at) <= self._unseen:
                self._at = at
                self._copied = None
                return
        if len(self._slabs) < MOST:
            self._at = len(self._slabs)
            self._slabs.append(bytearray(SIZE))
        elif self._copied is None:
            self._copied = bytearray(SIZE)
