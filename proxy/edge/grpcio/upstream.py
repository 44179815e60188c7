"""What the server sent with a call's end, exactly as it came.

Law: the one place that looks below grpc.aio's public calls. Its Metadata groups the values of a key, so the
order between keys survives only in the tuples underneath; where those cannot be had the grouped form serves.
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
