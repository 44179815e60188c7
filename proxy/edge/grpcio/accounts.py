"""Whose a call is, as far as the core tells: by the name of the peer, which is one connection's.

Law: finds accounts and counts local calls; how much one may hold is decided in `load`. An account lives for as
long as it has calls.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import unquote

import grpc

from proxy.edge.grpcio.call import Context, status_code
from proxy.edge.load import Account, Load
from proxy.edge.local import Handlers
from proxy.edge.metadata import DETAILS
from proxy.wire.status import status_of


class Accounts:
    """The accounts of all connections that have calls."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._open: dict[str, tuple[Account, int]] = {}

    @contextmanager
    def of(self, context: Context) -> Iterator[Account]:
        """Find whose a call is, for as long as it takes. All Unix sockets share one account."""
        peer = context.peer()
        account, calls = self._open.get(peer) or (self._load.joined(_address(peer)), 0)
        self._open[peer] = (account, calls + 1)
        try:
            yield account
        finally:
            calls = self._open[peer][1] - 1
            if calls:
                self._open[peer] = (account, calls)
            else:
                del self._open[peer]
                self._load.left(account)

    def bounded(self, handlers: Handlers) -> Handlers:
        """Hold local services to their number of calls; unary ones are over too soon to be counted."""
        return {
            method: handler if handler.unary_unary else self._counted(handler)
            for method, handler in handlers.items()
        }

    def _counted(self, handler: Any) -> Any:
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._written(handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.stream_stream_rpc_method_handler(
            self._generated(handler.stream_stream),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _written(self, behaviour: Any) -> Any:
        async def counted(request: Any, context: Context) -> None:
            async with self._local_call(context):
                await behaviour(request, context)

        return counted

    def _generated(self, behaviour: Any) -> Any:
        async def counted(requests: Any, context: Context) -> AsyncIterator[Any]:
            async with self._local_call(context):
                async for response in behaviour(requests, context):
                    yield response

        return counted

    @asynccontextmanager
    async def _local_call(self, context: Context) -> AsyncIterator[None]:
        with self.of(context) as account:
            full = self._load.enter_local(account)
            if full is not None:
                status = status_of(full)
                await context.abort(status_code(status.code), status.text, ((DETAILS, status.details),))
            try:
                yield
            finally:
                self._load.leave_local(account)


def _address(peer: str) -> str:
    """The address in `ipv4:192.0.2.1:5` or `ipv6:%5B::1%5D:5`."""
    return unquote(peer).rpartition(":")[0] if peer.startswith("ip") else peer
