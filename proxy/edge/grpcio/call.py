"""What the steps know of the call they are looking at, and how a step refuses it."""

import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc

from proxy.core.types import RequestView
from proxy.core.verdict import Verdict
from proxy.diagnosis.transport import Spent
from proxy.edge.load import Account
from proxy.edge.metadata import DETAILS, Pair, forwarded
from proxy.edge.request_ids import REQUEST_ID, TRACEPARENT, TRACESTATE, identify, trace_id
from proxy.observe.outcome import Outcome, Tracer
from proxy.upstream.channel import ChannelWay
from proxy.wire.status import Status, status_of

_WORTH_WAITING: Final = 0.01
"""Seconds; for less nobody is held once more."""

Context = grpc.aio.ServicerContext[Any, Any]

_STATUS_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(slots=True)
class Call:
    """One call. `began` and `deadline` are on the clock of `time.monotonic` (None: no deadline).

    `ended` says that the outcome's status code is settled.
    """

    outcome: Outcome
    metadata: Sequence[Pair]
    began: float
    deadline: float | None = None
    request: RequestView | None = None
    """What the gate read of the request; None: it was not judged."""
    sent: float | None = None
    """When the request was sent on, on the same clock."""
    trailing: tuple[Pair, ...] = ()
    """The proxy's own trailing metadata."""
    account: Account | None = None
    """Whose the call is, once it was taken in."""
    ended: bool = False

    def remaining(self) -> float | None:
        """Seconds left; None: no limit."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    async def held(self, way: ChannelWay, seconds: float) -> float:
        """Wait for a connection, `seconds` at most and not beyond the deadline; what is left of them."""
        began = time.monotonic()
        left = self.remaining()
        await way.stands(seconds if left is None else max(0.0, min(seconds, left)))
        left = seconds - (time.monotonic() - began)
        return left if left > _WORTH_WAITING else 0.0

    def spent(self, now: float, others: int) -> Spent:
        """Where the time has gone until `now`, beside `others` calls."""
        if self.sent is None:
            return Spent(now - self.began, None, others)
        return Spent(self.sent - self.began, now - self.sent, others)

    def identify(self) -> str:
        """Find by what client and proxy know the call, once; see `Outcome.request_id`."""
        if not self.outcome.request_id:
            identify(self.outcome, *self._values(REQUEST_ID, TRACEPARENT, "user-agent"))
        return self.outcome.request_id

    def begin_trace(self, tracer: Tracer) -> None:
        """Have the call traced, as a part of its client's trace."""
        self.outcome.trace = tracer.begin(self.outcome.method, *self._values(TRACEPARENT))

    def forwarded(self) -> tuple[Pair, ...]:
        """The request metadata for the server, which is asked now."""
        passing, trace = forwarded(self.metadata), self.outcome.trace
        if trace is None:
            return passing
        # W3C Trace Context §2.3: of a trace that cannot be read, nothing is passed on.
        readable = any(map(trace_id, self._values(TRACEPARENT)))
        omitted = {TRACEPARENT} if readable else {TRACEPARENT, TRACESTATE}
        others = tuple(pair for pair in passing if pair[0] not in omitted)
        parent = trace.forwarded()
        return (*others, (TRACEPARENT, parent)) if parent else others

    def _values(self, *names: str) -> Iterator[str]:
        """The first value of each of these fields of metadata, "" where there is none."""
        found = dict(reversed(self.metadata))
        return (str(found.get(name, "")) for name in names)

    def end(self, code: int) -> None:
        """Settle the status code."""
        self.outcome.code = code
        self.ended = True


current_call: Final[ContextVar[Call]] = ContextVar("current_call")
"""grpc.aio runs interceptors and handler of one call in one task, so each call sees its own."""


def status_code(number: int) -> grpc.StatusCode:
    """The name for a code on the wire; numbers that gRPC does not know are UNKNOWN."""
    return _STATUS_CODES.get(number, grpc.StatusCode.UNKNOWN)


async def refuse(context: Context, verdict: Verdict, status: Status | None = None) -> NoReturn:
    """End the call with the verdict's status; does not return.

    Aborting costs an exception, but it is the one way by which a unary handler of grpc.aio answers with
    trailers only; otherwise it sends an empty message first, after which clients do not retry.
    """
    status = status or status_of(verdict)
    call = current_call.get()
    call.end(status.code)
    outcome = call.outcome
    outcome.refusal, outcome.text, outcome.peer = verdict, status.text, context.peer()
    trailing = ((DETAILS, status.details), (REQUEST_ID, call.identify()))
    await context.abort(status_code(status.code), status.text, trailing)
    raise AssertionError("abort raises")
