"""Recorded requests → answers, from one server or two, a bounded number at a time.

Law: sends and measures; what an answer means is comparison.py's. The two servers are asked one after the
other, in turns, so that neither always meets a warmer machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc

from proxy.replay.comparison import Answer
from proxy.replay.records import Recorded
from proxy.wire.prediction_log import KINDS
from proxy.wire.protos import predict_pb2


class Target:
    """A server. `version` (None: as recorded) is asked of it whatever a request says."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float, version: int | None) -> None:
        self._calls: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {
            method: channel.unary_unary(method) for method in KINDS
        }
        self._timeout = timeout
        self._override = b"" if version is None else _model_spec_of(version)

    async def ask(self, recorded: Recorded) -> Answer:
        """Send one request; never raises for what the server answers."""
        call = self._calls[recorded.method]
        request = recorded.request
        if self._override and not recorded.method.endswith("/MultiInference"):
            request += self._override
        began = time.monotonic()
        try:
            message = await call(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            code: int = error.code().value[0]
            return Answer(code, error.details() or "", None, time.monotonic() - began)
        return Answer(0, "", message, time.monotonic() - began)


def _model_spec_of(version: int) -> bytes:
    """A request of nothing but a version: a parser merges it into the model_spec that stands before it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.version.value = version
    return bytes(request.SerializeToString())


@dataclass(frozen=True, slots=True)
class Pair:
    """One request with both answers; `before` has no message where none was recorded."""

    recorded: Recorded
    before: Answer
    after: Answer


async def replay(
    requests: Iterator[Recorded],
    against: Target,
    baseline: Target | None,
    concurrency: int,
    stop: asyncio.Event,
) -> AsyncIterator[Pair]:
    """Send every request until `stop`; pairs come in the order in which they are complete.

    Raises what `requests` raises.
    """
    running: set[asyncio.Task[Pair]] = set()
    stopping = asyncio.create_task(stop.wait())
    try:
        more = True
        while more or running:
            while more and len(running) < concurrency:
                recorded = next(requests, None)
                if recorded is None:
                    more = False
                    break
                running.add(asyncio.create_task(_pair(recorded, against, baseline)))
            if not running:
                break
            await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in [each for each in running if each.done()]:
                running.remove(task)
                yield task.result()
            if stop.is_set():
                return
    finally:
        for pending in (*running, stopping):
            pending.cancel()
        await asyncio.gather(*running, stopping, return_exceptions=True)


async def _pair(recorded: Recorded, against: Target, baseline: Target | None) -> Pair:
    if baseline is None:
        # Captures hold only requests that were answered with OK; elsewhere this is the least to ask for.
        return Pair(recorded, Answer(0, "", recorded.response), await against.ask(recorded))
    if recorded.place % 2:
        after = await against.ask(recorded)
        return Pair(recorded, await baseline.ask(recorded), after)
    before = await baseline.ask(recorded)
    return Pair(recorded, before, await against.ask(recorded))
