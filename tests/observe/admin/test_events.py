"""The event stream, read as programs and browsers do: line by line."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.observe.admin import events
from proxy.observe.admin.connections import Bounds
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.status import Serving
from proxy.observe.admin.views import Check, Sources
from proxy.observe.history import History
from proxy.observe.metrics import Metrics
from proxy.observe.problems import Problems
from tests.observe.admin.test_api import check, schema_of
from tests.observe.mistaken import call

COMPONENTS = schema_of("/api/status")["components"]
PATIENCE = 20


class Watched:
    """An admin port with problems, curves and conditions that tests change."""

    def __init__(self, **bounds: float) -> None:
        self.metrics = Metrics(("1", "3", "interpreted"))
        self.problems = Problems()
        self.checks = [Check("serving", ok=True)]
        self.history = History(self.metrics.families)
        self.asked: list[str] = []
        sources = Sources(
            lambda: self.checks,
            tuple,
            tuple,
            ask=self._ask,
            serving=Serving("native", "127.0.0.1:8600", "localhost:8500", "compiled", "1.2.3"),
            families=self.metrics.families,
            problems=self.problems,
            history=self.history,
        )
        self.server = AdminServer(
            self.metrics.registry, sources, version="1", port=0, bounds=Bounds()._replace(**bounds)
        )

    async def _ask(self, path: str) -> None:
        self.asked.append(path)

    async def start(self) -> None:
        self.port = await self.server.start()
        self.url = f"http://127.0.0.1:{self.port}/api/events"
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=PATIENCE))

    async def stop(self) -> None:
        await self.session.close()
        await self.server.stop()


@pytest.fixture
async def watched(set_constant) -> AsyncIterator[Watched]:
    set_constant(events, "TICK_SECONDS", 0.02)
    watched = Watched()
    await watched.start()
    yield watched
    await watched.stop()


async def told(response: aiohttp.ClientResponse) -> tuple[str, object]:
    """The next event; ("", None) is the end, and a comment has its text for a name."""
    name = ""
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if text.startswith(":"):
            return text, None
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            return name, json.loads(text.removeprefix("data: "))
    return "", None


async def until(response: aiohttp.ClientResponse, name: str) -> object:
    while True:
        found, data = await told(response)
        if found == name:
            return data
        assert found, f"the stream has ended before any {name}"


async def test_a_stream_begins_with_what_there_is(watched):
    watched.problems.call_ended(call())
    watched.history.sample()
    watched.history.sample()
    async with watched.session.get(watched.url) as stream:
        assert stream.content_type == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-store"
        first = [await told(stream) for _ in range(3)]
    assert [name for name, _ in first] == ["status", "history", "problems"]
    for (_, data), schema in zip(first, ("Status", "Point", "Changes"), strict=True):
        check(data, {"$ref": f"#/components/schemas/{schema}", "components": COMPONENTS})
    assert first[2][1]["total"] == 1
    assert "examples" not in first[2][1]["changed"][0]


async def test_what_changes_is_told_and_what_does_not_is_not(watched):
    watched.problems.call_ended(call())
    async with watched.session.get(watched.url) as stream:
        assert (await until(stream, "problems"))["total"] == 1
        await until(stream, "problems")
        watched.problems.call_ended(call(model="n"))
        changed = await until(stream, "problems")
        assert (changed["total"], [each["model"] for each in changed["changed"]]) == (2, ["n"])
        watched.checks = [Check("serving", ok=False, text="draining")]
        assert (await until(stream, "status"))["state"] == "draining"
        watched.history.sample()
        watched.history.sample()
        assert (await until(stream, "history"))["requests"] == 0
        watched.problems.call_ended(call(model="n"))
        assert (await until(stream, "problems"))["changed"][0]["count"] == 2
        assert "/api/events" in watched.asked


async def test_a_comment_is_told_when_there_is_nothing_else(watched, set_constant):
    set_constant(events, "BEAT_SECONDS", 0.05)
    async with watched.session.get(watched.url) as stream:
        assert await until(stream, ": still here") is None


async def test_so_many_streams_and_no_more_and_an_ended_one_makes_room(watched):
    streams = [await watched.session.get(watched.url) for _ in range(events.STREAMS)]
    async with watched.session.get(watched.url) as refused:
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "10"
        check(await refused.json(), schema_of("/api/events", "503"))
    streams[0].close()
    async with asyncio.timeout(PATIENCE):
        while (another := await watched.session.get(watched.url)).status != 200:
            await another.read()
    for stream in (*streams, another):
        stream.close()


async def test_when_nobody_listens_nobody_asks(watched):
    async with watched.session.get(watched.url) as stream:
        await until(stream, "status")
        task = watched.server._events._ticking
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait({task})
    assert not watched.server._events._streams


async def test_the_streams_end_with_a_word_when_the_port_closes_and_hold_nothing_up(watched):
    streams = [await watched.session.get(watched.url) for _ in range(3)]
    for stream in streams:
        await until(stream, "status")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await watched.server.stop()
    assert loop.time() - began < 0.9
    for stream in streams:
        await until(stream, "end")
        assert await told(stream) == ("", None)


async def test_there_is_no_head_of_a_stream(watched):
    async with watched.session.head(watched.url) as answer:
        assert answer.status == 405


async def test_a_stream_outlives_the_time_that_other_answers_have(set_constant):
    set_constant(events, "TICK_SECONDS", 0.02)
    watched = Watched(answer_seconds=0.1)
    await watched.start()
    try:
        async with watched.session.get(watched.url) as stream:
            until_then = asyncio.get_running_loop().time() + 0.3
            while asyncio.get_running_loop().time() < until_then:
                watched.problems.call_ended(call())
                assert await until(stream, "problems")
    finally:
        await watched.stop()


async def test_who_does_not_read_is_cut_off_and_holds_nobody_up(set_constant):
    set_constant(events, "TICK_SECONDS", 0.01)
    watched = Watched(answer_seconds=0.2)
    await watched.start()
    try:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", watched.port))
        await loop.sock_sendall(deaf, b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with watched.session.get(watched.url) as stream, asyncio.timeout(PATIENCE):
            await until(stream, "status")
            assert len(watched.server._events._streams) == 2
            while len(watched.server._events._streams) == 2:
                for number in range(200):
                    watched.problems.call_ended(call(model=f"m{number}", peer=f"ipv4:192.0.2.{number}:1"))
                await until(stream, "problems")
        deaf.close()
    finally:
        await watched.stop()


async def test_a_stop_does_not_wait_for_who_does_not_read(set_constant):
    set_constant(events, "TICK_SECONDS", 0.01)
    watched = Watched(answer_seconds=30)
    await watched.start()
    deaf = socket.socket()
    try:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", watched.port))
        await loop.sock_sendall(deaf, b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with watched.session.get(watched.url) as stream, asyncio.timeout(PATIENCE):
            await until(stream, "status")
            while not any(each.connection.writing_paused for each in watched.server._events._streams):
                for number in range(200):
                    watched.problems.call_ended(call(model=f"m{number}"))
                await until(stream, "problems")
        began = loop.time()
        await watched.server.stop()
        assert loop.time() - began < 0.9
    finally:
        deaf.close()
        await watched.stop()
