"""Clients that go, fall silent or run out of time at every point of a call: nobody else notices, and nothing is left.

The points are those of the octets that a client sends (before, inside and behind each of its frames) and, once all
are sent, those of the answer.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.edge.conftest import PREDICT
from tests.faults.ground import Ground, marked
from tests.faults.spoken import PATIENCE, Call, timed
from tests.safety.clients import Fields, head
from tests.safety.counting import HELD, LATE, PAD, READ
from tests.safety.serving import MODELS

MARK = bytes(12)
OK, DEADLINE_EXCEEDED, UNAVAILABLE = 0, 4, 14
CANCEL = 8
SECONDS = 0.4
"""A deadline of a call."""
SOON = 2.0
"""Seconds beyond a deadline within which a client has to know; on a quiet machine it is milliseconds."""
LARGE = 1 << 20
ANSWERED_AT_ONCE = {"after DATA with the rest", "in the head of DATA that ends"}
"""Points at which the message is whole, though its stream has not ended."""

GOINGS: dict[str, Callable[[Call], Awaitable[None]]] = {
    "closes": Call.close,
    "resets": Call.reset,
    "closes its half": Call.close_half,
}
"""How a client goes."""

CLIENT = """
import json, socket, sys, time
target, told = json.loads(sys.stdin.readline())
calls = [socket.create_connection(target) for _ in told]
for call, octets in zip(calls, told):
    call.sendall(bytes.fromhex(octets))
print("said", flush=True)
time.sleep(600)
"""
"""A process that has calls at all points at once. It never reads."""


@dataclass(frozen=True)
class Stage:
    """Where a call is once all of the request is sent. `fields` bring it there; `heard` octets of the answer came, on the
    grpcio edge only when the answer is `whole`, its status included."""

    name: str
    fields: Fields = ()
    window: int | None = None
    heard: int = 0
    whole: bool = False
    model: str = "m"


ANSWERED = Stage(
    "in the middle of an answer that is all there", ((PAD, str(LARGE)),), window=1000, heard=1000
)
STAGES = (
    Stage("while its signature is asked for", model="unknown"),
    Stage("while the server works", fields=((HELD, "1"),)),
    Stage(
        "in the middle of an answer", ((PAD, str(LARGE)), (LATE, "1")), window=1000, heard=1000, whole=True
    ),
    ANSWERED,
    Stage("between the answer and its status", fields=((LATE, "1"),), heard=1, whole=True),
)


def a_call(*more: tuple[str, str], path: str = PREDICT) -> Call:
    return Call(marked(MARK), *more, path=path)


def balance(ground: Ground) -> float:
    """Calls that began and have not ended, as gRPC's own metrics have it."""
    return ground.count("grpc_server_started_total") - ground.count("grpc_server_handled_total")


async def asked(ground: Ground, what: str) -> int:
    """How often the server was asked for this, or was made to wait (`held`)."""
    return (await asyncio.to_thread(ground.server.order, "calls")).get(what, 0)


async def asked_more(ground: Ground, what: str, before: int) -> None:
    """Wait until the server has been asked more often than before."""
    async with asyncio.timeout(PATIENCE):
        while await asked(ground, what) <= before:
            pass


async def arrives(ground: Ground, stage: Stage, *more: tuple[str, str]) -> Call:
    """A call that has come to this stage."""
    what = "GetModelMetadata" if stage.model == "unknown" else "held"
    before = await asked(ground, what)
    message = marked(MARK, f"new-{before}" if stage.model == "unknown" else "m")
    call = await Call(message, *stage.fields, *more, window=stage.window).connect(ground.proxy.target)
    await call.say(call.octets)
    if stage.heard and not (stage.whole and ground.edge == "grpcio"):
        heard = await call.hear(PATIENCE, octets=stage.heard)
        assert heard.octets >= stage.heard, (stage.name, heard)
    else:
        await asked_more(ground, what, before)
    return call


@pytest.fixture
def metadata_withheld(ground: Ground):
    """Questions for signatures are answered after the test; new models are there to be asked for."""
    for number in range(60):
        ground.server.order("load", model=f"new-{number}", version=1, inputs=MODELS["m"])
    ground.server.order("hold", method="GetModelMetadata")
    yield
    ground.server.order("release")


@pytest.mark.parametrize("path", [PREDICT, READ], ids=["judged", "relayed"])
@pytest.mark.parametrize("going", GOINGS)
async def test_a_client_goes_at_every_point_of_its_request(ground: Ground, going: str, path: str):
    problems = ground.problems()
    async with ground.undisturbed():
        for point in a_call().points():
            call = await a_call(path=path).connect(ground.proxy.target)
            await call.say(point.octets)
            await GOINGS[going](call)
            assert call.heard.status in {None, OK, UNAVAILABLE}, (point.name, call.heard)
    assert balance(ground) == 0
    assert ground.problems() == problems


async def test_a_client_process_is_killed_with_calls_at_every_point(ground: Ground):
    calls = [a_call(path=path) for path in (PREDICT, READ)]
    said = [point.octets for call in calls for point in call.points()]
    said += [a_call(*stage.fields).octets for stage in STAGES[1:]]
    host, _, port = ground.proxy.target.rpartition(":")
    async with ground.undisturbed():
        before = await asked(ground, "held")
        with subprocess.Popen(  # noqa: ASYNC220  it starts at once
            [sys.executable, "-S", "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            order = json.dumps([[host, int(port)], [octets.hex() for octets in said]])
            client.stdin.write(order + "\n")
            client.stdin.flush()
            assert await asyncio.to_thread(client.stdout.readline) == "said\n"
            try:
                await asked_more(ground, "held", before + 1)
            finally:
                client.kill()
    assert balance(ground) == 0


@pytest.mark.usefixtures("metadata_withheld")
@pytest.mark.parametrize("going", GOINGS)
async def test_a_client_goes_at_every_point_of_its_answer(ground: Ground, going: str):
    async with ground.undisturbed():
        for stage in STAGES:
            await GOINGS[going](await arrives(ground, stage))
        ground.server.order("release")
    assert balance(ground) == 0


@pytest.mark.usefixtures("metadata_withheld")
async def test_a_client_cancels_at_every_point(ground: Ground):
    """It resets its stream; the connection goes on."""
    async with ground.undisturbed():
        for point in a_call().points():
            if point.began and point.name.startswith("after") and not point.whole:
                call = await a_call().connect(ground.proxy.target)
                await call.say(point.octets)
                await cancels(call)
        for stage in STAGES:
            await cancels(await arrives(ground, stage))
        ground.server.order("release")
    assert balance(ground) == 0


async def cancels(call: Call) -> None:
    call.state.reset_stream(1, CANCEL)
    call.state.send_headers(3, head())
    message = marked(MARK)
    call.state.send_data(3, bytes(1) + len(message).to_bytes(4, "big") + message, end_stream=True)
    await call.say(call.state.data_to_send())
    heard = await call.hear(PATIENCE, stream=3)
    assert heard.status == OK
    await call.close()


@pytest.mark.usefixtures("metadata_withheld")
async def test_time_runs_out_at_every_point(ground: Ground):
    async with ground.undisturbed():
        waiting: list[tuple[str, Call]] = []
        for point in a_call(*timed(SECONDS)).points():
            if point.began and not point.whole:
                call = await a_call(*timed(SECONDS)).connect(ground.proxy.target)
                await call.say(point.octets)
                waiting.append((point.name, call))
        waiting += [(stage.name, await arrives(ground, stage, *timed(SECONDS))) for stage in STAGES]
        heard = await asyncio.gather(*(call.hear(SECONDS + SOON) for _, call in waiting))
        told = {name: each for (name, _), each in zip(waiting, heard, strict=True)}
        for (name, call), each in zip(waiting, heard, strict=True):
            if name in {stage.name for stage in STAGES if stage.window is not None} and each.status is None:
                # The status stands behind what it does not read; how long that may wait is another time (`unread`).
                assert ground.edge == "native"
                told[name] = await call.read_on()
            await call.close()
        ground.server.order("release")
    assert {name: each.status for name, each in told.items()} == {
        name: OK if name in ANSWERED_AT_ONCE else DEADLINE_EXCEEDED for name in told
    }
    assert all("eadline" in each.text for each in told.values() if each.status)
    assert balance(ground) == 0
