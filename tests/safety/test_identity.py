"""Cross-talk: whatever others do to their calls, and at whatever moment, everyone gets his own answer and all of it.

The server sends back what identifies a request: its tensor in the message, its mark in front of it and behind it.
`TFS_PROXY_CALLS=200000 pytest tests/safety/test_identity.py` has bystanders make so many calls.
"""

import asyncio
import contextlib
import itertools
import os
import random
from collections import Counter

import grpc
import h2.events
import h2.exceptions
import pytest

from proxy.wire.protos import predict_pb2
from tests.clients.raw import framed
from tests.edge.conftest import PREDICT
from tests.edge.native.conftest import RST
from tests.safety.clients import by_hand, channel_to, head
from tests.safety.counting import FAIL, MARK, PAD, WAIT

CALLS = int(os.environ.get("TFS_PROXY_CALLS", "1500"))
NUMBERS = itertools.count(1)
FAILED = str(grpc.StatusCode.FAILED_PRECONDITION.value[0])


def identified(number: int, octets: int = 0) -> bytes:
    """A good request that no other one equals."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    rows = 1 + octets // 12
    for size in (rows, 3):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = number.to_bytes(12, "big") + bytes(12 * (rows - 1))
    return request.SerializeToString()


def number_of(response: bytes) -> int:
    return int.from_bytes(
        predict_pb2.PredictResponse.FromString(response).outputs["mark"].tensor_content, "big"
    )


class Bystanders:
    """What they were answered. `wrong`: answers or parts of them that belong to another call."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []

    def got(self, number: int, what: str, mark: object) -> None:
        if str(mark) != str(number):
            self.wrong.append(f"{what} of {mark} instead of {number}")


def _wishes(number: int) -> tuple[tuple[str, str], ...]:
    """Now and then a failure, a large answer, or one that takes its time."""
    mark = ((MARK, str(number)),)
    if number % 7 == 0:
        return (*mark, (FAIL, "1"))
    if number % 11 == 0:
        return (*mark, (PAD, "70000"))
    if number % 5 == 0:
        return (*mark, (WAIT, "0.003"))
    return mark


async def _calling(target: str, calls: int, seen: Bystanders) -> None:
    """Over grpc.aio, ten at a time."""

    async def one(channel: grpc.aio.Channel) -> None:
        number = next(NUMBERS)
        call = channel.unary_unary(PREDICT)(
            identified(number, 200_000 if number % 13 == 0 else 0), metadata=_wishes(number), timeout=30
        )
        code = await call.code()
        seen.answers[code.name] += 1
        if code is grpc.StatusCode.OK:
            seen.got(number, "message", number_of(await call))
            seen.got(number, "head", dict(await call.initial_metadata()).get(MARK))
            seen.got(number, "trailers", dict(await call.trailing_metadata()).get(MARK))
        elif code is grpc.StatusCode.FAILED_PRECONDITION:
            assert number % 7 == 0
            seen.got(number, "text", await call.details())
        else:
            seen.answers[f"{code.name}: {await call.details()}"] += 1

    async with channel_to(target) as channel:
        for _ in range(calls // 10):
            await asyncio.gather(*(one(channel) for _ in range(10)))


async def _calling_by_hand(proxy, calls: int, seen: Bystanders) -> None:
    """Over h2, ten streams at a time."""
    async with by_hand(proxy) as peer:
        for _ in range(calls // 10):
            waiting, body = {}, {}
            for _ in range(10):
                number = next(NUMBERS)
                stream = peer.request(head(more=_wishes(number)), identified(number))
                waiting[stream], body[stream] = number, b""
            async with asyncio.timeout(30):
                while waiting:
                    event = await peer.events.get()
                    number = waiting.get(getattr(event, "stream_id", None))
                    match event:
                        case h2.events.ConnectionTerminated():
                            seen.answers[f"GOAWAY {event.error_code}"] += len(waiting)
                            return
                        case h2.events.StreamReset() if number:
                            seen.answers[f"reset {event.error_code}"] += 1
                            del waiting[event.stream_id]
                        case h2.events.DataReceived() if number:
                            body[event.stream_id] += event.data
                        case h2.events.ResponseReceived() | h2.events.TrailersReceived() if number:
                            fields = dict(event.headers)
                            seen.got(number, type(event).__name__, fields.get(MARK))
                            status = fields.get("grpc-status")
                            if status == "0":
                                seen.answers["OK"] += 1
                                seen.got(number, "message", number_of(body[event.stream_id][5:]))
                            elif status == FAILED:
                                seen.answers["FAILED_PRECONDITION"] += 1
                                seen.got(number, "text", fields["grpc-message"])
                            elif status is not None:
                                seen.answers[f"{status}: {fields.get('grpc-message')}"] += 1
                            if status is not None:
                                del waiting[event.stream_id]


# === those who cancel ===

PHASES = ("head", "half a message", "message", "answered", "half an answer", "at the end")


async def _cancelling(proxy, done: asyncio.Event) -> None:
    """Cancels by hand at every phase of a call, on ever new connections."""
    lot = random.Random(1)
    while not done.is_set():
        async with by_hand(proxy) as peer:
            for _ in range(40):
                phases = [lot.choice(PHASES) for _ in range(20)]
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    await _cancel_each(peer, phases)
                if done.is_set() or peer.closed.is_set():
                    break


async def _cancel_each(peer, phases) -> None:
    numbers = {}
    for phase in phases:
        mark = next(NUMBERS)
        wishes = {"answered": ((WAIT, "0.002"),), "half an answer": ((PAD, "300000"),)}.get(phase, ())
        number = peer.h2.get_next_available_stream_id()
        body = framed(identified(mark, 3000))
        peer.h2.send_headers(number, head(more=((MARK, str(mark)), *wishes)))
        if phase == "half a message":
            peer.h2.send_data(number, body[: len(body) // 2])
        elif phase != "head":
            peer.h2.send_data(number, body, end_stream=True)
        if phase in {"answered", "half an answer", "at the end"}:
            numbers[number] = phase
        else:
            peer.h2.reset_stream(number, RST.CANCEL)
    peer.flush()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            while numbers:
                event = await peer.events.get()
                phase = numbers.get(getattr(event, "stream_id", None))
                ends = {
                    "answered": h2.events.ResponseReceived,
                    "half an answer": h2.events.DataReceived,
                    "at the end": h2.events.DataReceived,
                }
                if phase and isinstance(event, ends[phase]):
                    with contextlib.suppress(h2.exceptions.ProtocolError):
                        peer.h2.reset_stream(event.stream_id, RST.CANCEL)
                    del numbers[event.stream_id]
                    peer.flush()


async def _cancelling_with_grpc(proxy, done: asyncio.Event) -> None:
    """Cancels over grpc.aio, a moment after the call has begun."""
    lot = random.Random(2)
    while not done.is_set():
        async with channel_to(proxy.target) as channel:
            for _ in range(40):
                calls = [
                    channel.unary_unary(PREDICT)(
                        identified(next(NUMBERS), 100_000 * lot.randrange(2)),
                        metadata=((MARK, "0"), (PAD, "200000")),
                        timeout=lot.choice((None, 0.001, 0.005)),
                    )
                    for _ in range(20)
                ]
                for call in calls:
                    await asyncio.sleep(lot.choice((0, 0, 0.0005)))
                    call.cancel()
                if done.is_set():
                    break


@pytest.mark.parametrize("bystanders", ["grpc.aio", "by hand"])
async def test_everyone_gets_his_own_answer_whatever_others_cancel(proxy, server, bystanders):
    seen, done = Bystanders(), asyncio.Event()
    cancelling = [
        asyncio.create_task(cancel(proxy, done))
        for cancel in (_cancelling, _cancelling, _cancelling_with_grpc)
    ]
    try:
        if bystanders == "grpc.aio":
            await asyncio.gather(*(_calling(proxy.target, CALLS // 4, seen) for _ in range(2)))
        else:
            await asyncio.gather(*(_calling_by_hand(proxy, CALLS // 4, seen) for _ in range(2)))
    finally:
        done.set()
        failed = await asyncio.gather(*cancelling, return_exceptions=True)
    assert failed == [None, None, None]
    assert seen.wrong == []
    # Nobody here has earned to be refused or cut off.
    assert set(seen.answers) == {"OK", "FAILED_PRECONDITION"}, seen.answers
    assert seen.answers.total() >= CALLS // 4
