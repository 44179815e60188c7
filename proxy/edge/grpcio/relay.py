"""The handler behind the steps: sends the original bytes to the server and brings its answer back.

Law: changes nothing and understands nothing. Messages, initial and trailing metadata, status and details go
through as they are, but for the words that an explainer adds behind an error; cancellation goes both ways; the
server gets the time that the client has left.

What grpc.aio cannot do, and this edge therefore does not: it hides the `grpc-encoding` of a message from its
user, so messages arrive decompressed and travel on uncompressed; the core replaces `user-agent` and consumes
`grpc-trace-bin`, `grpc-tags-bin` and `grpc-previous-rpc-attempts`; a unary call's initial metadata comes with
its response, not before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc

from proxy.core.verdict import Verdict
from proxy.edge.adaptive import AdaptiveLimit
from proxy.edge.admission import (
    LEAST_SECONDS,
    UPSTREAM_CALLS,
    expired,
    is_late,
    too_many_for_the_server,
)
from proxy.edge.explainer import Answer, Explainer
from proxy.edge.grpcio.call import Call, Context, current_call, refuse, status_code
from proxy.edge.grpcio.upstream import Ending, InOrder, ending, initial_metadata, unary, write
from proxy.edge.load import Load
from proxy.edge.local import Handlers
from proxy.edge.metadata import details_of, diagnosed, identified
from proxy.edge.methods import UNARY_METHODS
from proxy.gate import JUDGED_METHODS
from proxy.upstream.channel import ChannelWay

_SETTLING_SECONDS = 0.005
"""How long a stream waits to learn which of two things grpc.aio has shown it. Empty initial metadata may be a
trailers-only answer; when nothing follows, the server did send headers, for which the client may be waiting. The
end of the requests may be a cancellation, which must not reach the server as an end (measured: it follows within
1 ms in 99 of 100 cases).
"""


Behaviour = Callable[[Any, Context], Awaitable[bytes | None]]
_DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
_INTERNAL = grpc.StatusCode.INTERNAL.value[0]
_NO_MESSAGE = "tfs-proxy: the server answered OK without a message"
"""grpc.aio's server cannot pass that on: the client would wait until its deadline."""


class Relay(grpc.GenericRpcHandler):
    """Handles every method there is: local ones here, all others at the server."""

    def __init__(
        self,
        way: ChannelWay,
        load: Load,
        local: Handlers,
        explainer: Explainer | None,
        hold: float = 0.0,
        adaptive: AdaptiveLimit | None = None,
    ) -> None:
        self._way = way
        self._channel = channel = way.channel
        self._hold = hold
        self._explainer = explainer
        self._load = load
        self._ask = {method: unary(channel, method) for method in UNARY_METHODS}
        whole: Behaviour = self._relay_unary
        flowing: Behaviour = self._relay_stream
        if adaptive is not None:
            whole, flowing = self._limited(adaptive, whole), self._limited(adaptive, flowing)
        self._unary: Any = grpc.unary_unary_rpc_method_handler(whole)
        self._stream: Any = grpc.stream_stream_rpc_method_handler(flowing)
        self._handlers = local | dict.fromkeys(UNARY_METHODS, self._unary)

    def service(self, details: Any) -> Any:
        return self._handlers.get(details.method, self._stream)

    def _limited(self, adaptive: AdaptiveLimit, relay: Behaviour) -> Behaviour:
        """Let the server have no more calls at a time than it bears."""

        async def limited(request: Any, context: Context) -> bytes | None:
            call = current_call.get()
            if not adaptive.enter():
                self._load.hit(UPSTREAM_CALLS)
                await refuse(context, too_many_for_the_server(adaptive.limit))
            began = time.monotonic()
            try:
                return await relay(request, context)
            finally:
                now = time.monotonic()
                code = None
                if call.ended:
                    code = call.outcome.code if call.outcome.refusal is None else None
                elif is_late(now, call.began, call.deadline):
                    code = _DEADLINE_EXCEEDED
                adaptive.leave(began, now, code)

        return limited

    async def _relay_unary(self, message: bytes, context: Context) -> bytes | None:
        call = current_call.get()
        outcome = call.outcome
        outcome.messages_received, outcome.request_bytes = 1, len(message)
        if self._hold and outcome.method not in JUDGED_METHODS and not self._way.ready:
            await call.held(self._way, self._hold)
        remaining = call.remaining()
        if remaining is not None and remaining <= LEAST_SECONDS:
            await self._refuse_late(call, context)
        asked = call.sent = time.monotonic()
        try:
            response, headers, end = await self._ask[outcome.method](message, remaining, call.forwarded())
        finally:
            outcome.upstream_seconds = time.monotonic() - asked
        if response is None and not end.code:
            end = end._replace(code=_INTERNAL, details=_NO_MESSAGE)
        end = self._explained(call, context, end)
        call.end(end.code)
        if headers:
            await context.send_initial_metadata(headers)
        trailing = end.trailing + call.trailing
        if response is None:
            await context.abort(status_code(end.code), end.details, trailing)
        outcome.messages_sent, outcome.response_bytes = 1, len(response)
        if trailing:
            context.set_trailing_metadata(trailing)
        if end.details:
            context.set_details(end.details)
        return response

    async def _relay_stream(self, requests: Any, context: Context) -> None:
        call = current_call.get()
        outcome = call.outcome
        if self._hold and not self._way.ready:
            await call.held(self._way, self._hold)
            remaining = call.remaining()
            if remaining is not None and remaining <= LEAST_SECONDS:
                await self._refuse_late(call, context)
        asked = call.sent = time.monotonic()
        upstream: Any = self._channel.stream_stream(outcome.method)(
            timeout=call.remaining(), metadata=InOrder(call.forwarded())
        )
        pump = asyncio.create_task(self._pump(call, requests, upstream))
        try:
            await self._responses(call, upstream, context)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            # A call that the pump has cancelled shows itself as either, depending on how far it was.
            full = pump.result() if pump.done() and not pump.cancelled() else None
            if full is not None:
                await refuse(context, full)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            outcome.upstream_seconds = time.monotonic() - asked
            pump.cancel()
            upstream.cancel()
        end = self._explained(call, context, await ending(upstream))
        call.end(end.code)
        context.set_code(status_code(end.code))
        context.set_details(end.details)
        context.set_trailing_metadata(end.trailing + call.trailing)

    async def _refuse_late(self, call: Call, context: Context) -> NoReturn:
        """The time went before the request could be sent on: without a server, it waited for one."""
        if self._explainer is None or self._explainer.connected:
            await refuse(context, expired())
        end = self._explained(call, context, Ending(_DEADLINE_EXCEEDED, "", ()))
        call.end(end.code)
        await context.abort(status_code(end.code), end.details, end.trailing)
        raise AssertionError("abort raises")

    def _explained(self, call: Call, context: Context, end: Ending) -> Ending:
        """How the call ended, with what the proxy knows about an error added to it."""
        if self._explainer is None or not end.code:
            return end
        outcome = call.outcome
        outcome.peer = context.peer()
        answer = Answer(end.code, end.details, details_of(end.trailing))
        spent = call.spent(time.monotonic(), others=self._load.calls - 1)
        annotated = self._explainer.explain(outcome, answer, call.request, spent)
        if annotated is None:
            return end
        trailing = identified(diagnosed(end.trailing, annotated), call.identify())
        return Ending(end.code, annotated.text, trailing)

    async def _responses(self, call: Call, upstream: Any, context: Context) -> None:
        """Server to client: initial metadata as soon as it is known, then one message at a time."""
        outcome = call.outcome
        responses = aiter(upstream)
        headers = await initial_metadata(upstream)
        if headers:
            await context.send_initial_metadata(headers)
        following = asyncio.ensure_future(anext(responses, None))
        try:
            if not headers and not (await asyncio.wait({following}, timeout=_SETTLING_SECONDS))[0]:
                await context.send_initial_metadata(())
            message = await following
        finally:
            following.cancel()
        while message is not None:
            outcome.messages_sent += 1
            outcome.response_bytes += len(message)
            await context.write(message)
            message = await anext(responses, None)

    async def _pump(self, call: Call, requests: Any, upstream: Any) -> Verdict | None:
        """Client to server, one message at a time; the verdict if the proxy cannot take one."""
        outcome = call.outcome
        try:
            await upstream.wait_for_connection()
            async for message in requests:
                size = len(message)
                outcome.messages_received += 1
                outcome.request_bytes += size
                assert call.account is not None
                full = self._load.take(call.account, size)
                if full is not None:
                    upstream.cancel()
                    return full
                try:
                    await write(upstream, message)
                finally:
                    self._load.give_back(call.account, size)
            await asyncio.sleep(_SETTLING_SECONDS)
            await upstream.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            # The server has ended the call already; its status says why.
            pass
        return None
