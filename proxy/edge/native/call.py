"""
A call: the path of one request from the client to the server, and of what becomes of it back.

Law: frames flow on as they come, in both directions; only a message that is judged waits. Whatever ends a call ends
it here and once: what is open is dropped, what was taken is given back, and one `Outcome` goes to the observer. The
rules (who may call, how much, how long) are those of `edge.admission`.

A call has a `ClientSide`, a `Judgement` where its method is judged, a `ServerSide` with the `Answer` that comes from
it, a `Ledger` of what it holds and a `Record` of what happened. They know it by what each needs of it, and one
another only in this order: the record and the ledger, the client's side, the server's, the judgement and the answer.
"""

import time
from typing import Final, final

from proxy.core.availability import Unanswered
from proxy.core.verdict import Verdict
from proxy.edge.admission import (
    LEAST_RATE,
    LEAST_SECONDS,
    STALLED,
    expired,
    forbidden,
    is_late,
    stalled,
    time_allowed,
)
from proxy.edge.explainer import Answer as Answered
from proxy.edge.load import Account
from proxy.edge.methods import only_for_operators
from proxy.edge.native import rpc
from proxy.edge.native.answer import Answer
from proxy.edge.native.client_side import ClientSide, too_much
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.judgement import Judgement
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.plane import Plane
from proxy.edge.native.pool import Pool
from proxy.edge.native.record import Record
from proxy.edge.native.rpc import RequestHead, response_head
from proxy.edge.native.server_side import ServerSide, block_in_time
from proxy.gate import Decision, Refuse
from proxy.wire.diagnosis import Annotated
from proxy.wire.status import Status, status_of

# A client with a deadline keeps it by itself; the proxy ends what a client forgot.
_SLACK: Final = 0.1


@final
class Call:
    """One call. A `StreamSink` of the client's stream, a `Waiter` for a connection, and `Expiring`."""

    # Defaults live in the class: most calls never set most of them.
    judgement: Judgement | None = None
    over = False
    due = 0

    def __init__(self, plane: Plane, pool: Pool, down: Connection, stream: Stream, head: RequestHead) -> None:
        self.plane = plane
        self.head = head
        self.local = pool is not plane.pool
        self.record = Record(head)
        self.ledger = Ledger(plane.load)
        self.client = ClientSide(down, stream)
        self.server = ServerSide(pool, self.client, self.ledger)

    def __repr__(self) -> str:
        return f"<Call {self.head.method} {self.client.stream!r} → {self.server.stream!r}>"

    # === the request arrives ===

    def begin(self, account: Account, *, ended: bool) -> None:
        """Take the call in, or refuse it before anything of it is read."""
        self.client.request_ended = ended
        if not self.local and not self._may_begin():
            return
        full = self.ledger.enter(account, local=self.local)
        if full is not None:
            self.refuse(full)
        elif self.head.judged and not self.local and not ended:
            self.judgement = Judgement(self)
        else:
            self.open()

    def _may_begin(self) -> bool:
        """Whether the method is allowed and there is time; else the call has been answered."""
        plane, head, record = self.plane, self.head, self.record
        plane.observer.call_started(head.method, record.outcome.grpc_type)
        reason = only_for_operators(head.method)
        if reason is not None and not self.admitted(plane.gate.of_no_model(forbidden(head.method, reason))):
            return False
        seconds = time_allowed(head.timeout, plane.limits.default_deadline)
        if seconds is None:
            return True
        if seconds <= 0:
            self.refuse(expired())
            return False
        record.deadline = record.began + seconds
        plane.deadlines.add(self, record.deadline + (0.0 if head.timeout is None else _SLACK))
        return True

    def on_data(self, _stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        client, judgement = self.client, self.judgement
        if ended:
            client.request_ended = True
        if judgement is not None and judgement.gathers:
            judgement.gather(pieces, size, ended=ended)
            return
        if self.over:
            client.consume(size)
            return
        flow = self.server.flow
        largest = self.record.received.feed(pieces, size) if pieces else 0
        objection = too_much(largest, self.head, self.plane.limits.max_message_bytes, local=self.local)
        if objection is not None:
            client.consume(size)
            self.refuse(objection)
        elif judgement is not None and flow is not None:
            judgement.flow_on(flow, pieces, size, ended=ended)
        else:
            self.pass_on(pieces, size, ended=ended)

    def on_trailers(self, _stream: Stream, block: HeaderBlock) -> None:
        # gRPC clients send none; they end the request.
        self.client.request_ended = True
        judgement, flow = self.judgement, self.server.flow
        if judgement is not None and judgement.gathers:
            judgement.end_gathering()
        elif judgement is not None and flow is not None and flow.held_back:
            judgement.end_flow(flow)
        else:
            self.server.end_with_trailers(response_head(block).block)

    # === it is admitted, and goes to the server ===

    def admitted(self, decision: Decision) -> bool:
        """Note what was decided; where it is a refusal, answer it."""
        self.record.note(decision)
        if not isinstance(decision, Refuse):
            return True
        if decision.unasked:
            self._refuse_unasked(decision, decision.unasked)
        else:
            self.refuse(decision.verdict, decision.status)
        return False

    def open(self) -> None:
        """Send the request on, from the start, on the next connection that takes a call."""
        server, judgement = self.server, self.judgement
        connection = server.pool.pick()
        if connection is not None:
            self.send(connection)
        else:
            # Once judged anew it has waited for its turn already.
            server.wait(self, first=judgement is not None and judgement.judged_after >= 0)

    def connected(self, connection: Connection) -> None:
        server, judgement = self.server, self.judgement
        server.waiting = None
        # What it was judged by may be of a server that is no more.
        stale = judgement is not None and judgement.judged_after != server.pool.arrivals
        if judgement is None or not stale or not judgement.judge_again():
            self.send(connection)

    def unreachable(self, reason: str) -> None:
        self.server.waiting = None
        self.fail(rpc.UNAVAILABLE, f"tfs-proxy: {reason}")

    def send(self, connection: Connection) -> None:
        """Begin the request on a connection that takes it."""
        record = self.record
        now = time.monotonic()
        block = block_in_time(self.head, record, now)
        if block is not None:
            record.sent_at = record.sent_at or now
            self._unless(self.server.begin(connection, Answer(self), block))
        elif record.sent_at:
            self.expire()
        else:
            self.refuse(expired())

    def pass_on(self, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Send the next octets of the request on."""
        self._unless(self.server.pass_on(pieces, size, ended=ended))

    def sent_later(self, count: int) -> None:
        """Learn that the server's connection has taken octets that had to wait."""
        self._unless(self.server.sent(count))

    def _unless(self, full: Verdict | None) -> None:
        """Go on, unless there is no room for what the call would hold."""
        if full is not None:
            self.refuse(full)

    # === the answer arrives ===

    def commit(self) -> None:
        """Learn that the server has begun to answer: the request is not sent again, and takes no room any more."""
        self._unless(self.server.commit())

    def try_again(self) -> bool:
        """Send the request once more: the server guarantees that it has not looked at it."""
        left, judgement = self.record.left(), self.judgement
        if self.over or self.client.head_sent or (left is not None and left <= 0) or not self.server.retry():
            return False
        # A server that takes no more calls may be about to be another one.
        if judgement is None or not judgement.judge_again():
            self.open()
        return True

    def leave_unread(self, count: int) -> None:
        """Learn that so many octets of the answer wait for the client to read."""
        self._unless(self.ledger.leave_unread(count))

    def on_sent(self, _stream: Stream, count: int) -> None:
        self.server.consume(count)
        self.ledger.read(count)

    # === it takes too long ===

    def is_timed(self) -> bool:
        """Whether the request is one message, so that it can be said to be late."""
        return self.head.unary or self.local

    def is_unfinished(self) -> bool:
        """Whether some of the request's first message has yet to come from the client."""
        if self.client.request_ended or self.over:
            return False
        if self.judgement is not None and self.judgement.gathers:
            return True
        flow = self.server.flow
        return not self.record.received.is_whole() if flow is None else flow.rest > 0

    def stall(self, octets: int, seconds: float) -> None:
        """Answer for a request of which only so much came in so many seconds."""
        self.plane.load.hit(STALLED)
        self.refuse(stalled(octets, seconds, LEAST_RATE))

    @property
    def unread(self) -> int:
        """Octets of the answer that wait for the client to read."""
        return self.ledger.unread

    def abandon(self) -> None:
        """End an answer that the client does not read."""
        if self.over:
            self.client.reset()
            self.ledger.read(self.ledger.unread)
        else:
            self.give_up(rpc.CANCELLED, "the client did not read the answer")

    def expire(self, before: int = 0) -> None:
        """Answer for a call whose deadline has passed; the client may have given up already."""
        server = self.server
        server.drop()
        if server.is_arriving:
            late = "the request had arrived in full"
        elif server.flow is not None and server.flow.rest > 0 and self.record.sent_at:
            late = "the server had taken the whole request"
        elif self.record.sent_at:
            late = "the server had answered"
        elif server.waiting is not None or self.plane.out_of_reach:
            late = f"a connection to {server.pool.target} was free"
        else:
            late = "the request had arrived in full"
        if not self.over:
            annotated = self.explained(rpc.DEADLINE_EXCEEDED, "Deadline Exceeded", others=before)
            self._end(rpc.DEADLINE_EXCEEDED, f"tfs-proxy: the deadline passed before {late}", annotated)

    # === it ends ===

    def on_reset(self, _stream: Stream, _code: int, _reason: str, _unprocessed: bool) -> None:
        self.server.drop()
        self.ledger.read(self.ledger.unread)
        if self.over:
            return
        record = self.record
        if is_late(time.monotonic(), record.began, record.deadline):
            self.explained(rpc.DEADLINE_EXCEEDED, "")
            self.finish(rpc.DEADLINE_EXCEEDED)
        else:
            self.finish(rpc.CANCELLED)

    def cut_off(self) -> None:
        """End the call because the proxy stops."""
        self.give_up(rpc.UNAVAILABLE, "the proxy is stopping; the call may be tried again elsewhere")

    def refuse(self, verdict: Verdict, status: Status | None = None) -> None:
        """Answer with the verdict's status; nothing of the request goes on."""
        status = status or status_of(verdict)
        outcome = self.record.outcome
        outcome.refusal, outcome.text, outcome.peer = verdict, status.text, self.client.peer
        self.server.drop()
        self._end(status.code, status.text, details=status.details)

    def _refuse_unasked(self, decision: Refuse, unasked: Unanswered) -> None:
        """Answer for a server that did not say what to judge by; where that has a cause of its own, tell that."""
        left = self.record.left()
        if left is not None and left <= LEAST_SECONDS:
            if self.plane.out_of_reach:
                self.expire()
            else:
                self.refuse(expired())
            return
        text = f"tfs-proxy: {unasked.why}"
        annotated = self.explained(unasked.code, text, of_the_way=True) if decision.never_known else None
        if annotated is None:
            self.refuse(decision.verdict, decision.status)
        else:
            self.server.drop()
            self._end(unasked.code, text, annotated)

    def give_up(self, code: int, text: str) -> None:
        """End the call with a status of the proxy's own, and what the server still does for it."""
        self.server.drop()
        self.fail(code, f"tfs-proxy: {text}")

    def fail(self, code: int, text: str, *, behind: bool = False) -> None:
        """End the call with a status of the proxy's own; `behind`: all that was sent of the answer comes first."""
        if not self.over:
            self._end(code, text, self.explained(code, text), behind=behind)

    def explained(
        self, code: int, text: str, details: bytes = b"", others: int = 0, *, of_the_way: bool = False
    ) -> Annotated | None:
        """
        Ask what the proxy knows about an error that it did not decide on.

        `others` are calls that were under way until now, beside those that still are. `of_the_way`: only what is
        known of the way to the server.
        """
        explainer = self.plane.explainer
        if explainer is None or self.local:
            return None
        record = self.record
        record.outcome.peer, record.outcome.request_bytes = self.client.peer, record.received.octets
        others += self.plane.load.calls - (self.ledger.account is not None)
        spent = record.spent(others, arriving=self.server.is_arriving)
        answered = Answered(code, text, details)
        return explainer.explain(record.outcome, answered, record.view, spent, of_the_way=of_the_way)

    def _end(
        self,
        code: int,
        text: str,
        annotated: Annotated | None = None,
        *,
        details: bytes = b"",
        behind: bool = False,
    ) -> None:
        if not self.client.end_with_status(code, text, details, annotated, behind=behind):
            self.ledger.read(self.ledger.unread)
        self.finish(code)

    def finish(self, code: int) -> None:
        """Close the books, once."""
        if self.over:
            return
        self.over = True
        server, judgement = self.server, self.judgement
        arriving = server.flow is not None and server.is_arriving
        if judgement is not None:
            judgement.stop()
            # What refers to itself waits for the garbage collector, which costs a busy proxy a tenth of its time.
            self.judgement = None
        server.leave()
        self.ledger.leave(local=self.local)
        if self.due:
            self.plane.deadlines.remove(self)
        if not self.local:
            self.plane.call_ended(self.record.close(code, arriving=arriving))

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""
