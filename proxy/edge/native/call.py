"""
The door to one call: the client's stream, the server's stream, and what stands between them.

Law: frames flow on as they come, in both directions; only a message that is judged waits. The rules (who may call,
how much, how long) are those of `edge.admission`.

Reading order: here (what arrives from the client), `judging` (what waits for the gate), `sending` (the way to the
server), `answer` (what arrives from the server), `ending`. The layers inherit from one another: that costs a call
nothing.
"""

import time
from typing import Final

from proxy.core.bounds import too_complex
from proxy.edge.admission import (
    LEAST_RATE,
    MOST_LOCAL_BYTES,
    STALLED,
    UNLIMITED,
    expired,
    forbidden,
    is_late,
    local_too_large,
    stalled,
    time_allowed,
    too_large,
)
from proxy.edge.load import Account
from proxy.edge.methods import only_for_operators
from proxy.edge.native import rpc
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.judging import Judging
from proxy.edge.native.rpc import response_head

# A client with a deadline keeps it by itself; the proxy ends what a client forgot.
_SLACK: Final = 0.1


class Call(Judging):
    """The client's half: what it sends, and what becomes of the call. A `StreamSink` of the client's stream."""

    def begin(self, account: Account, *, ended: bool) -> None:
        """Take the call in, or refuse it before anything of it is read."""
        plane = self.plane
        self.request_ended = ended
        if self.observed:
            plane.observer.call_started(self.head.method, self.outcome.grpc_type)
            reason = only_for_operators(self.head.method)
            if reason is not None and not self._admitted(
                plane.gate.of_no_model(forbidden(self.head.method, reason))
            ):
                return
            seconds = time_allowed(self.head.timeout, plane.limits.default_deadline)
            if seconds is not None:
                if seconds <= 0:
                    self.refuse(expired())
                    return
                self.deadline = self.began + seconds
                own = 0.0 if self.head.timeout is None else _SLACK
                plane.deadlines.add(self, self.deadline + own)
            full = plane.load.enter(account)
        else:
            full = plane.load.enter_local(account)
        if full is not None:
            self.refuse(full)
            return
        self.entered = account
        if self.head.judged and self.observed and not ended:
            self.pieces = []
        else:
            self.open()

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        if ended:
            self.request_ended = True
        if self.pieces is not None:
            self._collect(stream, pieces, size, ended=ended)
            return
        if self.over:
            self.down.consume(stream, size)
            return
        if self.observed:
            limit = self.plane.limits.max_message_bytes
            largest = self.received.feed(pieces, size) if pieces else 0
            if limit != UNLIMITED and largest > limit:
                self.down.consume(stream, size)
                self.refuse(too_large(largest, limit))
                return
            if largest > self.head.most:
                self.down.consume(stream, size)
                self.refuse(too_complex("bytes in a question about a model", self.head.most))
                return
        elif pieces and self.received.feed(pieces, size) > MOST_LOCAL_BYTES:
            self.down.consume(stream, size)
            self.refuse(local_too_large(MOST_LOCAL_BYTES))
            return
        if self.cut is None:
            self._pass_on(pieces, size, ended=ended)
        else:
            self._flow(self.cut, pieces, size, ended=ended)

    def on_trailers(self, _stream: Stream, block: HeaderBlock) -> None:
        # gRPC clients send none; they end the request.
        self.request_ended = True
        if self.pieces is not None:
            self._judge()
        elif self.cut is not None and self.cut.held_back:
            if self.cut.rest > 0:
                self._let_go(self.cut)
        elif self.up is not None and self.up_stream is not None:
            self.replay = None
            self.up.send_trailers(self.up_stream, response_head(block).block)

    def on_reset(self, _stream: Stream, _code: int, _reason: str, _unprocessed: bool) -> None:
        self._drop_upstream()
        self.keep_unread(-self.unread)
        if self.over:
            return
        if is_late(time.monotonic(), self.began, self.deadline):
            self.explained(rpc.DEADLINE_EXCEEDED, "")
            self.finish(rpc.DEADLINE_EXCEEDED)
        else:
            self.finish(rpc.CANCELLED)

    def on_sent(self, _stream: Stream, count: int) -> None:
        if self.up is not None and self.up_stream is not None:
            self.up.consume(self.up_stream, count)
        self.keep_unread(-min(count, self.unread))

    def is_unfinished(self) -> bool:
        """Whether some of the request's first message has yet to come from the client."""
        if self.request_ended or self.over:
            return False
        if self.pieces is not None:
            return True
        return not self.received.is_whole() if self.cut is None else self.cut.rest > 0

    def is_timed(self) -> bool:
        """Whether the request is one message, so that it can be said to be late."""
        return self.head.unary or not self.observed

    def stall(self, octets: int, seconds: float) -> None:
        """Answer for a request of which only so much came in so many seconds."""
        self.plane.load.hit(STALLED)
        self.refuse(stalled(octets, seconds, LEAST_RATE))

    def leave_unread(self) -> None:
        """End an answer that the client does not read."""
        if self.over:
            self.down.reset(self.down_stream, frames.CANCEL)
            self.keep_unread(-self.unread)
        else:
            self.give_up(rpc.CANCELLED, "the client did not read the answer")

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""
