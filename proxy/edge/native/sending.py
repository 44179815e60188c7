"""
A call's way to the server: a stream on a connection of the pool, and the request on it.

Law: everything is passed on as it came, the deadline as what is left of it. What was sent is kept, within a bound,
until the server has begun to answer: a stream that the server guarantees not to have looked at is opened again.
"""

import time
from typing import Final

from proxy.edge.admission import LEAST_SECONDS, expired
from proxy.edge.native import rpc
from proxy.edge.native.answer import Answer
from proxy.edge.native.ending import Ending
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.stream import Buffer, keep_all

_ATTEMPTS: Final = 3
# What is kept of a request that is relayed, in case the server refuses the stream without looking at it.
_REPLAY_OCTETS: Final = 64 << 10
# Within this time of its arrival a deadline is passed on as the client wrote it.
_FRESH: Final = 0.001


class Sending(Ending):
    """The way to the server; see `call` for the whole. Someone `Wanting` a connection."""

    def open(self) -> None:
        """Send the request on, from the start."""
        connection = self.pool.pick()
        if connection is None:
            self.waiting = self
            # Once judged anew it has waited for its turn already.
            self.pool.wait(self, first=self.judged_after >= 0)
        else:
            self.send(connection)

    def connected(self, connection: Connection) -> None:
        self.waiting = None
        # What it was judged by may be of a server that is no more.
        if self.judged_after == self.pool.arrivals or not self.judge_again():
            self.send(connection)

    def judge_again(self) -> bool:
        """Judge anew what was judged, and open it again if it is admitted; False: it was not judged."""
        return False

    def send(self, connection: Connection) -> None:
        """Begin the request on a connection that takes it."""
        self.attempts += 1
        now = time.monotonic()
        head = self.head
        deadline = self.deadline
        if deadline is None or (head.timeout is not None and now - self.began < _FRESH and now < deadline):
            block = head.timed_block
        elif deadline - now <= LEAST_SECONDS:
            if self.sent_at:
                self.expire()
            else:
                self.refuse(expired())
            return
        else:
            block = head.block + rpc.timeout_field(rpc.format_timeout(deadline - now))
        if not self.sent_at:
            self.sent_at = now
        pieces = self.replay or []
        ended = self.request_ended and not (self.cut is not None and self.cut.held_back)
        self.up = connection
        self.up_stream = stream = connection.open(Answer(self), block, end=ended and not pieces)
        if pieces:
            # What is replayed may grow while it waits to be written: such a piece is sent as a copy.
            sent = [bytes(piece) if type(piece) is bytearray else piece for piece in pieces]
            size = sum(map(len, sent))
            gone = connection.send_data(stream, sent, size, ended)
            if size - gone != self.unsent:
                self.unsent = size - gone
            self.passed(gone)
            if not self.held:
                self.book()

    def unreachable(self, reason: str) -> None:
        self.waiting = None
        self.fail(rpc.UNAVAILABLE, f"tfs-proxy: {reason}")

    def _pass_on(self, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        replay = self.replay
        if replay is not None:
            self.size += size
            if self.size > _REPLAY_OCTETS and self.up_stream is not None:
                self.replay = None
            else:
                keep_all(replay, pieces, size)
        if self.up is not None and self.up_stream is not None and (size or ended):
            gone = self.up.send_data(self.up_stream, pieces, size, ended)
            if gone != size:
                self.unsent += size - gone
            self.passed(gone)
        if self.cut is None:
            self.book()

    def passed(self, count: int) -> None:
        """Learn that the server's connection has taken octets: the client may send as many again."""
        flow = self.cut
        if flow is not None:
            count = flow.passed(count)
            if self.replay is None and self.entered is not None:
                given = min(self.held, flow.sent)
                self.plane.load.give_back(self.entered, given)
                self.held -= given
                flow.sent = 0
        if self.down_stream.held:
            self.down.consume(self.down_stream, count)

    def try_again(self) -> bool:
        """Send the request once more: the server guarantees that it has not looked at it."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        if self.over or self.head_sent or self.replay is None or self.attempts >= _ATTEMPTS or late:
            return False
        self.up = self.up_stream = None
        if self.cut is not None:
            self.cut.again()
        # A server that takes no more calls may be about to be another one.
        if not self.judge_again():
            self.open()
        return True
