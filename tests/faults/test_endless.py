"""Clients that never come to an end: silence, requests without one, answers that nobody reads."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.clients.raw import framed
from tests.conftest import EXPLORE
from tests.edge.conftest import PREDICT
from tests.faults.conftest import prepared
from tests.faults.ground import MIB, Ground, marked
from tests.faults.spoken import Call, timed
from tests.faults.test_vanishing import ANSWERED_AT_ONCE, DEADLINE_EXCEEDED, MARK, OK, SOON, a_call, balance
from tests.safety.counting import PAD, READ, UNREAD
from tests.safety.serving import CountingServer

LARGE = 4 * MIB
MUCH = 48 * MIB
STALL = 0.5
HANDSHAKE = 10.0


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The native edge with little patience: gRPC's core knows none of its times."""
    flags = ("--stall-seconds", str(STALL), "--idle-seconds", str(STALL))
    with (
        CountingServer() as server,
        prepared("native", server, tmp_path_factory.mktemp("impatient"), *flags) as ground,
    ):
        yield ground


async def test_who_falls_silent_at_any_point_is_told_or_cut_off(impatient: Ground):
    """Before its SETTINGS a client has ten seconds, which only the long run waits for."""
    ground = impatient
    patience = HANDSHAKE if EXPLORE else 0.0
    async with ground.undisturbed():
        points = [point for point in a_call().points() if EXPLORE or "HEADERS" in point.name or point.began]
        calls = [await a_call().connect(ground.proxy.target) for _ in points]
        for point, call in zip(points, calls, strict=True):
            await call.say(point.octets)
        heard = await asyncio.gather(*(call.hear(patience + 8 * STALL + SOON) for call in calls))
        for call in calls:
            await call.close()
    for point, each in zip(points, heard, strict=True):
        assert each.ended, (point.name, each)
        if not point.began or (point.name.startswith("in the head") and not point.name.endswith("ends")):
            # The connection itself cannot go on.
            assert each.status is None or each.status == DEADLINE_EXCEEDED, (point.name, each)
        elif point.whole or point.name in ANSWERED_AT_ONCE:
            assert each.status == OK, (point.name, each)
        else:
            assert each.status == DEADLINE_EXCEEDED, (point.name, each)
            assert "at least 1024 bytes a second" in each.text, (point.name, each)
    assert ground.problems().keys() == {"REQUEST_STALLED"}
    assert ground.count("tfs_proxy_bound_hits_total", bound="stalled") >= 5
    assert ground.count("tfs_proxy_bound_hits_total", bound="unfinished_head") >= 3
    assert balance(ground) == 0


async def test_a_judged_request_that_never_ends_ends_with_its_deadline(ground: Ground):
    """It comes slowly, though never so slowly that it had to be told to hurry."""
    call = Call(None, *timed(1.0))
    async with ground.undisturbed():
        await call.connect(ground.proxy.target)
        await call.say(call.octets)
        await call.pump(framed(bytes(MIB))[: MIB // 2], 1)
        while not call.heard.ended and call.heard.seconds < 1.0 + SOON:
            await call.pump(bytes(1024), 1)
            await call.hear(0.05)
        await call.close()
    assert call.heard.status == DEADLINE_EXCEEDED, call.heard
    assert balance(ground) == 0


async def test_octets_without_end_behind_a_judged_message_are_not_taken(ground: Ground):
    call = Call(None)
    async with ground.undisturbed():
        await call.connect(ground.proxy.target)
        await call.say(call.octets)
        await call.pump(framed(marked(MARK)), 1)
        sent = await call.pump(bytes(1 << 16), MUCH >> 16)
        await call.hear(1.0)
        await call.close()
    assert sent < MUCH
    assert call.heard.ended, call.heard
    assert balance(ground) == 0


@pytest.mark.parametrize("path", [READ, UNREAD], ids=["that is read", "that is not read"])
async def test_a_relayed_stream_without_end_holds_little_and_leaves_nothing(ground: Ground, path: str):
    call = Call(None, path=path)
    async with ground.undisturbed():
        await call.connect(ground.proxy.target)
        await call.say(call.octets)
        sent = await call.pump(framed(bytes(MIB)), MUCH // MIB)
        await call.reset()
    assert (sent >= MUCH) == (path == READ), sent
    assert balance(ground) == 0


async def test_who_reads_an_answer_slowly_gets_all_of_it(ground: Ground):
    call = Call(marked(MARK), (PAD, str(LARGE)), window=0)
    async with ground.undisturbed():
        await call.connect(ground.proxy.target)
        await call.say(call.octets)
        heard = await call.read_on(64 << 10, pause=0.02)
        await call.close()
    assert (heard.status, heard.octets > LARGE) == (OK, True), heard
    assert balance(ground) == 0


async def test_who_does_not_read_its_answer_is_cut_off_in_time(impatient: Ground):
    ground = impatient
    call = Call(marked(MARK), (PAD, str(LARGE)), window=1000)
    hits = ground.count("tfs_proxy_bound_hits_total", bound="unread")
    async with ground.undisturbed():
        await call.connect(ground.proxy.target)
        await call.say(call.octets)
        heard = await call.hear(3 * STALL + SOON)
        await call.close()
    assert heard.reset is not None, heard
    assert ground.count("tfs_proxy_bound_hits_total", bound="unread") == hits + 1
    assert balance(ground) == 0


async def test_with_grpc_s_core_who_does_not_read_its_answer_is_told_when_its_time_is_up(ground: Ground):
    if ground.edge != "grpcio":
        pytest.skip("the native edge has a time of its own for it")
    call = Call(marked(MARK), (PAD, str(LARGE)), *timed(0.5), window=1000, path=PREDICT)
    async with ground.undisturbed():
        await call.connect(ground.proxy.target)
        await call.say(call.octets)
        heard = await call.hear(0.5 + SOON)
        await call.close()
    assert heard.status == DEADLINE_EXCEEDED, heard
    assert balance(ground) == 0
