"""
One call: the client's stream, the server's stream, and what stands between them.

Law: frames flow on as they come, in both directions; only a message that is judged waits: a long one until its
headers have been seen (`cut`), any other until it is whole. The rules (who may call, how much, how long) are those of `edge.admission`; the words are those of `wire.status`.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from proxy.core.types import ModelKey, RequestView
from proxy.core.verdict import Verdict
from proxy.diagnosis.transport import Spent
from proxy.edge.admission import LEAST_SECONDS, UNLIMITED, expired, forbidden, is_late, time_allowed
from proxy.edge.explainer import Answer as Answered
from proxy.edge.metadata import warnings
from proxy.edge.methods import changes_state
from proxy.edge.native import rpc
from proxy.edge.native.cut import LEAST, Cut, divide
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream, keep_all
from proxy.edge.native.rpc import PREFIX, Messages, RequestHead, ResponseHead, response_head
from proxy.edge.native.served import ServedVersion, keep_answer, message_in
from proxy.gate import PREDICT, Decision, Refuse
from proxy.observe.outcome import Outcome
from proxy.wire.diagnosis import Annotated
from proxy.wire.pieces import Pieces
from proxy.wire.push import PushScanner
from proxy.wire.status import Status, status_of

if TYPE_CHECKING:
    from proxy.edge.native.plane import Plane
    from proxy.edge.native.upstream import Pool

_ATTEMPTS: Final = 3
# What is kept of a request that is relayed, in case the server refuses the stream without looking at it.
_REPLAY_OCTETS: Final = 64 << 10
# Within this time of its arrival a deadline is passed on as the client wrote it.
_FRESH: Final = 0.001
# A client with a deadline keeps it by itself; the proxy ends what a client forgot.
_SLACK: Final = 0.1
_LARGEST_JUDGED: Final = 2**31 - 1


class Call:
    """The client's half: what it sends, and what becomes of the call. A `StreamSink` of the client's stream."""

    # Defaults live in the class: most calls never set most of them.
    up: Connection | None = None
    up_stream: Stream | None = None
    deadline: float | None = None
    due = 0
    # The message being collected for judgement, with the octets it will have and has.
    pieces: list[Buffer] | None = None
    need = 0
    size = 0
    # What reads a long one while it arrives, and what it is once it flows.
    scanner: PushScanner | None = None
    cut: Cut | None = None
    # What the request has taken of the load.
    held = 0
    attempts = 0
    entered = False
    request_ended = False
    head_sent = False
    over = False
    waiting = False
    sent_at = 0.0
    trailing = b""
    # What the gate read of the request; None: it was not judged.
    request: RequestView | None = None
    # The key that did not name a version, with the version it was judged against.
    key: ModelKey | None = None
    version: int | None = None
    task: asyncio.Task[None] | None = None

    def __init__(
        self, plane: "Plane", pool: "Pool", down: Connection, stream: Stream, head: RequestHead
    ) -> None:
        self.plane = plane
        self.pool = pool
        self.down = down
        self.down_stream = stream
        self.head = head
        self.began = time.monotonic()
        self.observed = pool is plane.pool
        self.outcome = Outcome(head.method, "unary" if head.unary else "bidi_stream")
        self.received = Messages()
        self.answer = Answer(self)
        # The request so far, as long as it could be sent again.
        self.replay: list[Buffer] | None = []

    def __repr__(self) -> str:
        return f"<Call {self.head.method} {self.down_stream!r} → {self.up_stream!r}>"

    # Arrival.

    def begin(self, *, ended: bool) -> None:
        """Take the call in, or refuse it before anything of it is read."""
        plane = self.plane
        self.request_ended = ended
        if self.observed:
            plane.observer.call_started(self.head.method, self.outcome.grpc_type)
            if changes_state(self.head.method) and not plane.limits.allow_admin_methods:
                self.refuse(forbidden(self.head.method))
                return
            seconds = time_allowed(self.head.timeout, plane.limits.default_deadline)
            if seconds is not None:
                if seconds <= 0:
                    self.refuse(expired())
                    return
                self.deadline = self.began + seconds
                own = 0.0 if self.head.timeout is None else _SLACK
                plane.deadlines.add(self, self.deadline + own)
            full = plane.load.enter()
            if full is not None:
                self.refuse(full)
                return
            self.entered = True
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
            largest = self.received.feed(pieces, size)
            if limit != UNLIMITED and largest > limit:
                self.down.consume(stream, size)
                full = self.plane.load.take(largest)
                if full is not None:
                    self.refuse(full)
                    return
                self.plane.load.give_back(largest)
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

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""

    # Judgement.

    def _collect(self, stream: Stream, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """
        Gather the message, within what the proxy may hold.

        A message that cannot fit is refused at its first octets; what fits takes room as it arrives and not for
        what it announces, or a few octets could claim all the room there is.
        """
        collected = self.pieces
        assert collected is not None
        self.down.consume(stream, size)
        self.size += size
        if ended and not collected:
            self.pieces = collected = pieces
        else:
            keep_all(collected, pieces, size)
        if not self.need and self.size >= PREFIX:
            start = collected[0] if len(collected[0]) >= PREFIX else b"".join(collected)
            self.need = PREFIX + int.from_bytes(start[1:PREFIX], "big")
            if self.size < self.need:
                if not self._hold(self.need - PREFIX):
                    return
                self.release()
                if self.need >= LEAST and self.head.method == PREDICT and not start[0] & 1:
                    self.scanner = PushScanner(self.need - PREFIX)
                    _, pieces = divide(collected, PREFIX)
        if self.need and not self._hold(min(self.size, self.need) - PREFIX - self.held):
            return
        if ended or (self.need and self.size >= self.need):
            self.scanner = None
            self._judge()
        elif self.scanner is not None:
            self._look(self.scanner, pieces)

    def _hold(self, count: int) -> bool:
        """Take room for so many more octets, or refuse the call."""
        full = self.plane.load.take(count)
        if full is not None:
            self.pieces = self.cut = None
            self.refuse(full)
            return False
        self.held += count
        return True

    def _judge(self) -> None:
        pieces = self.pieces
        assert pieces is not None
        self.pieces = None
        self.replay = pieces
        if self.size == self.need:
            self.received.count, self.received.octets = 1, self.held
        else:
            self.received.feed(pieces, self.size)
        if not self.need or self.size < self.need:
            # Not a whole message: the server says so in its own words.
            self.open()
            return
        message = _message_in(pieces, self.need - PREFIX)
        if pieces[0][0] & 1:
            limit = self.plane.limits.max_message_bytes
            limit = _LARGEST_JUDGED if limit == UNLIMITED else limit
            plain = rpc.inflate(bytes(message), self.head.encoding, limit)
            if plain is None:
                self.outcome.judge_failed = True
                self.open()
                return
            message = plain
        decision = self.plane.gate.judge_now(self.head.method, message)
        if decision is None:
            self.task = self.plane.spawn(self._judge_later(bytes(message)))
        else:
            self._decided(decision)

    def _look(self, scanner: PushScanner, arrived: list[Buffer]) -> None:
        """Read on in a message that arrives; let it flow once the gate admits what is known of it."""
        worth_judging = scanner.feed(*arrived)
        if scanner.gave_up:
            self.scanner = None
        if not worth_judging:
            return
        connection = self.pool.pick()
        decision = None if connection is None else self.plane.gate.judge_view_now(scanner.view)
        if connection is not None and decision is not None:
            pieces = self.pieces
            assert pieces is not None
            self.scanner = self.pieces = None
            self.replay = pieces
            self.received.feed(pieces, self.size)
            self.cut = Cut(scanner, self.size)
            if self._admitted(decision):
                self.connected(connection)
        elif connection is None or not scanner.tail:
            # It cannot flow; or all has been seen that there is, and the gate has to wait or needs the values.
            self.scanner = None

    def _flow(self, flow: Cut, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Pass on the next pieces of a message that flows, but for its tail."""
        if not self._hold(size):
            return
        # A server that takes one call later than another must not stop the client's other calls.
        self.down.lend(self.down_stream, size)
        was_whole = flow.rest <= 0
        free = flow.take(pieces, size)
        if free or not size:
            passing = size if free is pieces else sum(map(len, free))
            self._pass_on(free, passing, ended=ended and not flow.held_back)
        if flow.rest <= 0 and not was_whole:
            # Until here the time was the client's.
            self.sent_at = self.sent_at and time.monotonic()
            if flow.scanner is not None:
                self._judge_tail(flow.scanner)
        elif ended and flow.rest > 0 and flow.held_back:
            # Not a whole message: the server says so in its own words.
            self._let_go(flow)

    def _judge_tail(self, scanner: PushScanner) -> None:
        """Judge again, now that all has been seen and before the server gets the last of it."""
        decision = self.plane.gate.judge_view_now(scanner.view)
        if decision is None:
            self.task = self.plane.spawn(self._judge_tail_later(scanner))
        else:
            self._tail_decided(decision)

    async def _judge_tail_later(self, scanner: PushScanner) -> None:
        remaining = None if self.deadline is None else self.deadline - time.monotonic()
        decision = await self.plane.gate.judge_view(scanner.view, remaining)
        self.task = None
        if not self.over:
            self._tail_decided(decision)
        self.plane.flush()

    def _tail_decided(self, decision: Decision) -> None:
        if self._admitted(decision) and self.cut is not None:
            self._let_go(self.cut)

    def _let_go(self, flow: Cut) -> None:
        pieces = flow.let_go()
        self._pass_on(pieces, sum(map(len, pieces)), ended=self.request_ended)

    async def _judge_later(self, message: bytes) -> None:
        remaining = None if self.deadline is None else self.deadline - time.monotonic()
        decision = await self.plane.gate.judge(self.head.method, message, remaining)
        self.task = None
        if not self.over:
            self._decided(decision)
        self.plane.flush()

    def _decided(self, decision: Decision) -> None:
        if self._admitted(decision):
            self.open()

    def _admitted(self, decision: Decision) -> bool:
        """Note what was decided; answer a refusal."""
        outcome = self.outcome
        self.request = decision.view
        verdict = decision.verdict
        if verdict is not None:
            key = decision.view.key if decision.view is not None else None
            if key is not None and key.version is None:
                self.key, self.version = key, verdict.version
            outcome.model, outcome.version, outcome.signature = (
                verdict.model,
                verdict.version,
                verdict.signature,
            )
        outcome.value_seconds = decision.value_seconds
        if isinstance(decision, Refuse):
            outcome.request = decision.view
            self.refuse(decision.verdict, decision.status)
            return False
        outcome.batch_size = decision.batch_size
        outcome.would_refuse = decision.would_refuse
        outcome.sample, outcome.watched = decision.sample, decision.watched
        outcome.judge_failed = decision.failed
        if verdict is not None and verdict.warnings:
            outcome.warnings = verdict.warnings
            self.trailing = rpc.encode_metadata(warnings(verdict.warnings))
        return True

    # To the server.

    def open(self) -> None:
        """Send the request on, from the start."""
        connection = self.pool.pick()
        if connection is None:
            self.waiting = True
            self.pool.wait(self)
        else:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        self.waiting = False
        self.attempts += 1
        now = time.monotonic()
        if not self.sent_at:
            self.sent_at = now
        head = self.head
        deadline = self.deadline
        if deadline is None or (head.timeout is not None and now - self.began < _FRESH):
            block = head.timed_block
        elif deadline - now <= LEAST_SECONDS:
            self.expire()
            return
        else:
            block = head.block + rpc.timeout_field(rpc.format_timeout(deadline - now))
        pieces = self.replay or []
        ended = self.request_ended and not (self.cut is not None and self.cut.held_back)
        self.up = connection
        self.up_stream = stream = connection.open(self.answer, block, end=ended and not pieces)
        # What is replayed may grow while it waits to be written: such a piece is sent as a copy.
        sent = [bytes(piece) if type(piece) is bytearray else piece for piece in pieces]
        self.passed(connection.send_data(stream, sent, sum(map(len, sent)), ended))

    def unreachable(self, reason: str) -> None:
        self.waiting = False
        self.fail(rpc.UNAVAILABLE, f"tfs-proxy: {reason}")

    def _pass_on(self, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        replay = self.replay
        if replay is not None:
            self.size += size
            if self.size > _REPLAY_OCTETS and self.up_stream is not None:
                self.replay = None
            else:
                keep_all(replay, pieces, size)
        if self.up is not None and self.up_stream is not None:
            self.passed(self.up.send_data(self.up_stream, pieces, size, ended))

    def passed(self, count: int) -> None:
        """Learn that the server's connection has taken octets: the client may send as many again."""
        flow = self.cut
        if flow is not None:
            count = flow.passed(count)
            if self.replay is None:
                given = min(self.held, flow.sent)
                self.plane.load.give_back(given)
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
        self.open()
        return True

    def _drop_upstream(self) -> None:
        if self.up is not None and self.up_stream is not None:
            self.up.reset(self.up_stream, frames.CANCEL)

    # The end.

    def expire(self, before: int = 0) -> None:
        """Answer for a call whose deadline has passed; the client may have given up already."""
        self._drop_upstream()
        if self._is_arriving():
            text = "tfs-proxy: the deadline passed before the request had arrived in full"
        elif self.cut is not None and self.cut.rest > 0 and self.sent_at:
            text = "tfs-proxy: the deadline passed before the server had taken the whole request"
        elif self.sent_at:
            text = "tfs-proxy: the deadline passed before the server had answered"
        elif self.waiting:
            text = f"tfs-proxy: the deadline passed before a connection to {self.pool.target} was free"
        else:
            text = "tfs-proxy: the deadline passed before the request had arrived in full"
        if not self.over:
            annotated = self.explained(rpc.DEADLINE_EXCEEDED, "Deadline Exceeded", others=before)
            self._answer_status(rpc.DEADLINE_EXCEEDED, text, annotated=annotated)

    def _is_arriving(self) -> bool:
        """Whether a message flows and it is the client's turn."""
        if self.cut is None or self.cut.rest <= 0 or self.waiting:
            return False
        return self.up_stream is None or not self.up_stream.queue

    def cut_off(self) -> None:
        """End the call because the proxy stops."""
        self._drop_upstream()
        self.fail(rpc.UNAVAILABLE, "tfs-proxy: the proxy is stopping; the call may be tried again elsewhere")

    def refuse(self, verdict: Verdict, status: Status | None = None) -> None:
        """Answer with the verdict's status; nothing of the request goes on."""
        status = status or status_of(verdict)
        outcome = self.outcome
        outcome.refusal, outcome.text, outcome.peer = verdict, status.text, self.plane.peer_of(self.down)
        self._drop_upstream()
        self._answer_status(status.code, status.text, status.details)

    def fail(self, code: int, text: str) -> None:
        """End the call with a status of the proxy's own."""
        if not self.over:
            self._answer_status(code, text, annotated=self.explained(code, text))

    def explained(self, code: int, text: str, details: bytes = b"", others: int = 0) -> Annotated | None:
        """
        Ask what the proxy knows about an error that it did not decide on.

        `others` are calls that were under way until now, beside those that still are.
        """
        explainer = self.plane.explainer
        if explainer is None or not self.observed:
            return None
        outcome = self.outcome
        outcome.peer, outcome.request_bytes = self.plane.peer_of(self.down), self.received.octets
        now = time.monotonic()
        others += self.plane.load.calls - self.entered
        if self.sent_at and not self._is_arriving():
            spent = Spent(self.sent_at - self.began, now - self.sent_at, others)
        else:
            spent = Spent(now - self.began, None, others)
        return explainer.explain(outcome, Answered(code, text, details), self.request, spent)

    def _answer_status(
        self, code: int, text: str, details: bytes = b"", annotated: Annotated | None = None
    ) -> None:
        text = text if annotated is None else annotated.text
        block = rpc.status_block(code, text, details, alone=not self.head_sent)
        if annotated is not None:
            block += rpc.diagnosis_fields(annotated)
        if not self.head_sent:
            self.down.send_head(self.down_stream, block, end=True)
        elif self.down_stream.queue:
            # The client does not take what it was sent already: it would wait for the status too.
            self.down.reset(self.down_stream, frames.CANCEL)
        else:
            self.down.send_trailers(self.down_stream, block)
        self.finish(code)

    def finish(self, code: int) -> None:
        """Close the books, once."""
        if self.over:
            return
        self.over = True
        arriving = self._is_arriving()
        self.pieces = self.replay = self.scanner = self.cut = None
        if self.waiting:
            self.waiting = False
            self.pool.forget(self)
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.up is not None:
            self.pool.freed(self.up)
        if not self.observed:
            return
        plane = self.plane
        if self.due:
            plane.deadlines.remove(self)
        if self.held:
            self.release()
        if self.entered:
            plane.load.leave()
        now = time.monotonic()
        outcome = self.outcome
        outcome.code = code
        outcome.seconds = now - self.began
        if self.sent_at and not arriving:
            outcome.upstream_seconds = now - self.sent_at
        received, sent = self.received, self.answer.messages
        outcome.messages_received, outcome.request_bytes = received.count, received.octets
        outcome.messages_sent, outcome.response_bytes = sent.count, sent.octets
        if outcome.watched is not None:
            outcome.answer = message_in(outcome.answer)
        plane.observer.call_ended(outcome)

    def release(self) -> None:
        """Give back the room that the request took."""
        if self.held:
            self.plane.load.give_back(self.held)
            self.held = 0
        if self.cut is not None:
            self.cut.sent = 0


def _message_in(pieces: list[Buffer], size: int) -> bytes | Pieces:
    """The first message, of `size` octets: short ones as they are, long ones without a copy."""
    if len(pieces) == 1:
        return bytes(pieces[0][PREFIX : PREFIX + size])
    if len(pieces[0]) < PREFIX:
        return b"".join(pieces)[PREFIX : PREFIX + size]
    return Pieces(pieces, PREFIX, size)


class Answer:
    """The server's half of a call. A `StreamSink` of the server's stream."""

    __slots__ = ("call", "messages", "served")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.messages = Messages()
        self.served: ServedVersion | None = None

    def on_head(self, _stream: Stream, block: HeaderBlock, ended: bool) -> None:
        call = self.call
        head = response_head(block)
        call.replay = None
        if call.held:
            call.release()
        if ended:
            call.down.send_head(call.down_stream, self._ending(block, head) + call.trailing, end=True)
            call.head_sent = True
            call.finish(rpc.UNKNOWN if head.code is None else head.code)
        else:
            call.head_sent = True
            call.down.send_head(call.down_stream, head.block)

    def _ending(self, block: HeaderBlock, head: ResponseHead) -> bytes:
        """The server's last fields, with what the proxy knows about an error added to them."""
        if not head.code or block.get(b"grpc-status") is None:
            return head.block
        annotated = self.call.explained(head.code, rpc.message_of(block), rpc.details_of(block))
        return head.block if annotated is None else rpc.reworded(block, annotated)

    def on_informational(self, _stream: Stream, block: HeaderBlock) -> None:
        self.call.down.send_head(self.call.down_stream, response_head(block).block)

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        call = self.call
        sent = call.down.send_data(call.down_stream, pieces, size, ended)
        if call.up is not None:
            call.up.consume(stream, sent)
        if size:
            self.messages.feed(pieces, size)
        if call.outcome.watched is not None:
            call.outcome.answer = keep_answer(call.outcome.answer, *pieces)
        if call.key is not None and size:
            self._look_for_version(call.key, pieces)
        if ended:
            # No trailers: not gRPC, or not to the end.
            call.finish(rpc.UNKNOWN)

    def _look_for_version(self, key: ModelKey, pieces: list[Buffer]) -> None:
        call = self.call
        if self.served is None:
            if call.plane.endings.fits(key, call.version, pieces[0]):
                return
            self.served = ServedVersion()
        version = self.served.feed(*pieces)
        if version is None:
            return
        if version != call.version:
            call.plane.version_seen(key.model, version, key.label)
        else:
            call.plane.endings.learn(key, version, pieces[0])

    def on_trailers(self, _stream: Stream, block: HeaderBlock) -> None:
        call = self.call
        head = response_head(block)
        call.down.send_trailers(call.down_stream, self._ending(block, head) + call.trailing)
        call.finish(rpc.UNKNOWN if head.code is None else head.code)

    def on_reset(self, _stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        call = self.call
        if call.over or (unprocessed and call.try_again()):
            return
        status = rpc.UNAVAILABLE if unprocessed else rpc.status_of_reset(code)
        call.fail(status, f"tfs-proxy: the server {call.pool.target} did not answer in full: {reason}")

    def on_sent(self, _stream: Stream, count: int) -> None:
        self.call.passed(count)


class NotGrpc:
    """Hears a request out that is not gRPC and says so (gRPC over HTTP/2: 415)."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def begin(self, stream: Stream, *, ended: bool) -> None:
        if ended:
            self._answer(stream)

    def on_data(self, stream: Stream, _pieces: list[Buffer], size: int, ended: bool) -> None:
        self.connection.consume(stream, size)
        if ended:
            self._answer(stream)

    def on_trailers(self, stream: Stream, _block: HeaderBlock) -> None:
        self._answer(stream)

    def on_reset(self, stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        """Nothing to undo."""

    def on_sent(self, stream: Stream, count: int) -> None:
        """Nothing to open again."""

    def on_head(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Never called: clients send requests."""

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Never called: clients send requests."""

    def _answer(self, stream: Stream) -> None:
        self.connection.send_head(stream, rpc.NOT_GRPC_HEAD)
        self.connection.send_data(stream, [rpc.NOT_GRPC_TEXT], len(rpc.NOT_GRPC_TEXT), True)
