"""
The books of a call, and every way in which it ends.

Law: whatever ends a call ends it here and once: what is open is dropped, what was taken is given back, and one
`Outcome` goes to the observer. The words are those of `wire.status` and `edge.explainer`; how a call gets as far is
the matter of the layers above (`sending`, `judging`, `call`).
"""

import asyncio
import time

from proxy.core.types import ModelKey, RequestView
from proxy.core.verdict import Verdict
from proxy.diagnosis.transport import Spent
from proxy.edge.explainer import Answer as Answered
from proxy.edge.load import Account
from proxy.edge.native import rpc
from proxy.edge.native.cut import Cut
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.plane import Plane
from proxy.edge.native.pool import Pool, Wanting
from proxy.edge.native.rpc import Messages, RequestHead
from proxy.edge.native.served import message_in
from proxy.gate import Admit
from proxy.gate.turns import Client
from proxy.observe.outcome import Outcome
from proxy.wire.diagnosis import Annotated
from proxy.wire.push import PushScanner
from proxy.wire.status import Status, status_of


class Ending:
    """What a call is and holds, until it has ended; see `call` for the whole."""

    # Defaults live in the class: most calls never set most of them. That matters, since an object with thirty
    # attributes of its own costs twice as much to make as one with twenty-nine (measured, CPython 3.11).
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
    # What the request has taken of the load; what of a relayed one waits for the server; what of the answer waits
    # for the client.
    held = 0
    unsent = 0
    unread = 0
    attempts = 0
    # Whose the call is; None: it was not taken in.
    entered: Account | None = None
    request_ended = False
    head_sent = False
    over = False
    # Who is in the pool's queue for a connection: the call itself, or nobody.
    waiting: Wanting | None = None
    # Which arrival of a server (see `Pool.arrivals`) a call that had to wait was judged after.
    judged_after = -1
    sent_at = 0.0
    trailing = b""
    # What the gate read of the request; None: it was not judged.
    request: RequestView | None = None
    # The key that did not name a version, with the version it was judged against.
    key: ModelKey | None = None
    version: int | None = None
    # What an OK of the server will teach the gate; see `Admit.unsettled`.
    unsettled: Admit | None = None
    task: asyncio.Task[None] | None = None

    # The one constructor of all layers: each further one would cost every call a call.
    def __init__(self, plane: Plane, pool: Pool, down: Connection, stream: Stream, head: RequestHead) -> None:
        self.plane = plane
        self.pool = pool
        self.down = down
        self.down_stream = stream
        self.head = head
        self.began = time.monotonic()
        self.observed = pool is plane.pool
        self.outcome = Outcome(head.method, "unary" if head.unary else "bidi_stream")
        self.received = Messages()
        self.sent = Messages()
        # The request so far, as long as it could be sent again.
        self.replay: list[Buffer] | None = []

    @property
    def client(self) -> Client:
        """Whose turn it is when this call's is."""
        return () if self.entered is None else self.entered.client

    def __repr__(self) -> str:
        return f"<Call {self.head.method} {self.down_stream!r} → {self.up_stream!r}>"

    def expire(self, before: int = 0) -> None:
        """Answer for a call whose deadline has passed; the client may have given up already."""
        self._drop_upstream()
        if self._is_arriving():
            text = "tfs-proxy: the deadline passed before the request had arrived in full"
        elif self.cut is not None and self.cut.rest > 0 and self.sent_at:
            text = "tfs-proxy: the deadline passed before the server had taken the whole request"
        elif self.sent_at:
            text = "tfs-proxy: the deadline passed before the server had answered"
        elif self.waiting is not None or self.plane.out_of_reach:
            text = f"tfs-proxy: the deadline passed before a connection to {self.pool.target} was free"
        else:
            text = "tfs-proxy: the deadline passed before the request had arrived in full"
        if not self.over:
            annotated = self.explained(rpc.DEADLINE_EXCEEDED, "Deadline Exceeded", others=before)
            self._answer_status(rpc.DEADLINE_EXCEEDED, text, annotated=annotated)

    def _is_arriving(self) -> bool:
        """Whether a message flows and it is the client's turn."""
        if self.cut is None or self.cut.rest <= 0 or self.waiting is not None:
            return False
        return self.up_stream is None or not self.up_stream.queue

    def cut_off(self) -> None:
        """End the call because the proxy stops."""
        self.give_up(rpc.UNAVAILABLE, "the proxy is stopping; the call may be tried again elsewhere")

    def refuse(self, verdict: Verdict, status: Status | None = None) -> None:
        """Answer with the verdict's status; nothing of the request goes on."""
        status = status or status_of(verdict)
        outcome = self.outcome
        outcome.refusal, outcome.text, outcome.peer = verdict, status.text, self.plane.peer_of(self.down)
        self._drop_upstream()
        self._answer_status(status.code, status.text, status.details)

    def give_up(self, code: int, text: str) -> None:
        """End the call with a status of the proxy's own, and what the server still does for it."""
        self._drop_upstream()
        self.fail(code, f"tfs-proxy: {text}")

    def fail(self, code: int, text: str, *, behind: bool = False) -> None:
        """End the call with a status of the proxy's own; `behind`: all that was sent of the answer comes first."""
        if not self.over:
            self._answer_status(code, text, annotated=self.explained(code, text), behind=behind)

    def explained(
        self, code: int, text: str, details: bytes = b"", others: int = 0, *, of_the_way: bool = False
    ) -> Annotated | None:
        """
        Ask what the proxy knows about an error that it did not decide on.

        `others` are calls that were under way until now, beside those that still are. `of_the_way`: only what is
        known of the way to the server.
        """
        explainer = self.plane.explainer
        if explainer is None or not self.observed:
            return None
        outcome = self.outcome
        outcome.peer, outcome.request_bytes = self.plane.peer_of(self.down), self.received.octets
        now = time.monotonic()
        others += self.plane.load.calls - (self.entered is not None)
        if self.sent_at and not self._is_arriving():
            spent = Spent(self.sent_at - self.began, now - self.sent_at, others)
        else:
            spent = Spent(now - self.began, None, others)
        answered = Answered(code, text, details)
        return explainer.explain(outcome, answered, self.request, spent, of_the_way=of_the_way)

    def _answer_status(
        self,
        code: int,
        text: str,
        details: bytes = b"",
        annotated: Annotated | None = None,
        *,
        behind: bool = False,
    ) -> None:
        text = text if annotated is None else annotated.text
        block = rpc.status_block(code, text, details, alone=not self.head_sent)
        if annotated is not None:
            block += rpc.diagnosis_fields(annotated)
        if not self.head_sent:
            self.down.send_head(self.down_stream, block, end=True)
        elif self.down_stream.queue and not behind:
            # The client does not take what it was sent already: it would wait for the status too.
            full = code == rpc.RESOURCE_EXHAUSTED
            self.down.reset(self.down_stream, frames.ENHANCE_YOUR_CALM if full else frames.CANCEL)
            self.keep_unread(-self.unread)
        else:
            self.down.send_trailers(self.down_stream, block)
        self.finish(code)

    def finish(self, code: int) -> None:
        """Close the books, once."""
        if self.over:
            return
        self.over = True
        arriving = False
        if self.cut is not None:
            arriving = self._is_arriving()
            self.cut = None
        if self.scanner is not None:
            self.scanner = None
        self.pieces = self.replay = None
        if self.waiting is not None:
            self.pool.forget(self.waiting)
            self.waiting = None
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.up is not None:
            self.pool.freed(self.up)
            # What refers to itself waits for the garbage collector, which costs a busy proxy a tenth of its time.
            self.up = self.up_stream = None
        plane = self.plane
        if self.held:
            self.release()
        entered = self.entered
        if not self.observed:
            if entered is not None:
                plane.load.leave_local(entered)
            return
        if self.due:
            plane.deadlines.remove(self)
        if entered is not None:
            plane.load.leave(entered)
        now = time.monotonic()
        outcome = self.outcome
        outcome.code = code
        outcome.seconds = now - self.began
        if self.sent_at and not arriving:
            outcome.upstream_seconds = now - self.sent_at
        received, sent = self.received, self.sent
        outcome.messages_received, outcome.request_bytes = received.count, received.octets
        outcome.messages_sent, outcome.response_bytes = sent.count, sent.octets
        if outcome.watched is not None:
            outcome.answer = message_in(outcome.answer)
        plane.call_ended(outcome)

    def release(self) -> None:
        """Give back the room that the request took."""
        if self.held and self.entered is not None:
            self.plane.load.give_back(self.entered, self.held)
            self.held = 0
        if self.cut is not None:
            self.cut.sent = 0

    def book(self) -> None:
        """Count what is kept of a request that is relayed: it waits for the server, or may be sent again."""
        entered = self.entered
        if self.over or entered is None:
            return
        more = (self.unsent if self.replay is None else max(self.size - rpc.PREFIX, 0)) - self.held
        if more > 0:
            full = self.plane.load.take(entered, more, self.held)
            if full is not None:
                self.refuse(full)
                return
        elif self.replay is None:
            self.plane.load.give_back(entered, -more)
        else:
            # What is kept does not become less; the rest of what is held is its plain text, for as long as it takes.
            return
        self.held += more

    def keep_unread(self, more: int) -> None:
        """Count so many more octets of the answer (or less than none) that wait for the client to read."""
        entered = self.entered
        if entered is None or not more:
            return
        if more > 0:
            full = self.plane.load.take(entered, more, self.unread)
            if full is not None:
                self.refuse(full)
                return
        else:
            self.plane.load.give_back(entered, -more)
        self.unread += more

    def _drop_upstream(self) -> None:
        if self.up is not None and self.up_stream is not None:
            self.up.reset(self.up_stream, frames.CANCEL, id(self.down))
