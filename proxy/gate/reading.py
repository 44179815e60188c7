"""How the messages of each judged method are read: at a glance, or beside other calls where it takes longer.

Law: one long message is read at a time, since all would only share one interpreter; clients take turns, so that
many long messages of one keep nobody else from being read.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from proxy.core.types import CLASSIFY_METHOD, REGRESS_METHOD, RequestView
from proxy.wire.fields import UnusualError
from proxy.wire.request import (
    AT_ONCE,
    parse_classify,
    parse_multi_inference,
    parse_predict,
    parse_predict_at_once,
    parse_regress,
)

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"

Parts = Sequence[tuple[RequestView, str | None]]
"""What a message asks for, each with the method_name that its signature needs (None: any)."""


def _parse_predict(message: bytes) -> Parts:
    return ((parse_predict(message), None),)


def _parse_classify(message: bytes) -> Parts:
    return ((parse_classify(message), CLASSIFY_METHOD),)


def _parse_regress(message: bytes) -> Parts:
    return ((parse_regress(message), REGRESS_METHOD),)


PARSERS: Final[MappingProxyType[str, Callable[[bytes], Parts]]] = MappingProxyType(
    {
        PREDICT: _parse_predict,
        "/tensorflow.serving.PredictionService/Classify": _parse_classify,
        "/tensorflow.serving.PredictionService/Regress": _parse_regress,
        "/tensorflow.serving.PredictionService/MultiInference": parse_multi_inference,
    }
)


def read_at_once(method: str, message: bytes) -> Parts:
    """Read what takes no longer than a glance; raises UnusualError for the rest."""
    if method == PREDICT:
        return ((parse_predict_at_once(message), None),)
    if len(message) > AT_ONCE:
        raise UnusualError
    return PARSERS[method](message)


JUDGED_METHODS: Final = frozenset(PARSERS)
"""Full paths of the methods that the gate judges; every other one is only relayed."""


async def beside(read: Callable[[], Parts]) -> Parts:
    """Read in a thread, or, where the system gives none, while everybody waits."""
    try:
        return await asyncio.to_thread(read)
    except RuntimeError:
        return read()


class ReadingTurns:
    """Whose long message is read next."""

    def __init__(self) -> None:
        self._reading = False
        self._rows: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, client: Hashable) -> AsyncIterator[None]:
        """Wait for the client's turn, and have it for the length of a block."""
        if self._reading:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._rows.setdefault(client, deque()).append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if not mine.cancelled():  # it was given the turn, and has no use for it any more
                    self._pass_on()
                raise
        self._reading = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._rows:
            client, row = self._rows.popitem(last=False)
            following = row.popleft()
            if row:
                self._rows[client] = row
            if not following.done():
                following.set_result(None)
                return
        self._reading = False
