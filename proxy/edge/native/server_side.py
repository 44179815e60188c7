"""
A call's server side: a stream on a connection of the pool, and what is kept of the request to open it again.

Law: everything is passed on as it came, the deadline as what is left of it. What was sent is kept, within a bound,
until the call is committed (the server has begun to answer): a stream that the server guarantees not to have looked
at is opened again. What waits here is held by the ledger, and what is gone the client may send again. Knows nothing
of the gate, nor what becomes of a call for which there is no room.
"""

from typing import Final, final

from proxy.core.verdict import Verdict
from proxy.edge.admission import LEAST_SECONDS
from proxy.edge.native import rpc
from proxy.edge.native.client_side import ClientSide
from proxy.edge.native.cut_through import CutThrough
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.stream import Buffer, Stream, StreamSink, keep_all
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.pool import Pool
from proxy.edge.native.queue import Waiter
from proxy.edge.native.record import Record
from proxy.edge.native.rpc import RequestHead

_ATTEMPTS: Final = 3
# What is kept of a request that is relayed, in case the server refuses the stream without looking at it.
_KEPT: Final = 64 << 10
# Within this time of its arrival a deadline is passed on as the client wrote it.
_FRESH: Final = 0.001


@final
class ServerSide:
    """The server's stream, once there is one, and the request that is sent on it."""

    # Defaults live in the class: most calls never set most of them.
    connection: Connection | None = None
    stream: Stream | None = None
    flow: CutThrough | None = None
    """What may pass of a message that is judged, where it flows on while the rest of it arrives."""
    size = 0
    """Octets of the request so far, as long as it is kept."""
    # Octets that wait for the server to take them.
    _unsent = 0
    _attempts = 0

    def __init__(self, pool: Pool, client: ClientSide, ledger: Ledger) -> None:
        self.pool = pool
        self._client = client
        self._ledger = ledger
        # The request so far; None: committed, it will not be sent again.
        self.kept: list[Buffer] | None = []
        # Who is in the pool's queue for a connection: the call, or nobody.
        self.waiting: Waiter | None = None

    @property
    def is_arriving(self) -> bool:
        """Whether a message flows and it is the client's turn."""
        flow = self.flow
        if flow is None or flow.rest <= 0 or self.waiting is not None:
            return False
        return self.stream is None or not self.stream.queue

    def wait(self, waiter: Waiter, *, first: bool) -> None:
        """Have the call told when the pool has a connection."""
        self.waiting = waiter
        self.pool.wait(waiter, first=first)

    def begin(self, connection: Connection, sink: StreamSink, block: bytes) -> Verdict | None:
        """Open the stream and send what there is of the request; or say why there is no room for it."""
        pieces, flow = self.kept, self.flow
        ended = self._client.request_ended and not (flow is not None and flow.held_back)
        self._attempts += 1
        self.connection = connection
        self.stream = stream = connection.open(sink, block, end=ended and not pieces)
        if not pieces:
            return None
        size = self.size
        if len(pieces) > 1 or type(pieces[0]) is bytearray:
            # What is kept may grow while it waits to be written: such a piece is sent as a copy.
            pieces = [bytes(piece) if type(piece) is bytearray else piece for piece in pieces]
        gone = connection.send_data(stream, pieces, size, ended)
        if size - gone != self._unsent:
            self._unsent = size - gone
        self._taken(gone)
        return None if self._ledger.held else self._book()

    def pass_on(self, pieces: list[Buffer], size: int, *, ended: bool) -> Verdict | None:
        """Send the next octets, or keep them until there is a stream; or say why there is no room for them."""
        kept, stream = self.kept, self.stream
        if kept is not None:
            self.size += size
            if self.size > _KEPT and stream is not None:
                self.kept = None
            else:
                keep_all(kept, pieces, size)
        if self.connection is not None and stream is not None and (size or ended):
            gone = self.connection.send_data(stream, pieces, size, ended)
            if gone != size:
                self._unsent += size - gone
            self._taken(gone)
        return self._book() if self.flow is None else None

    def sent(self, count: int) -> Verdict | None:
        """Learn that octets went that had to wait; or say why there is no room for what waits still."""
        self._unsent -= count
        self._taken(count)
        return self._book() if self.flow is None else None

    def _taken(self, count: int) -> None:
        """The server's connection has taken octets: the client may send as many again."""
        flow = self.flow
        if flow is not None:
            count = flow.passed(count)
            if self.kept is None:
                self._ledger.give_back(min(self._ledger.held, flow.sent))
                flow.sent = 0
        if self._client.stream.held:
            self._client.consume(count)

    def _book(self) -> Verdict | None:
        """Hold what is kept of a request that is relayed: it waits for the server, or may be sent again."""
        if self.kept is None:
            return self._ledger.settle(self._unsent, shrinks=True)
        # What is kept does not become less; the rest of what is held is its plain text, for as long as it takes.
        return self._ledger.settle(max(self.size - rpc.PREFIX, 0), shrinks=False)

    def commit(self) -> Verdict | None:
        """Learn that the server has begun to answer: the request is not sent again, and need not be held."""
        self.kept = None
        if self._ledger.held:
            self._ledger.release()
            if self.flow is not None:
                self.flow.sent = 0
        return self._book() if self._unsent else None

    def end_with_trailers(self, block: bytes) -> None:
        """End the request with trailers, which no client of gRPC sends: it cannot be sent again."""
        if self.connection is not None and self.stream is not None:
            self.kept = None
            self.connection.send_trailers(self.stream, block)

    def consume(self, count: int) -> None:
        """Let the server send as many octets again."""
        if self.connection is not None and self.stream is not None:
            self.connection.consume(self.stream, count)

    def retry(self) -> bool:
        """Forget a stream that the server has not looked at; whether another may be opened."""
        if self.kept is None or self._attempts >= _ATTEMPTS:
            return False
        self.connection = self.stream = None
        if self.flow is not None:
            self.flow.again()
        return True

    def drop(self) -> None:
        """Have the server do no more."""
        if self.connection is not None and self.stream is not None:
            self.connection.reset(self.stream, frames.CANCEL, id(self._client.connection))

    def leave(self) -> None:
        """The call is over."""
        self.kept = self.flow = None
        if self.waiting is not None:
            self.pool.forget(self.waiting)
            self.waiting = None
        if self.connection is not None:
            self.pool.freed(self.connection)
            # What refers to itself waits for the garbage collector, which costs a busy proxy a tenth of its time.
            self.connection = self.stream = None


def block_in_time(head: RequestHead, record: Record, now: float) -> bytes | None:
    """The head that the server gets, with the time that is left; None: there is none."""
    deadline = record.deadline
    if deadline is None or (head.timeout is not None and now - record.began < _FRESH and now < deadline):
        return head.timed_block
    left = deadline - now
    if left <= LEAST_SECONDS:
        return None
    return head.block + rpc.timeout_field(rpc.format_timeout(left))
