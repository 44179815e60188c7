"""
One HTTP/2 stream: its two windows, which halves have ended, and what waits to be sent on it.

Law: state only; the rules are those of `flow_control` (the windows), `closing` (the halves) and `sender` (what waits).
"""

from collections import deque
from typing import Final, Protocol, final

from proxy.edge.native.http2.fields import HeaderBlock

Buffer = bytes | bytearray | memoryview

# A view keeps the whole chunk alive that it was cut from, and costs more than a short copy.
_SHORT: Final = 512
_COALESCED: Final = 16_384
# Of memory that is read into again there is only so much (`slabs`); what was copied from it counts by what is seen.
_PINNED_RATIO: Final = 64
_COPY_RATIO: Final = 1.25
# More than any content-length that is read, and as much as compiled code counts without big integers.
UNPROMISED: Final = 1 << 61


class StreamSink(Protocol):
    """
    Who is told what happens on a stream. All calls come from within `receive`, `pump` or `lost`.

    A sink may send on any stream from within a call. Every octet given to `on_data` must sooner or later be
    handed to `consume`, or the stream be reset: that is what keeps the peer sending.
    """

    def on_head(self, stream: "Stream", block: HeaderBlock, ended: bool) -> None:
        """Take the response's head (client role only)."""

    def on_informational(self, stream: "Stream", block: HeaderBlock) -> None:
        """Take a 1xx head before the response's own (client role only)."""

    def on_data(self, stream: "Stream", pieces: list[Buffer], size: int, ended: bool) -> None:
        """
        Take `size` octets of DATA, cut as they arrived: what came together is told together.

        No pieces only with `ended`. The list is the sink's to keep and to change.
        """

    def on_trailers(self, stream: "Stream", block: HeaderBlock) -> None:
        """Take the trailers that end the peer's half."""

    def on_reset(self, stream: "Stream", code: int, reason: str, unprocessed: bool) -> None:
        """
        Learn that the stream is over: reset by the peer, for its fault, or with its connection.

        `unprocessed` means that the peer guarantees not to have acted on it (RFC 9113 §8.7).
        """

    def on_sent(self, stream: "Stream", count: int) -> None:
        """Learn that so many octets that had to wait have now been handed to the connection."""


@final
class Stream:
    __slots__ = (
        "arrived",
        "expected",
        "head_seen",
        "held",
        "id",
        "lent",
        "local_ended",
        "owed",
        "queue",
        "recv_window",
        "remote_ended",
        "send_window",
        "sink",
        "tail",
    )

    def __init__(self, stream_id: int, send_window: int, recv_window: int) -> None:
        self.id = stream_id
        self.send_window = send_window
        self.recv_window = recv_window
        # DATA that the sink will be told of at the end of what is being received.
        self.arrived: list[Buffer] | None = None
        # Octets given to the sink and not yet consumed; and those consumed but not yet given back to the
        # peer.
        self.held = 0
        self.owed = 0
        # Octets held that no longer count against the connection's window.
        self.lent = 0
        # Octets of DATA that content-length still promises; UNPROMISED or little less when there is none.
        self.expected = UNPROMISED
        self.head_seen = False
        self.remote_ended = False
        self.local_ended = False
        self.queue: deque[Buffer] | None = None
        # What follows the queue: None (more to come), b"" (END_STREAM) or an encoded trailer block.
        self.tail: bytes | None = None
        self.sink: StreamSink | None = None

    def is_short(self) -> bool:
        """Whether content-length promised more than has come."""
        return 0 < self.expected < UNPROMISED >> 1

    def __repr__(self) -> str:
        halves = ("sending" if not self.local_ended else "") + (" receiving" if not self.remote_ended else "")
        return f"<Stream {self.id} {halves.strip() or 'closed'}>"


def keep_all(queue: deque[Buffer] | list[Buffer], pieces: list[Buffer], size: int) -> None:
    """Append pieces of `size` octets that may have to wait, as `keep` does."""
    first = pieces[0] if pieces else b""
    if type(first) is memoryview and size >= _SHORT * len(pieces) and not pins_much(first, size):
        queue.extend(pieces)
    else:
        for piece in pieces:
            keep(queue, piece)


def keep(queue: deque[Buffer] | list[Buffer], piece: Buffer) -> None:
    """
    Append a piece that may have to wait.

    A long piece stays the view it is; short ones are copied together, because a peer that sends one octet per
    frame would otherwise cost two hundred octets of memory for each.
    """
    size = len(piece)
    if size < _SHORT:
        last = queue[-1] if queue else None
        if type(last) is bytearray and len(last) < _COALESCED:
            last += piece
        else:
            queue.append(bytearray(piece))
    elif type(piece) is memoryview and pins_much(piece, size):
        queue.append(bytes(piece))
    else:
        queue.append(piece)


def pins_much(view: memoryview, size: int) -> bool:
    """Whether to keep `size` octets of what a view shows would keep much more alive."""
    chunk = view.obj
    ratio = _COPY_RATIO if type(chunk) is bytes else _PINNED_RATIO
    return size * ratio < chunk.__sizeof__()
