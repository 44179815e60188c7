"""Reading a PredictRequest while it arrives, cut anywhere, without keeping its payloads.

Law: no I/O; keeps what lies outside opaque payloads, bounded, and skips those by their length. What it shows is
what `wire.request` shows of the whole message; where it cannot promise that, it gives up, and does so before it
has ever said that there is something to judge.
"""

from bisect import bisect_right
from typing import Final, overload

from proxy.core.types import RequestView
from proxy.wire.pieces import Buffer
from proxy.wire.request import scan_predict
from proxy.wire.unusual import read_predict
from proxy.wire.wire_format import (
    ALIAS_TAG,
    CONTENT_TAG,
    DTYPE_TAG,
    INPUTS_TAG,
    LOOKED_INTO,
    OPAQUE_TAGS,
    SHAPE_TAG,
    TENSOR_TAG,
    VERSION_NUMBER_TAG,
    UnusualError,
    read_varint,
)

MAX_BONES: Final = 16 << 10
"""Octets outside the skipped payloads that are kept at most."""

_LEAST_SKIPPED: Final = 2048
_STEP: Final = 512
_USUAL_FIELDS: Final = 8

_Part = tuple[int, bytearray]


class Bones:
    """A message with gaps: indexed and sliced as the whole would be, with IndexError for what is in a gap."""

    __slots__ = ("_parts", "_size", "_starts")

    def __init__(self, parts: list[_Part], size: int) -> None:
        self._parts = parts
        self._starts = [start for start, _ in parts]
        self._size = size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes:
        if isinstance(key, int):
            start, part = self._parts[bisect_right(self._starts, key) - 1]
            return part[key - start]
        first, last = key.start, min(key.stop, self._size)
        if first >= last:
            return b""
        start, part = self._parts[bisect_right(self._starts, first) - 1]
        if last - start > len(part):
            raise IndexError(last)
        return bytes(part[first - start : last - start])

    def blank(self) -> bytes:
        """The message with zeros in its gaps."""
        whole = bytearray(self._size)
        for start, part in self._parts:
            whole[start : start + len(part)] = part
        return bytes(whole)


class PushScanner:
    """Reads a message of `size` octets, given piece by piece.

    A payload is skipped when it is opaque, has at least `least_skipped` octets and ends its tensor and the
    tensor's map entry, as serialisers write it: then nothing that follows can change what is seen of the tensor.
    """

    def __init__(self, size: int, least_skipped: int = _LEAST_SKIPPED) -> None:
        self.size = size
        self.seen = 0
        self.gave_up = False
        self._least = least_skipped
        # Less than any payload: what is taken with its header lies within it.
        self._step = min(_STEP, least_skipped)
        self._parts: list[_Part] = [(0, bytearray())]
        self._kept = 0
        # Where the next field of the request begins, and where the last skipped payload ends.
        self._field = 0
        self._skipped = 0

    @property
    def tail(self) -> int:
        """Octets behind the payload that was last skipped."""
        return self.size - self._skipped

    def feed(self, *pieces: Buffer) -> bool:
        """Take the next octets; True: the view changed and is worth judging.

        That is when the first octets of a payload came behind which there is nothing, or so little that all of
        it will be kept. Never raises; with `gave_up` the rest of the message is not looked at.
        """
        before = self._skipped
        for piece in pieces:
            self._take(piece)
        return (
            not self.gave_up
            and before != self._skipped
            and self.seen < self._skipped
            and self._kept + self.tail <= MAX_BONES
        )

    def _take(self, piece: Buffer) -> None:
        position, count = 0, len(piece)
        while position < count and not self.gave_up:
            skipped = min(self._skipped - self.seen, count - position)
            if skipped > 0:
                position += skipped
                self.seen += skipped
                continue
            taken = min(self._step, count - position)
            self._parts[-1][1].extend(piece[position : position + taken])
            self._kept += taken
            position += taken
            self.seen += taken
            try:
                self._walk()
            except UnusualError:
                # Nothing more is skipped.
                self._field = self.size
            if self._kept > MAX_BONES:
                self.gave_up = True

    def view(self) -> RequestView:
        """What is known of the request: of the whole one at its end, else as if it ended after this payload.

        Raises MalformedRequestError at the end when TF Serving cannot read the message, UnusualError before.
        """
        if self.seen < self.size:
            return scan_predict(Bones(self._parts, self._skipped))
        bones = Bones(self._parts, self.size)
        try:
            return scan_predict(bones)
        except UnusualError:
            return read_predict(bones.blank())

    def _walk(self) -> None:
        """Go from field to field of the request, as far as they have come."""
        offset, part = self._parts[-1]
        try:
            while True:
                at = self._field - offset
                tag = part[at]
                length, start = read_varint(part, at + 1)
                stop = start + length
                if offset + stop > self.size:
                    raise UnusualError
                payload = _payload_in(part, start, stop, self._least) if tag == INPUTS_TAG else 0
                if payload:
                    self._field = self._skipped = offset + stop
                    self._kept -= len(part) - payload
                    del part[payload:]
                    self._parts.append((offset + stop, bytearray()))
                    return
                if stop > len(part):
                    return
                self._field = offset + stop
        except IndexError:
            # The header of a field is not all there yet.
            return


def _payload_in(part: bytearray, pos: int, stop: int, least: int) -> int:
    """Where the payload begins that ends the map entry; 0: there is none that may be skipped."""
    if stop - pos < least:
        return 0
    if part[pos] == ALIAS_TAG:
        length, pos = read_varint(part, pos + 1)
        pos += length
    if pos >= stop or part[pos] != TENSOR_TAG:
        return 0
    length, pos = read_varint(part, pos + 1)
    if pos + length != stop:
        return 0
    dtype = 0
    # A few fields: this is looked at again whenever more of the message has come.
    for _ in range(_USUAL_FIELDS):
        if pos >= stop:
            return 0
        tag = part[pos]
        value, pos = read_varint(part, pos + 1)
        if tag == DTYPE_TAG:
            dtype = value
        elif tag == SHAPE_TAG:
            pos += value
        elif tag in OPAQUE_TAGS or (tag == CONTENT_TAG and dtype not in LOOKED_INTO):
            return pos if pos + value == stop and value >= least else 0
        elif tag != VERSION_NUMBER_TAG:
            return 0
    return 0
