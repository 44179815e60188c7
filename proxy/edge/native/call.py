"""
A call: the path of one request from the client to the server, and of what becomes of it back.

Law: frames flow on as they come, in both directions; only a message that is judged waits. The rules (who may call,
how much, how long) are those of `edge.admission`.

A call has a `Record` of what happened and a `Ledger` of what it holds, a `ClientSide` and a `ServerSide`, a
`Completion` for its end, a `Judgement` where its method is judged, and an `Answer` once the server is asked. Each knows
those before it, and of the call no more than it needs.
"""

import time
from typing import Final, final

from proxy.core.verdict import Verdict
from proxy.edge.admission import (
    CLIENT_RATE,
    LEAST_RATE,
    MODEL_CALLS,
    STALLED,
    UPSTREAM_CALLS,
    expired,
    forbidden,
    not_allowed,
    stalled,
    time_allowed,
    too_many_for_the_server,
    too_often,
)
from proxy.edge.load import Account
from proxy.edge.model_calls import ModelCalls, is_confirmed
from proxy.edge.native import rpc
from proxy.edge.native.answer import Answer
from proxy.edge.native.client_side import ClientSide, too_much
from proxy.edge.native.completion import Completion
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
from proxy.edge.rates import Rates, client_identity
from proxy.gate import Decision, Refuse

# A client with a deadline keeps it by itself; the proxy ends what a client forgot.
_SLACK: Final = 0.1


@final
class Call:
    """One call. A `StreamSink` of the client's stream, and a `Waiter` for a connection."""

    judgement: Judgement | None = None
    # The model whose calls it counts among.
    _model = ""
    # Whether the server was let have it, where there is a limit.
    _is_let = False

    def __init__(self, plane: Plane, pool: Pool, down: Connection, stream: Stream, head: RequestHead) -> None:
        self.plane = plane
        self.head = head
        self.local = pool is not plane.pool
        self.record = Record(head)
        self.ledger = Ledger(plane.load)
        self.client = ClientSide(down, stream)
        self.server = ServerSide(pool, self.client, self.ledger)
        self.completion = Completion(
            self, plane, self.record, self.ledger, self.client, self.server, local=self.local
        )

    def __repr__(self) -> str:
        return f"<Call {self.head.method} {self.client.stream!r} → {self.server.stream!r}>"

    # === the request arrives ===

    def begin(self, account: Account, *, ended: bool) -> None:
        """Take the call in, or refuse it before anything of it is read."""
        self.client.request_ended = ended
        if not self.local and not self._may_begin():
            return
        rates = self.plane.rates
        if rates is not None and not self.local and self._is_too_often(rates, account):
            return
        full = self.ledger.enter(account, local=self.local)
        if full is not None:
            self.completion.refuse(full)
        elif self.head.judged and not self.local and not ended:
            self.judgement = Judgement(self)
        else:
            self.open()

    def turn_away(self, verdict: Verdict, identity: str) -> None:
        """Refuse a client that may not call, before anything of the request is read."""
        outcome = self.record.outcome
        outcome.identity = identity
        self.plane.observer.call_started(self.head.method, outcome.grpc_type)
        self.completion.refuse(verdict)

    def _may_begin(self) -> bool:
        """Whether the method is allowed and there is time; else the call has been answered."""
        plane, head, record = self.plane, self.head, self.record
        self.tell_started()
        if plane.allowed is not None and not plane.allowed.has(head.method):
            self.completion.refuse(not_allowed(head.method))
            return False
        reason = head.reserved
        if reason is not None and not self.admitted(plane.gate.of_no_model(forbidden(head.method, reason))):
            return False
        seconds = time_allowed(head.timeout, plane.limits.default_deadline)
        if seconds is None:
            return True
        if seconds <= 0:
            self.completion.refuse(expired())
            return False
        record.deadline = record.began + seconds
        plane.deadlines.add(self.completion, record.deadline + (0.0 if head.timeout is None else _SLACK))
        return True

    def _is_too_often(self, rates: Rates, account: Account) -> bool:
        """Whether the client has called too often; then the call has been answered."""
        wait = rates.take(client_identity(self.record.outcome, account), self.record.began)
        if wait:
            self.plane.load.hit(CLIENT_RATE)
            self.completion.refuse(too_often(rates.rate, wait))
        return wait > 0

    def tell_started(self) -> None:
        """Let those know who hear of arrivals."""
        plane, record = self.plane, self.record
        plane.observer.call_started(self.head.method, record.outcome.grpc_type)
        if plane.tracer is not None:
            record.begin_trace(plane.tracer)

    def on_data(self, _stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        client, judgement = self.client, self.judgement
        if ended:
            client.request_ended = True
        if judgement is not None and judgement.gathers:
            judgement.gather(pieces, size, ended=ended)
            return
        if self.completion.over:
            client.consume(size)
            return
        flow = self.server.flow
        largest = self.record.received.feed(pieces, size) if pieces else 0
        objection = too_much(largest, self.head, self.plane.limits.max_message_bytes, local=self.local)
        if objection is not None:
            client.consume(size)
            self.completion.refuse(objection)
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
        record = self.record
        record.note(decision)
        if record.outcome.warnings or record.outcome.would_refuse:
            # As long as the client is there to be asked who it is.
            self.completion.identify()
        if isinstance(decision, Refuse):
            self.completion.refuse_as_decided(decision)
            return False
        models = self.plane.model_calls
        return models is None or self._is_in_number(models, decision)

    def _is_in_number(self, models: ModelCalls, decision: Decision) -> bool:
        """Whether its model may have one more call; else the call has been answered."""
        verdict = decision.verdict
        if self._model or verdict is None or not is_confirmed(verdict):
            return True
        full = models.enter(verdict)
        if full is not None:
            self.plane.load.hit(MODEL_CALLS)
            self.completion.refuse(full)
            return False
        self._model = verdict.model or ""
        return True

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
        self.completion.fail(rpc.UNAVAILABLE, f"tfs-proxy: {reason}")

    def send(self, connection: Connection) -> None:
        """Begin the request on a connection that takes it."""
        record = self.record
        now = time.monotonic()
        block = block_in_time(self.head, record, now)
        if block is not None:
            adaptive = self.plane.adaptive
            if adaptive is not None and not self._is_let and not self.local:
                if not adaptive.enter():
                    self.plane.load.hit(UPSTREAM_CALLS)
                    self.completion.refuse(too_many_for_the_server(adaptive.limit))
                    return
                self._is_let = True
            record.sent_at = record.sent_at or now
            if record.outcome.trace is not None:
                block += rpc.trace_fields(record.outcome.trace.forwarded())
            full = self.server.begin(connection, Answer(self), block)
            if full is not None:
                self.completion.refuse(full)
        elif record.sent_at:
            self.completion.expire()
        else:
            self.completion.refuse(expired())

    def pass_on(self, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Send the next octets of the request on."""
        full = self.server.pass_on(pieces, size, ended=ended)
        if full is not None:
            self.completion.refuse(full)

    # === the answer arrives ===

    def try_again(self) -> bool:
        """Send the request once more: the server guarantees that it has not looked at it."""
        left, judgement = self.record.left(), self.judgement
        if (
            self.completion.over
            or self.client.head_sent
            or (left is not None and left <= 0)
            or not self.server.retry()
        ):
            return False
        # A server that takes no more calls may be about to be another one.
        if judgement is None or not judgement.judge_again():
            self.open()
        return True

    def on_sent(self, _stream: Stream, count: int) -> None:
        self.server.consume(count)
        self.ledger.read(count)

    # === it takes too long, or ends ===

    def is_timed(self) -> bool:
        """Whether the request is one message, so that it can be said to be late."""
        return self.head.unary or self.local

    def is_unfinished(self) -> bool:
        """Whether some of the request's first message has yet to come from the client."""
        if self.client.request_ended or self.completion.over:
            return False
        if self.judgement is not None and self.judgement.gathers:
            return True
        flow = self.server.flow
        return not self.record.received.is_whole() if flow is None else flow.rest > 0

    def stall(self, octets: int, seconds: float) -> None:
        """Answer for a request of which only so much came in so many seconds."""
        self.plane.load.hit(STALLED)
        self.completion.refuse(stalled(octets, seconds, LEAST_RATE))

    @property
    def unread(self) -> int:
        """Octets of the answer that wait for the client to read."""
        return self.ledger.unread

    def abandon(self) -> None:
        """End an answer that the client does not read."""
        self.completion.client_does_not_read()

    def cut_off(self, because: str) -> None:
        """End the call because of what becomes of its connection."""
        self.completion.give_up(rpc.UNAVAILABLE, f"{because}; the call may be tried again")

    def on_reset(self, _stream: Stream, _code: int, _reason: str, _unprocessed: bool) -> None:
        self.completion.client_reset()

    def completed(self, code: int) -> None:
        """Learn that the call is over, and how: nothing is waited for any more."""
        if self.judgement is not None:
            self.judgement.stop()
            # It must not keep the call, nor be kept by it.
            self.judgement = None
        if self._model and self.plane.model_calls is not None:
            self.plane.model_calls.leave(self._model)
        if self._is_let and self.plane.adaptive is not None:
            record = self.record
            ended_by = code if record.outcome.refusal is None else None
            self.plane.adaptive.leave(record.sent_at, time.monotonic(), ended_by)

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""
