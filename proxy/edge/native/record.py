"""
The record of a call: when what happened, what was counted, what was decided, and what the observer is told of it.

Law: written by whoever sees something happen; decides nothing. What is in here outlives both streams of the call.
"""

import time
from typing import final

from proxy.core.types import ModelKey, RequestView
from proxy.diagnosis.transport import Spent
from proxy.edge.judged import note
from proxy.edge.metadata import warnings
from proxy.edge.native import rpc
from proxy.edge.native.kept_answer import message_in
from proxy.edge.native.rpc import Messages, RequestHead, text_of
from proxy.edge.request_ids import identify
from proxy.gate import Admit, Decision
from proxy.observe.outcome import Outcome, Tracer


@final
class Record:
    """What is known of one call."""

    # Defaults live in the class: most calls never set most of them.
    deadline: float | None = None
    # When the server was first asked, as far as the time since then is the server's.
    sent_at = 0.0
    # What the gate read of the request; None: it was not judged.
    view: RequestView | None = None
    # The key that did not name a version, with the version it was judged against.
    key: ModelKey | None = None
    version: int | None = None
    # What an OK of the server will teach the gate; see `Admit.unsettled`.
    unsettled: Admit | None = None
    # What is told at the end of the answer: warnings.
    trailing = b""

    def __init__(self, head: RequestHead) -> None:
        self.began = time.monotonic()
        self._head = head
        self.outcome = Outcome(head.method, "unary" if head.unary else "bidi_stream")
        self.received = Messages()
        self.sent = Messages()

    def left(self) -> float | None:
        """Seconds until the deadline; None: there is none."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def server_begins(self) -> None:
        """Count the server's time from here: until now it was the client's."""
        if self.sent_at:
            self.sent_at = time.monotonic()

    def note(self, decision: Decision) -> None:
        """Write down what was decided."""
        outcome = self.outcome
        note(outcome, decision)
        self.view = view = decision.view
        verdict = decision.verdict
        if verdict is not None and view is not None:
            key = view.key
            if key is not None and key.version is None:
                self.key, self.version = key, verdict.version
        if (outcome.warnings or outcome.would_refuse) and isinstance(decision, Admit):
            if decision.unsettled:
                self.unsettled = decision
            if outcome.warnings:
                self.trailing = rpc.encode_metadata(warnings(outcome.warnings))

    def identify(self) -> str:
        """Find by what client and proxy know the call; once."""
        outcome = self.outcome
        if not outcome.request_id:
            fields = self._head.fields
            identify(
                outcome,
                text_of(fields, b"x-request-id"),
                text_of(fields, b"traceparent"),
                text_of(fields, b"user-agent"),
            )
        return outcome.request_id

    def begin_trace(self, tracer: Tracer) -> None:
        """Have the call traced, as a part of its client's trace."""
        parent = text_of(self._head.fields, b"traceparent")
        self.outcome.trace = tracer.begin(self.outcome.method, parent)

    def spent(self, others: int, *, arriving: bool) -> Spent:
        """Where the time went, with so many other calls under way; `arriving`: the client has yet to send."""
        now = time.monotonic()
        if self.sent_at and not arriving:
            return Spent(self.sent_at - self.began, now - self.sent_at, others)
        return Spent(now - self.began, None, others)

    def close(self, code: int, *, arriving: bool) -> Outcome:
        """What is told of the call, now that it has ended with `code`."""
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
        return outcome
