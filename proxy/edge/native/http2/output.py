"""
What is to be written, in its order, and how much more the transport wants.

Law: takes frames as they are. What is in them, and whether a window allows them, is known to whoever puts them here.
"""

from typing import Final, final

from proxy.edge.native.http2.handler import Writer
from proxy.edge.native.http2.stream import Buffer

ROOM: Final = 1 << 20
"""Octets of DATA given to the transport before it can say that it has enough."""

# So little is copied behind its frame's head: one buffer to write, and one record where there is TLS.
_COPIED: Final = 1024


@final
class Output:
    """
    The octets of one connection that wait to be written.

    `ready` lists the writers that have something to write, each once; many connections may share it.
    """

    __slots__ = ("_ready", "_writer", "closed", "paused", "pieces", "room", "size")

    def __init__(self, writer: Writer, ready: list[Writer]) -> None:
        self._writer = writer
        self._ready = ready
        self.pieces: list[Buffer] = []
        self.size = 0
        """Octets of all pieces."""
        # Nothing more is to be said to this peer, which whoever wants to put something here asks first.
        self.closed = False
        self.paused = False
        # How much DATA may still be put here. Other frames are not held back: they are small and bounded.
        self.room = ROOM

    def put(self, frame: bytes) -> None:
        """Append a frame."""
        if not self.pieces:
            self._ready.append(self._writer)
        self.pieces.append(frame)
        self.size += len(frame)

    def put_data(self, head: bytes, pieces: list[Buffer], size: int) -> None:
        """Append a DATA frame of `size` octets, for which there is room."""
        self.room -= size
        if size < _COPIED and len(pieces) == 1:
            self.put(head + pieces[0])
        else:
            self.put(head)
            self.pieces += pieces
            self.size += size

    def take(self) -> list[Buffer]:
        """Hand out what there is."""
        pieces = self.pieces
        self.pieces = []
        self.size = 0
        if not self.paused:
            self.room = ROOM
        return pieces

    def close(self) -> None:
        """Say nothing more once what there is has been written."""
        self.closed = True

    def pause(self) -> None:
        """Leave no room for DATA: the transport has enough."""
        self.paused = True
        self.room = 0

    def resume(self) -> None:
        """Make room again."""
        self.paused = False
        self.room = ROOM
