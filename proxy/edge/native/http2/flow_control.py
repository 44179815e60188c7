"""
Flow control both ways (RFC 9113 §5.2, §6.9): what we may send, and what we let the peer send.

Law: a ledger of octets. Of what is received, each octet is at any time in one place: still in the window, held by the
application, or owed to the peer; what is owed is announced once it is half of the window. What is sent when a window
opens, and what becomes of a peer that exceeds one, is decided by others.
"""

from collections.abc import Iterable
from typing import final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.frames import FLOW_CONTROL_ERROR, LARGEST_WINDOW
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.output import Output
from proxy.edge.native.http2.stream import Stream


@final
class FlowControl:
    """
    The connection's two windows, and the rules for those of its streams, which hold their own numbers.

    What is sent and what arrives in the common case is subtracted in place, by the sender and the frame loop.
    """

    __slots__ = (
        "_connection_window",
        "_largest_frame",
        "_output",
        "_stream_window",
        "frame_size",
        "initial_window",
        "owed",
        "recv_window",
        "send_window",
        "shared",
    )

    def __init__(self, limits: Limits, output: Output) -> None:
        self._output = output
        # What we may send: on the connection, and on a stream when it begins.
        self.send_window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        # What the peer may send on the connection, and what it may but has not been told of.
        self.recv_window = limits.connection_window
        self.owed = 0
        # Octets that are held count against the connection's window too (see `Limits`).
        self.shared = limits.share_connection_window
        # Announced once a peer has shown that it sends much: fewer frames are less work for both sides.
        self.frame_size = frames.DEFAULT_FRAME_SIZE
        self._largest_frame = limits.frame_size
        self._stream_window = limits.stream_window
        self._connection_window = limits.connection_window

    def begin(self, stream_id: int) -> Stream:
        """Make a stream with whole windows."""
        return Stream(stream_id, self.initial_window, self._stream_window)

    # What the peer may send.

    def arrive(self, length: int) -> None:
        """Take a DATA frame, padding and all, out of the connection's window."""
        self.recv_window -= length

    def hold(self, stream: Stream, length: int) -> None:
        """Take a frame that arrived out of its stream's window too: from now on the application holds it."""
        stream.recv_window -= length
        stream.held += length
        if not self.shared:
            self.give_back(length)

    def consume(self, stream: Stream, count: int) -> None:
        """Let the peer send as many octets again: the application has passed them on."""
        count = min(count, stream.held)
        if not count:
            return
        stream.held -= count
        if self.shared:
            lent = stream.lent
            if lent:
                stream.lent = max(0, lent - count)
                self.give_back(count - min(lent, count))
            else:
                self.give_back(count)
        if not stream.remote_ended:
            stream.owed += count
            if stream.owed * 2 >= self._stream_window and not self._output.closed:
                self._output.put(frames.window_update(stream.id, stream.owed))
                stream.recv_window += stream.owed
                stream.owed = 0

    def lend(self, stream: Stream, count: int) -> None:
        """
        Let the peer send as many octets again on other streams, though the application still holds them.

        For what may wait long: the stream's own window still bounds it, and the others go on.
        """
        count = min(count, stream.held - stream.lent)
        if self.shared and count > 0:
            stream.lent += count
            self.give_back(count)

    def release(self, stream: Stream) -> None:
        """Count as consumed whatever a stream holds that is over."""
        if self.shared:
            self.give_back(stream.held - stream.lent)
        stream.held = stream.lent = 0

    def give_back(self, count: int) -> None:
        """Let the peer send as many octets again on the connection."""
        self.owed += count
        if self.owed * 2 >= self._connection_window and not self._output.closed:
            output = self._output
            output.put(frames.window_update(0, self.owed))
            self.recv_window += self.owed
            self.owed = 0
            if self.frame_size < self._largest_frame:
                self.frame_size = self._largest_frame
                output.put(frames.settings({frames.MAX_FRAME_SIZE: self.frame_size}))

    # What we may send.

    def widen(self, increment: int) -> None:
        """Take the peer's WINDOW_UPDATE of the connection."""
        self.send_window += increment
        if self.send_window > LARGEST_WINDOW:
            raise PeerFault(FLOW_CONTROL_ERROR, "the connection's window exceeds 2^31-1")

    @staticmethod
    def widen_stream(stream: Stream, increment: int) -> bool:
        """Take the peer's WINDOW_UPDATE of a stream; False where its window would exceed 2^31-1."""
        if stream.send_window + increment > LARGEST_WINDOW:
            return False
        stream.send_window += increment
        return True

    def change_initial_window(self, size: int, streams: Iterable[Stream]) -> bool:
        """
        Take the peer's SETTINGS_INITIAL_WINDOW_SIZE; whether it was another before.

        RFC 9113 §6.9.2: open streams move by the difference, below zero if need be.
        """
        difference = size - self.initial_window
        if not difference:
            return False
        self.initial_window = size
        for stream in streams:
            stream.send_window += difference
            if stream.send_window > LARGEST_WINDOW:
                raise PeerFault(
                    FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE takes a stream's window above 2^31-1"
                )
        return True
