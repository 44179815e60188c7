"""The whole server is at fault: it dies, stops, speaks no HTTP/2, comes back as another.

Law: whoever calls is told the truth in bounded time and served again as soon as the server is, by the same proxy; what
cannot be judged is not passed on; the page says what is the matter while it lasts. The matrix is the table; what is
not of its shape has a test of its own below it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.conftest import EXPLORE
from tests.edge.conftest import predict
from tests.fake_serving import DT_FLOAT
from tests.faults.ground import Ground, Told, marked, tell
from tests.safety.clients import BAD, GOOD, channel_to

HELD = (("x-held", "1"),)
DEADLINE = 1.0
UNREACHABLE, NOT_GRPC, RESET = "UPSTREAM_UNREACHABLE", "UPSTREAM_NOT_GRPC", "UPSTREAM_RESET"
REFUSED = "UNAVAILABLE", "SIGNATURE_UNCONFIRMED"


@dataclass(frozen=True)
class Away:
    """How a server is broken and mended again, and what is said meanwhile.

    `reason` is what good calls are told once it is known; `held`, what becomes of a call under way. `says` is a word of
    what the page says of the server; "": it cannot know. `slow` is how long the first call may take to be told.
    """

    breaks: Callable[[Ground], object]
    mends: Callable[[Ground], object]
    reason: str
    says: str
    held: tuple[str, str] = ("UNAVAILABLE", RESET)
    slow: float = 4.0
    codes: set[tuple[str, str]] = field(default_factory=set)


def _greets(how: str, reason: str, says: str, slow: float = 4.0) -> Away:
    return Away(
        lambda ground: ground.server.order("greet", how=how),
        lambda ground: ground.server.order("greet", how="well"),
        reason,
        says,
        slow=slow,
    )


AWAY = {
    "killed": Away(
        lambda ground: ground.server.kill(),
        lambda ground: ground.server.revive(),
        UNREACHABLE,
        "it stopped, crashed or restarts",
    ),
    "hanging-up": _greets("hanging-up", UNREACHABLE, "closes it at once"),
    "resetting": _greets("resetting", UNREACHABLE, "reset by peer|closes it at once"),
    "noise": _greets("noise", NOT_GRPC, "another service has this port"),
    "http1": _greets("http1", NOT_GRPC, "speaks HTTP/1, not gRPC"),
    "wrong-first-frame": _greets("wrong-first-frame", NOT_GRPC, "another service has this port"),
}
SLOWLY = {
    "accepting-and-silent": _greets("silence", UNREACHABLE, "unreachable", slow=7.0),
    "half-a-greeting": _greets("half-a-greeting", NOT_GRPC, "another service has this port", slow=7.0),
}
"""Connections that stand and say nothing are given up after five seconds."""


async def told_of(ground: Ground, reason: str, seconds: float) -> Told:
    """What a good call is told once it is told so."""
    deadline = time.monotonic() + seconds + 5
    async with channel_to(ground.proxy.target) as channel:
        while True:
            told = await tell(channel, GOOD, timeout=10)
            assert told.code in {"OK", "UNAVAILABLE"}, told
            if told.reason == reason:
                return told
            assert time.monotonic() < deadline, told


IN_SHORT = "killed", "resetting", "http1"


@pytest.mark.parametrize("name", [*AWAY, *SLOWLY] if EXPLORE else IN_SHORT)
async def test_a_server_that_is(odd: Ground, name: str):
    fault = {**AWAY, **SLOWLY}[name]
    allowed = {("UNAVAILABLE", reason) for reason in (fault.reason, RESET, UNREACHABLE, NOT_GRPC)}
    counted = await asyncio.to_thread(odd.errors, fault.reason)
    deaths = await asyncio.to_thread(odd.count, "tfs_proxy_upstream_deaths_total")
    async with (
        odd.disturbed(allowed, longest=fault.slow) as bystanders,
        channel_to(odd.proxy.target) as channel,
    ):
        under_way = asyncio.create_task(tell(channel, GOOD, metadata=(("x-fault", "silence"),), timeout=20))
        await odd.has_taken(1)
        try:
            await asyncio.to_thread(fault.breaks, odd)
            told = await under_way
            assert (told.code, told.reason) == fault.held, told
            assert told.seconds < fault.slow, told
            told = await told_of(odd, fault.reason, fault.slow)
            assert odd.server.target in told.details
            told = await tell(channel, BAD, timeout=20)
            assert (told.code, told.reason) == REFUSED, told
            assert told.seconds < 4.0, told
            await odd.says(fault.says)
            assert (await asyncio.to_thread(odd.upstream)) == "down"
            assert (await asyncio.to_thread(odd.get, "/readyz"))[0] == 503
            assert (await asyncio.to_thread(odd.get, "/livez"))[0] == 200
            await odd.tells(fault.reason, counted)
            assert await asyncio.to_thread(odd.count, "tfs_proxy_upstream_deaths_total") > deaths
        finally:
            await asyncio.to_thread(fault.mends, odd)
        await bystanders.served_again()
        assert (await asyncio.to_thread(odd.upstream)) == "up"


def _paused(ground: Ground) -> None:
    os.kill(ground.server.pid, signal.SIGSTOP)


def _resumed(ground: Ground) -> None:
    os.kill(ground.server.pid, signal.SIGCONT)


SILENT = {
    "paused": (_paused, _resumed),
    "half-open": (
        lambda ground: ground.server.order("deafen"),
        lambda ground: ground.server.order("greet", how="well"),
    ),
}


@pytest.mark.parametrize("name", SILENT)
async def test_a_server_that_says_nothing_any_more_and_is(odd: Ground, name: str):
    """Calls end by their deadline, which is all that can be known; what wants judgement is told at once to come again."""
    breaks, mends = SILENT[name]
    counted = await asyncio.to_thread(odd.errors, "UPSTREAM_DEADLINE_EXCEEDED")
    async with (
        odd.disturbed({("UNAVAILABLE", RESET)}, longest=25.0) as bystanders,
        channel_to(odd.proxy.target) as channel,
    ):
        try:
            await asyncio.to_thread(breaks, odd)
            told = await tell(channel, marked(b"of this call"), timeout=DEADLINE)
            assert told.code == "DEADLINE_EXCEEDED", told
            assert told.seconds < DEADLINE + 1.0, told
            told = await tell(channel, BAD, timeout=20)
            assert (told.code, told.reason) == REFUSED, told
            assert told.seconds < 4.0, told
            for path in ("/livez", "/readyz", "/metrics", "/"):
                assert (await asyncio.to_thread(odd.get, path))[0] == 200, path
            if EXPLORE:
                await odd.says("AVAILABLE when it last answered; asked since: DEADLINE_EXCEEDED", seconds=15)
        finally:
            await asyncio.to_thread(mends, odd)
        await bystanders.served_again()
        if name == "half-open" or EXPLORE:
            await odd.tells("UPSTREAM_DEADLINE_EXCEEDED", counted)


async def test_a_server_that_answers_octet_by_octet(odd: Ground):
    """Of the whole connection: everybody waits as long as that takes, and nobody is told anything else."""
    before = await odd.settled()
    async with odd.standing_by() as bystanders:
        odd.server.order("slowly", on=True)
        await bystanders.served_again(9)
        odd.server.order("slowly", on=False)
        await bystanders.served_again()
    assert bystanders.answers.keys() == {("OK", "")}, bystanders.texts[:3]
    await odd.comes_to_rest(before)


async def test_a_server_that_comes_back_with_other_models(ground: Ground):
    server = ground.server
    server.load("leaving", {"x": (DT_FLOAT, (-1, 3))})
    leaving, joining = predict("leaving"), predict("joining", (2, 5))
    allowed = {("UNAVAILABLE", RESET), ("UNAVAILABLE", UNREACHABLE)}
    async with (
        ground.disturbed(allowed, longest=4.0) as bystanders,
        channel_to(ground.proxy.target) as channel,
    ):
        assert (await tell(channel, leaving)).code == "OK"
        await asyncio.to_thread(server.kill)
        server.comes_back_without("leaving")
        server.comes_back_with("joining", {"x": (DT_FLOAT, (-1, 5))})
        await asyncio.to_thread(server.revive)
        await bystanders.served_again()
        told = await tell(channel, leaving)
        assert (told.code, told.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND"), told
        assert (await tell(channel, joining)).code == "OK"
        told = await tell(channel, predict("joining", (2, 3)))
        assert (told.code, told.reason) == ("INVALID_ARGUMENT", "SHAPE_MISMATCH"), told
        async with asyncio.timeout(10):
            while "joining" not in {each["name"] for each in ground.api("models")["models"]}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "MODEL_NOT_FOUND" in ground.problems()
    await asyncio.to_thread(server.unload, "joining")


async def test_a_version_that_is_swapped_in_the_middle_of_a_request(ground: Ground):
    """The request under way ends as the server says; the next is judged by the new version, whichever it fits."""
    server = ground.server
    server.load("swapped", {"x": (DT_FLOAT, (-1, 3))})
    old, new = predict("swapped", (2, 3)), predict("swapped", (2, 4))
    async with ground.undisturbed(), channel_to(ground.proxy.target) as channel:
        assert (await tell(channel, old)).code == "OK"
        under_way = asyncio.create_task(tell(channel, old, metadata=HELD))
        await ground.has_taken(1)
        server.swap("swapped", 2, {"x": (DT_FLOAT, (-1, 4))})
        assert (await tell(channel, new)).code == "OK"
        told = await tell(channel, old)
        assert (told.code, told.reason) == ("INVALID_ARGUMENT", "SHAPE_MISMATCH"), told
        assert "version 2" in told.details
        server.order("release")
        assert (await under_way).code == "OK"
        assert ground.problems().get("SHAPE_MISMATCH")
        (model,) = (each for each in ground.api("models")["models"] if each["name"] == "swapped")
        assert model["drifts"], model
    await asyncio.to_thread(server.unload, "swapped")


async def test_a_model_that_is_unloaded_in_the_middle_of_a_request(ground: Ground):
    server = ground.server
    server.load("unloaded", {"x": (DT_FLOAT, (-1, 3))})
    message = predict("unloaded")
    async with ground.undisturbed(), channel_to(ground.proxy.target) as channel:
        assert (await tell(channel, message)).code == "OK"
        under_way = asyncio.create_task(tell(channel, message, metadata=HELD))
        await ground.has_taken(1)
        server.unload("unloaded")
        # The first may have been admitted by what was known, and is told so by the server.
        async with asyncio.timeout(5):
            while (told := await tell(channel, message)).reason != "MODEL_NOT_FOUND":
                assert told.code == "NOT_FOUND", told
        assert told.seconds < 4.0, told
        server.order("release")
        assert (await under_way).code == "OK"
        assert ground.problems().get("MODEL_NOT_FOUND")
