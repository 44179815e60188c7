"""A call to the server, without what grpc.aio's public calls do to it.

Law: the one place that looks below them, and goes by the public way where there is nothing below. Their
Metadata groups the values of a key, so the order between keys survives only in the tuples underneath; their
`write` replaces the server's status by INTERNAL when the server ends the call before it has read everything.
"""

from collections.abc import Iterator, Sequence
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
