"""Calls to the server, without what grpc.aio's public calls do to them.

Law: the one place that looks below them, and goes by the public way where there is nothing below. Their
Metadata groups the values of a key, so the order between keys survives only in the tuples underneath; their
`write` replaces the server's status by INTERNAL when the server ends the call before it has read everything;
and a task, a future and three mappings per unary call are a tenth of what a call costs here (measured).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import grpc

from proxy.edge.metadata import Pair


class InOrder(grpc.aio.Metadata):
    """Request metadata that goes out in the order given, without being sorted into a mapping first."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)


class Ending(NamedTuple):
    """How a call ended."""

    code: int
    details: str
    trailing: tuple[Pair, ...]


class Reply(NamedTuple):
    """What came back from a unary call. `message` is None unless the status is OK."""

    message: bytes | None
    initial: tuple[Pair, ...]
    ending: Ending


Ask = Callable[[bytes, float | None, tuple[Pair, ...]], Coroutine[Any, Any, Reply]]
"""Make a unary call: message, seconds (None: no limit), metadata. Cancelling it cancels the call."""


def unary(channel: grpc.aio.Channel, method: str) -> Ask:
    """The way to make unary calls of one method."""
    below = getattr(channel, "_channel", None)
    if hasattr(below, "call") and hasattr(below, "get_registered_call_handle"):
        return _Below(below, method).ask
    return _Public(channel, method).ask


class _Below:
    def __init__(self, channel: Any, method: str) -> None:
        self._call = channel.call
        self._method = method.encode()
        self._handle = channel.get_registered_call_handle(self._method)

    async def ask(self, message: bytes, seconds: float | None, metadata: tuple[Pair, ...]) -> Reply:
        deadline = None if seconds is None else time.time() + seconds
        call = self._call(self._method, deadline, None, None, self._handle)
        try:
            response = await call.unary_unary(message, metadata, None)
        except asyncio.CancelledError:
            call.cancel("the client has gone")
            raise
        status = await call.status()
        return Reply(
            response,
            await call.initial_metadata(),
            Ending(status.code(), status.details() or "", status.trailing_metadata() or ()),
        )


class _Public:
    def __init__(self, channel: grpc.aio.Channel, method: str) -> None:
        self._call: Any = channel.unary_unary(method)

    async def ask(self, message: bytes, seconds: float | None, metadata: tuple[Pair, ...]) -> Reply:
        call = self._call(message, timeout=seconds, metadata=InOrder(metadata))
        try:
            response = await call
        except grpc.aio.AioRpcError:
            response = None
        return Reply(response, await initial_metadata(call), await ending(call))


async def initial_metadata(call: Any) -> tuple[Pair, ...]:
    """The server's initial metadata; waits for it."""
    return tuple(await getattr(call, "_cython_call", call).initial_metadata() or ())


async def ending(call: Any) -> Ending:
    """The server's status and trailing metadata; waits for the end of the call."""
    below = getattr(call, "_cython_call", None)
    if below is None:
        code = await call.code()
        return Ending(code.value[0], await call.details() or "", tuple(await call.trailing_metadata() or ()))
    status = await below.status()
    return Ending(status.code(), status.details() or "", tuple(status.trailing_metadata() or ()))


async def write(call: Any, message: bytes) -> None:
    """Send one message of a stream that `wait_for_connection` has seen connected.

    Raises grpc.aio.InternalError or asyncio.InvalidStateError when the server takes no more.
    """
    below = getattr(call, "_cython_call", None)
    await (call.write(message) if below is None else below.send_serialized_message(message))
