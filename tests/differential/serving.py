"""The server behind all routes: answers each client's call as its seed says, and remembers what came.

Law: the proxies' own questions are answered as a server would that has the models of `planned.SIGNATURES`; whoever
names a seed is a client.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import grpc.aio

from tests.differential.planned import SIGNATURES, planned
from tests.fake_serving import FakeServing

SEED = "x-seed"
ROUTE = "x-route"


@dataclass
class Seen:
    """A call as it came: `messages` plain, whatever they were compressed with."""

    method: str
    metadata: tuple[tuple[str, str | bytes], ...]
    messages: list[bytes] = field(default_factory=list)


class Serving(FakeServing):
    """`seen[seed, route]` is every call that came of one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[tuple[int, str], list[Seen]] = defaultdict(list)
        for model, signatures in SIGNATURES.items():
            self.load(model, 1, signatures)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if SEED not in dict(handler_call_details.invocation_metadata):
            return super().service(handler_call_details)
        method = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(partial(self._answer, method))

    async def _answer(self, method: str, requests: Any, context: grpc.aio.ServicerContext) -> Any:
        metadata = tuple(context.invocation_metadata())
        told = dict(metadata)
        seed = int(told[SEED])
        script = planned(seed)
        left_out = (SEED, ROUTE, "user-agent")
        seen = Seen(method, tuple(sorted(map(tuple, (pair for pair in metadata if pair[0] not in left_out)))))
        self.seen[seed, told[ROUTE]].append(seen)
        context.set_compression(script.answer_compression)
        if script.initial:
            await context.send_initial_metadata(script.initial)
        async for message in requests:
            seen.messages.append(message)
        if script.slow:
            await asyncio.sleep(60)
        for message in script.answers:
            yield message
        context.set_trailing_metadata(script.trailing)
        context.set_code(script.code)
        context.set_details(script.text)
