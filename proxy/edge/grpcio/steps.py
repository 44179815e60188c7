"""The steps a call goes through before it is relayed, in reading order; each is one interceptor.

    Outcomes        one record per call, handed over when it is over; who comes without a known token is turned away
    Certificates    who has a certificate without a name that may call is turned away
    MethodPolicy    what only an operator needs stays out, and what is not allowed
    Deadline        what is expired is not sent on; what has no deadline may get one
    Admission       what the proxy cannot hold is turned away
    SignatureCheck  what does not match the live signature is refused

Law: a step decides and passes on; it never touches a message. What is answered locally skips them all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import Any, NoReturn

import grpc

from proxy.core.availability import Unanswered
from proxy.core.bounds import MAX_METADATA, MAX_QUESTION, too_complex, too_much_metadata
from proxy.core.verdict import Verdict
from proxy.edge.access import AUTHORIZATION, Access, first_name
from proxy.edge.admission import (
    CLIENT_RATE,
    LEAST_SECONDS,
    METADATA,
    MODEL_CALLS,
    Limits,
    expired,
    forbidden,
    is_late,
    not_allowed,
    time_allowed,
    too_often,
)
from proxy.edge.explainer import Answer, Explainer
from proxy.edge.grpcio.accounts import Accounts
from proxy.edge.grpcio.call import Call, Context, current_call, refuse, status_code
from proxy.edge.judged import note
from proxy.edge.load import Account, Load
from proxy.edge.metadata import Pair, diagnosed, identified, warnings
from proxy.edge.methods import QUESTIONS, UNARY_METHODS, AllowedMethods, only_for_operators
from proxy.edge.model_calls import ModelCalls, is_confirmed
from proxy.edge.rates import Rates, client_identity
from proxy.edge.request_ids import is_told_of
from proxy.gate import JUDGED_METHODS, Admit, Decision, Judge, Message, Refuse
from proxy.observe.outcome import Observer, Outcome, Tracer
from proxy.upstream.channel import ChannelWay
from proxy.wire.response import served_version

Handler = Any
"""grpc.RpcMethodHandler, either unary-unary or stream-stream, over bytes."""
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Behaviour = Callable[[Any, Context], Awaitable[bytes | None]]

VersionSeen = Callable[[str, int, str | None], None]

_LONGEST_SECONDS = 365 * 86400.0
"""grpc.aio takes deadlines that are thousands of years away for passed (measured)."""

_DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
_CANCELLED = grpc.StatusCode.CANCELLED.value[0]


class Asked:
    """What is asked of clients; None: nothing, in this process for ever."""

    def __init__(self, access: Access | None) -> None:
        self.access = access


def _octets(metadata: Iterable[Pair]) -> Iterator[tuple[str, bytes]]:
    return ((key, value.encode() if isinstance(value, str) else value) for key, value in metadata)


def _around(handler: Handler, step: Callable[[Behaviour, Any, Context], Awaitable[bytes | None]]) -> Handler:
    """`handler` with `step` before it; the step awaits the behaviour it is given, or does not."""
    behaviour = handler.stream_stream or handler.unary_unary

    async def stepped(request: Any, context: Context) -> bytes | None:
        return await step(behaviour, request, context)

    if handler.stream_stream:
        return grpc.stream_stream_rpc_method_handler(stepped)
    return grpc.unary_unary_rpc_method_handler(stepped)


def _admit(call: Call, decision: Admit) -> None:
    """Write down what was decided, and what the client is told of it."""
    note(call.outcome, decision)
    call.request = decision.view
    call.trailing = warnings(call.outcome.warnings)


def _refusing(verdict: Verdict) -> Handler:
    async def refusing(_: object, context: Context) -> None:
        await refuse(context, verdict)

    return grpc.stream_stream_rpc_method_handler(refusing)


class Outcomes(grpc.aio.ServerInterceptor):
    """Opens the record of a call on its arrival and hands it over when nothing more can happen."""

    def __init__(
        self,
        observer: Observer,
        local: Collection[str],
        load: Load,
        explainer: Explainer | None,
        asked: Asked,
        *,
        tells_all: bool,
        tracer: Tracer | None,
    ) -> None:
        self._asked = asked
        self._observer = observer
        self._tracer = tracer
        self._tells_all = tells_all
        self._local = local
        self._load = load
        self._explainer = explainer
        self._handlers: dict[str, Handler] = {}

    def adopt(self, *, tells_all: bool) -> None:
        """The settings are others: tell who each call was, or not, and let the further steps look at each method anew."""
        self._tells_all = tells_all
        self._handlers.clear()

    async def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        method = details.method
        if method in self._local:
            return await continuation(details)
        grpc_type = "unary" if method in UNARY_METHODS else "bidi_stream"
        call = Call(Outcome(method, grpc_type), details.invocation_metadata, time.monotonic())
        current_call.set(call)
        self._observer.call_started(method, grpc_type)
        if self._tracer is not None:
            call.begin_trace(self._tracer)
        # Unlike a wrapped handler, the task also ends for calls that are cancelled before their message came.
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self._over(call))
        if len(details.invocation_metadata) > MAX_METADATA:
            # Of this call, not of its method.
            self._load.hit(METADATA)
            return _refusing(too_much_metadata("fields", MAX_METADATA))
        access = self._asked.access
        if access is not None and access.tokens is not None:
            who = access.of_fields([value for key, value in _octets(call.metadata) if key == AUTHORIZATION])
            if isinstance(who, Verdict):
                return _refusing(who)
            call.outcome.identity = who
            call.metadata = tuple(pair for pair in call.metadata if pair[0] != AUTHORIZATION)
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(details)
            # What the further steps make of a method is the same for each of its calls, until the settings change.
            if method in UNARY_METHODS:
                self._handlers[method] = handler
        return handler

    def _over(self, call: Call) -> None:
        outcome = call.outcome
        now = time.monotonic()
        outcome.seconds = now - call.began
        if not call.ended:
            late = is_late(now, call.began, call.deadline)
            outcome.code = _DEADLINE_EXCEEDED if late else _CANCELLED
            if late and self._explainer is not None:
                spent = call.spent(now, others=self._load.calls)
                self._explainer.explain(outcome, Answer(_DEADLINE_EXCEEDED), call.request, spent)
        if self._tells_all or is_told_of(outcome):
            call.identify()
        self._observer.call_ended(outcome)


class Certificates(grpc.aio.ServerInterceptor):
    """Asks for a name in the client's certificate. grpc.aio shows that to a handler alone, which has the message of a
    unary call by then.
    """

    def __init__(self, asked: Asked, local: Collection[str]) -> None:
        self._asked = asked
        self._local = local

    async def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        handler = await continuation(details)
        access = self._asked.access
        if access is None or access.tokens is not None or details.method in self._local:
            return handler
        return _around(handler, self._ask)

    async def _ask(self, proceed: Behaviour, request: Any, context: Context) -> bytes | None:
        assert self._asked.access is not None
        found = context.auth_context()
        dns, uris = ([name.decode("utf-8", "replace") for name in found.get(kind, ())] for kind in _NAMES)
        who = self._asked.access.of_names(dns, uris)
        outcome = current_call.get().outcome
        if isinstance(who, Verdict):
            outcome.identity = first_name(dns, uris)
            await refuse(context, who)
        outcome.identity = who
        return await proceed(request, context)


_NAMES = ("peer_dns", "peer_uri")
"""As gRPC's core names what a certificate holds (`grpc_security_constants.h`)."""


class MethodPolicy(grpc.aio.ServerInterceptor):
    """Refuses what is not allowed, and asks the gate about what only an operator needs, before a request is read."""

    def __init__(
        self, gate: Judge, local: Collection[str] = (), allowed: AllowedMethods | None = None
    ) -> None:
        self._gate = gate
        self._local = local
        self.allowed = allowed

    async def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        allowed, method = self.allowed, details.method
        if allowed is not None and method not in self._local and not allowed.has(method):
            return _refusing(not_allowed(method))
        reason = only_for_operators(details.method)
        if reason is None:
            return await continuation(details)
        decision = self._gate.of_no_model(forbidden(details.method, reason))
        if isinstance(decision, Refuse):
            return _refusing(decision.verdict)

        async def admitted(proceed: Behaviour, request: Any, context: Context) -> bytes | None:
            _admit(current_call.get(), decision)
            return await proceed(request, context)

        return _around(await continuation(details), admitted)


class Deadline(grpc.aio.ServerInterceptor):
    """Settles until when the call may take; an expired one never reaches the server."""

    def __init__(self, limits: Limits, local: Collection[str]) -> None:
        self.default = limits.default_deadline
        self._local = local

    async def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        handler = await continuation(details)
        return handler if details.method in self._local else _around(handler, self._limit)

    async def _limit(self, proceed: Behaviour, request: Any, context: Context) -> bytes | None:
        seconds = time_allowed(context.time_remaining(), self.default)
        if seconds is not None:
            if seconds <= 0:
                await refuse(context, expired())
            current_call.get().deadline = time.monotonic() + min(seconds, _LONGEST_SECONDS)
        return await proceed(request, context)


class Admission(grpc.aio.ServerInterceptor):
    """Holds the proxy to its limits: calls and request bytes at a time, bytes of a message.

    The messages of a stream are counted where they are relayed, one at a time.
    """

    def __init__(
        self, load: Load, accounts: Accounts, local: Collection[str], rates: Rates | None = None
    ) -> None:
        self._load = load
        self._rates = rates
        self._accounts = accounts
        self._local = local

    async def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        handler = await continuation(details)
        return handler if details.method in self._local else _around(handler, self._hold)

    async def _hold(self, proceed: Behaviour, request: Any, context: Context) -> bytes | None:
        if isinstance(request, bytes) and len(request) > MAX_QUESTION:
            await self._spare_questions(context)
        load = self._load
        with self._accounts.of(context) as account:
            if self._rates is not None:
                await self._spare_others(self._rates, account, context)
            full = load.enter(account)
            if full is not None:
                await refuse(context, full)
            call = current_call.get()
            call.account, call.outcome.peer = account, context.peer()
            size = len(request) if isinstance(request, bytes) else 0
            try:
                full = load.take(account, size)
                if full is not None:
                    size = 0
                    await refuse(context, full)
                return await proceed(request, context)
            finally:
                load.give_back(account, size)
                load.leave(account)

    async def _spare_others(self, rates: Rates, account: Account, context: Context) -> None:
        """Refuse a call of a client that calls too often."""
        call = current_call.get()
        wait = rates.take(client_identity(call.outcome, account), call.began)
        if wait:
            self._load.hit(CLIENT_RATE)
            await refuse(context, too_often(rates.rate, wait))

    @staticmethod
    async def _spare_questions(context: Context) -> None:
        """Refuse a question about a model that no real name makes so long."""
        if current_call.get().outcome.method in QUESTIONS:
            await refuse(context, too_complex("bytes in a question about a model", MAX_QUESTION))


class SignatureCheck(grpc.aio.ServerInterceptor):
    """Asks the gate about every request that has a signature.

    A request that has to wait for a connection is judged once it stands: what it was judged by may be of a server
    that is no more, and gRPC's core would send it to the next one without a word.

    `version_seen` is told the model, the version that answered and the label asked for (None: the latest),
    when it is another version than the request was judged against. `hold` is how long a request may wait while no
    connection can be had; `models` counts the calls of each model, where they are limited.
    """

    def __init__(
        self,
        gate: Judge,
        way: ChannelWay,
        version_seen: VersionSeen,
        load: Load,
        explainer: Explainer | None,
        hold: float = 0.0,
        models: ModelCalls | None = None,
    ) -> None:
        self._gate = gate
        self._way = way
        self.models = models
        self._hold = hold
        self._version_seen = version_seen
        self._load = load
        self._explainer = explainer

    async def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        handler = await continuation(details)
        return _around(handler, self._judge) if details.method in JUDGED_METHODS else handler

    async def _judge(self, proceed: Behaviour, message: bytes, context: Context) -> bytes | None:
        call = current_call.get()
        outcome = call.outcome
        decision = await self._decide(call, message, context)
        if isinstance(decision, Refuse):
            note(outcome, decision)
            if decision.unasked:
                await self._refuse_unasked(call, context, decision, decision.unasked)
            await refuse(context, decision.verdict, decision.status)
        _admit(call, decision)
        response = await self._in_number(decision, proceed, message, context)
        if response is not None and decision.unsettled:
            self._gate.learn(decision)
        if outcome.watched is not None and response is not None:
            outcome.answer = response
        verdict = decision.verdict
        key = decision.view.key if decision.view is not None else None
        if response is not None and verdict is not None and key is not None and key.version is None:
            version = served_version(response)
            if version is not None and version != verdict.version:
                self._version_seen(key.model, version, key.label)
        return response

    async def _in_number(
        self, decision: Admit, proceed: Behaviour, message: bytes, context: Context
    ) -> bytes | None:
        """Go on if the model may have one more call."""
        models, verdict = self.models, decision.verdict
        if models is None or verdict is None or not is_confirmed(verdict):
            return await proceed(message, context)
        full = models.enter(verdict)
        if full is not None:
            self._load.hit(MODEL_CALLS)
            await refuse(context, full)
        try:
            return await proceed(message, context)
        finally:
            models.leave(verdict.model or "")

    async def _decide(self, call: Call, message: bytes, context: Context) -> Decision:
        """What the gate decides while a connection stands, and the same one all the while."""
        known, way = Message(call.outcome.method, message), self._way
        client = () if call.account is None else call.account.client
        hold = self._hold
        while True:
            if hold and not way.ready:
                hold = await call.held(way, hold)
            arrivals = way.arrivals
            decision = self._gate.judge_now(known)
            if decision is None:
                decision = await self._gate.judge(known, call.remaining(), client)
            remaining = call.remaining()
            late = remaining is not None and remaining <= LEAST_SECONDS
            if isinstance(decision, Refuse) or late or (way.ready and arrivals == way.arrivals):
                return decision
            why = await way.connected(remaining)
            if why and not hold:
                note(call.outcome, decision)
                await self._fail_unconnected(call, context, decision, why, len(message))

    async def _fail_unconnected(
        self, call: Call, context: Context, decision: Admit, why: str, size: int
    ) -> NoReturn:
        """Answer as the relay would for a call that the core has no connection for."""
        outcome, answer = call.outcome, Answer(_UNAVAILABLE, why)
        outcome.messages_received, outcome.request_bytes, outcome.peer = 1, size, context.peer()
        annotated = None
        if self._explainer is not None:
            spent = call.spent(time.monotonic(), others=self._load.calls - 1)
            annotated = self._explainer.explain(outcome, answer, decision.view, spent)
        call.end(answer.code)
        text, trailing = (why, ()) if annotated is None else (annotated.text, diagnosed((), annotated))
        await context.abort(status_code(answer.code), text, identified(trailing, call.identify()))
        raise AssertionError("abort raises")

    async def _refuse_unasked(
        self, call: Call, context: Context, decision: Refuse, unasked: Unanswered
    ) -> None:
        """Answer for a server that did not say what to judge by, if that has a cause of its own; else return."""
        explainer, remaining = self._explainer, call.remaining()
        late = remaining is not None and remaining <= LEAST_SECONDS
        if explainer is not None and (not explainer.connected if late else decision.never_known):
            answer = Answer(_DEADLINE_EXCEEDED) if late else Answer(unasked.code, f"tfs-proxy: {unasked.why}")
            call.outcome.peer = context.peer()
            spent = call.spent(time.monotonic(), others=self._load.calls - 1)
            annotated = explainer.explain(call.outcome, answer, decision.view, spent, of_the_way=not late)
            if annotated is not None:
                call.end(answer.code)
                trailing = identified(diagnosed((), annotated), call.identify())
                await context.abort(status_code(answer.code), annotated.text, trailing)
        if late:
            await refuse(context, expired())
