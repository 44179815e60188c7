"""How the messages of each judged method are read: at a glance, or beside other calls where it takes longer.

Law: one long message is read at a time, and one that is not so long beside it, since all would only share one
interpreter; clients take turns, so that many messages of one keep nobody else from being read.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from proxy.core.types import CLASSIFY_METHOD, REGRESS_METHOD, RequestView
from proxy.gate.turns import Client, Turns
from proxy.wire.request import (
    AT_ONCE,
    parse_classify,
    parse_multi_inference,
    parse_predict,
    parse_predict_at_once,
    parse_regress,
)
from proxy.wire.wire_format import UnusualError

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"

SHORT: Final = 1 << 20
"""Octets of a message that is read beside longer ones."""


class Part(NamedTuple):
    """One thing that a message asks for. `method` is the method_name that its signature needs (None: any), `task`
    its number among the tasks of a MultiInferenceRequest.
    """

    view: RequestView
    method: str | None = None
    task: int | None = None


Parts = Sequence[Part]


def _parse_predict(message: bytes) -> Parts:
    return (Part(parse_predict(message)),)


def _parse_classify(message: bytes) -> Parts:
    return (Part(parse_classify(message), CLASSIFY_METHOD),)


def _parse_regress(message: bytes) -> Parts:
    return (Part(parse_regress(message), REGRESS_METHOD),)


def _parse_multi_inference(message: bytes) -> Parts:
    return [Part(*each, number) for number, each in enumerate(parse_multi_inference(message))]


PARSERS: Final[MappingProxyType[str, Callable[[bytes], Parts]]] = MappingProxyType(
    {
        PREDICT: _parse_predict,
        "/tensorflow.serving.PredictionService/Classify": _parse_classify,
        "/tensorflow.serving.PredictionService/Regress": _parse_regress,
        "/tensorflow.serving.PredictionService/MultiInference": _parse_multi_inference,
    }
)


def read_at_once(method: str, message: bytes) -> Parts:
    """Read what takes no longer than a glance; raises UnusualError for the rest."""
    if method == PREDICT:
        return (Part(parse_predict_at_once(message)),)
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


class Reading:
    """Whose long message is read next: a short one never waits for those that take long."""

    def __init__(self) -> None:
        self._short, self._long = Turns(), Turns()

    async def read(self, read: Callable[[], Parts], size: int, client: Client) -> Parts:
        """Read a message of `size` octets in the client's turn."""
        async with (self._short if size <= SHORT else self._long).turn(client):
            return await beside(read)
