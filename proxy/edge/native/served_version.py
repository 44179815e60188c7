"""
Which version answered, read from a response that passes in pieces.

Law: as `wire.response`, which it uses for what is small: reads lengths and skips, says None to whatever it does
not recognise, never raises, keeps no more than one ModelSpec.
"""

from typing import Final, final

from proxy.core.types import ModelKey
from proxy.edge.native.http2.stream import Buffer
from proxy.wire.response import ending_of, served_version

_MODEL_SPEC: Final = 0x12
_LARGEST_SPEC: Final = 4096
_LONGEST_HEAD: Final = 11
_PREFIX: Final = 5
MOST_SUFFIXES: Final = 1024
"""Versions by key whose short responses are known again."""


@final
class VersionSuffixes:
    """How whole short responses of a version end: what is known again need not be read again."""

    def __init__(self) -> None:
        self._known: dict[tuple[ModelKey, int | None], bytes] = {}

    def __len__(self) -> int:
        return len(self._known)

    def fits(self, key: ModelKey, version: int | None, payload: Buffer) -> bool:
        """Whether a piece that is a whole response says that `version` answered, like one before it."""
        ending = self._known.get((key, version))
        return ending is not None and type(payload) is bytes and payload.endswith(ending)

    def learn(self, key: ModelKey, version: int | None, payload: Buffer) -> None:
        """Remember how a response ends that was found to be of `version`."""
        if type(payload) is bytes and len(payload) == _PREFIX + int.from_bytes(payload[1:_PREFIX], "big"):
            ending = ending_of(payload[_PREFIX:])
            if ending is not None:
                if len(self._known) >= MOST_SUFFIXES:
                    self._known.clear()
                self._known[key, version] = ending


@final
class ServedVersion:
    """Looks for `model_spec.version` in one gRPC message; `feed` it everything from the message's prefix on."""

    __slots__ = ("_head", "_skip", "_started", "_wanted")

    def __init__(self) -> None:
        self._started = False
        # Octets to pass over; what is kept of a field's head or of the ModelSpec; octets of it still to come.
        self._skip = 0
        self._head = b""
        self._wanted: int | None = 0

    def feed(self, *pieces: Buffer) -> int | None:
        """Take pieces; return the version when they complete it."""
        found = None
        for piece in pieces:
            found = found or self._take(piece)
        return found

    def _take(self, payload: Buffer) -> int | None:
        position, size = 0, len(payload)
        if not self._started and size:
            self._started = True
            self._skip = 5
            if payload[0]:
                self._wanted = None  # compressed
        while position < size and self._wanted is not None:
            if self._skip:
                step = min(self._skip, size - position)
                self._skip -= step
                position += step
            elif self._wanted:
                piece = bytes(payload[position : position + self._wanted])
                self._head += piece
                self._wanted -= len(piece)
                position += len(piece)
                if not self._wanted:
                    self._wanted = None
                    return served_version(self._head)
            else:
                position = self._begin(payload, position)
        return None

    def _begin(self, payload: Buffer, position: int) -> int:
        """Read the tag and length of the next field, which may be cut too."""
        kept = len(self._head)
        head = self._head + bytes(payload[position : position + _LONGEST_HEAD - kept])
        end = next((index for index in range(1, len(head)) if head[index] < 0x80), None)
        if head[0] & 0x87 != 0x02 or (end is None and len(head) == _LONGEST_HEAD):
            self._wanted = None
            return position
        if end is None:
            self._head = head
            return position + len(head) - kept
        length = sum((octet & 0x7F) << 7 * index for index, octet in enumerate(head[1 : end + 1]))
        self._head = b""
        if head[0] != _MODEL_SPEC:
            self._skip = length
        elif 0 < length <= _LARGEST_SPEC:
            self._head, self._wanted = head[: end + 1], length
        else:
            self._wanted = None
        return position + end + 1 - kept
