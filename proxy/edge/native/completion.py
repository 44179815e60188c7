"""
The completion of a call: every way in which it ends with a status, and what is left to do then.

Law: whatever ends a call ends it here and once: what is open is dropped, what was taken is given back, and one
`Outcome` goes to the observer. The words are those of `wire.status` and `edge.explainer`; how a call gets as far is
not known here.
"""

import time
from typing import Protocol, final

from proxy.core.availability import Unanswered
from proxy.core.verdict import Verdict
from proxy.edge.admission import LEAST_SECONDS, expired, is_late
from proxy.edge.explainer import Answer as Answered
from proxy.edge.native import rpc
from proxy.edge.native.client_side import ClientSide
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.plane import Plane
from proxy.edge.native.record import Record
from proxy.edge.native.server_side import ServerSide
from proxy.edge.request_ids import is_told_of
from proxy.gate import Refuse
from proxy.wire.diagnosis import Annotated
from proxy.wire.status import Status, status_of


class Completed(Protocol):
    """A call, as its completion sees it."""

    def completed(self, code: int) -> None:
        """Learn that the call is over, and how: nothing is waited for any more."""


@final
class Completion:
    """Ends one call. `Expiring`, where the call has a deadline. `local`: the proxy answers the call itself."""

    over = False
    due = 0

    def __init__(
        self,
        call: Completed,
        plane: Plane,
        record: Record,
        ledger: Ledger,
        client: ClientSide,
        server: ServerSide,
        *,
        local: bool,
    ) -> None:
        self._call: Completed | None = call
        self._plane = plane
        self._record = record
        self._ledger = ledger
        self._client = client
        self._server = server
        self._local = local

    # === the proxy ends it ===

    def refuse(self, verdict: Verdict, status: Status | None = None) -> None:
        """Answer with the verdict's status; nothing of the request goes on."""
        status = status or status_of(verdict)
        outcome = self._record.outcome
        outcome.refusal, outcome.text = verdict, status.text
        self._server.drop()
        self._answer(status.code, status.text, details=status.details)

    def refuse_as_decided(self, decision: Refuse) -> None:
        """Answer with what the gate decided."""
        if decision.unasked:
            self._refuse_unasked(decision, decision.unasked)
        else:
            self.refuse(decision.verdict, decision.status)

    def _refuse_unasked(self, decision: Refuse, unasked: Unanswered) -> None:
        """Answer for a server that did not say what to judge by; where that has a cause of its own, tell that."""
        left = self._record.left()
        if left is not None and left <= LEAST_SECONDS:
            if self._plane.out_of_reach:
                self.expire()
            else:
                self.refuse(expired())
            return
        text = f"tfs-proxy: {unasked.why}"
        annotated = self.explained(unasked.code, text, of_the_way=True) if decision.never_known else None
        if annotated is None:
            self.refuse(decision.verdict, decision.status)
        else:
            self._server.drop()
            self._answer(unasked.code, text, annotated)

    def expire(self, before: int = 0) -> None:
        """Answer for a call whose deadline has passed; the client may have given up already."""
        self._server.drop()
        if not self.over:
            text = f"tfs-proxy: the deadline passed before {self._awaited()}"
            annotated = self.explained(rpc.DEADLINE_EXCEEDED, "Deadline Exceeded", others=before)
            self._answer(rpc.DEADLINE_EXCEEDED, text, annotated)

    def _awaited(self) -> str:
        """What the deadline passed before."""
        server, sent = self._server, bool(self._record.sent_at)
        if server.is_arriving:
            return "the request had arrived in full"
        if sent and server.flow is not None and server.flow.rest > 0:
            return "the server had taken the whole request"
        if sent:
            return "the server had answered"
        if server.waiting is not None or self._plane.out_of_reach:
            return f"a connection to {server.pool.target} was free"
        return "the request had arrived in full"

    def give_up(self, code: int, text: str) -> None:
        """End the call with a status of the proxy's own, and what the server still does for it."""
        self._server.drop()
        self.fail(code, f"tfs-proxy: {text}")

    def fail(self, code: int, text: str, *, behind: bool = False) -> None:
        """End the call with a status of the proxy's own; `behind`: all that was sent of the answer comes first."""
        if not self.over:
            self._answer(code, text, self.explained(code, text), behind=behind)

    def _answer(
        self,
        code: int,
        text: str,
        annotated: Annotated | None = None,
        *,
        details: bytes = b"",
        behind: bool = False,
    ) -> None:
        request_id = "" if self._local else self.identify()
        if not self._client.end_with_status(code, text, details, annotated, request_id, behind=behind):
            self._ledger.read(self._ledger.unread)
        self.finish(code)

    def explained(
        self, code: int, text: str, details: bytes = b"", others: int = 0, *, of_the_way: bool = False
    ) -> Annotated | None:
        """
        Ask what the proxy knows about an error that it did not decide on.

        `others` are calls that were under way until now, beside those that still are. `of_the_way`: only what is
        known of the way to the server.
        """
        plane, record = self._plane, self._record
        explainer = plane.explainer
        if explainer is None or self._local:
            return None
        self.identify()
        record.outcome.request_bytes = record.received.octets
        others += plane.load.calls - (self._ledger.account is not None)
        spent = record.spent(others, arriving=self._server.is_arriving)
        answered = Answered(code, text, details)
        return explainer.explain(record.outcome, answered, record.view, spent, of_the_way=of_the_way)

    def identify(self) -> str:
        """Write down who makes the call, and the id that it has, which is returned."""
        outcome = self._record.outcome
        outcome.peer = outcome.peer or self._client.peer
        return self._record.identify()

    # === the client ends it ===

    def client_reset(self) -> None:
        """The client has reset its stream."""
        self._server.drop()
        self._ledger.read(self._ledger.unread)
        if self.over:
            return
        if is_late(time.monotonic(), self._record.began, self._record.deadline):
            self.explained(rpc.DEADLINE_EXCEEDED, "")
            self.finish(rpc.DEADLINE_EXCEEDED)
        else:
            self.finish(rpc.CANCELLED)

    def client_does_not_read(self) -> None:
        """End an answer that the client does not read."""
        if self.over:
            self._client.reset()
            self._ledger.read(self._ledger.unread)
        else:
            self.give_up(rpc.CANCELLED, "the client did not read the answer")

    # === it is over ===

    def finish(self, code: int) -> None:
        """Close the books, once: the client has been told the status, or told us."""
        call, server, plane = self._call, self._server, self._plane
        if call is None:
            return
        self.over = True
        # What refers to itself waits for the garbage collector, which costs a busy proxy a tenth of its time.
        self._call = None
        arriving = server.flow is not None and server.is_arriving
        call.completed(code)
        server.leave()
        self._ledger.leave(local=self._local)
        if self.due:
            plane.deadlines.remove(self)
        if not self._local:
            outcome = self._record.close(code, arriving=arriving)
            if plane.tells_all or is_told_of(outcome):
                self.identify()
            plane.call_ended(outcome)
