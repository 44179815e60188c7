"""The event stream: status, the newest point of the curves and the problems that have changed, as they change.

One task looks once a second for all streams together, as long as there is one. A stream that is not read is cut off,
and all end when the port closes, after a last event that says so.

Law: bounded in streams and in what waits for each. What is told stands in `Api`; here is only when.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from proxy.observe.admin.api import Api, json_answer
from proxy.observe.admin.connections import Connection
from proxy.observe.admin.views import Sources
from proxy.observe.problem import ALL, Problem

STREAMS: Final = 8
TICK_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 10.0
_MOST_WAITING: Final = 30
_RETRY_SECONDS: Final = 10
_PATH: Final = "/api/events"
_BEAT: Final = b": still here\n\n"
_END: Final = b"event: end\ndata: {}\n\n"


class _Stream:
    """What waits to be written to one reader."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_WAITING)

    def put(self, text: bytes) -> None:
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.connection.cut()

    def end(self) -> None:
        """Let the reader know that nothing more comes, if it reads."""
        if self.connection.writing_paused:
            self.connection.cut()
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(None)

    async def next(self) -> bytes | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                return await self._waiting.get()
        return _BEAT


class Events:
    """`/api/events`; `most` is how many streams there may be."""

    def __init__(self, sources: Sources, api: Api, most: int = STREAMS) -> None:
        self._sources = sources
        self._api = api
        self._most = most
        self._streams: set[_Stream] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._status: dict[str, Any] = {}
        self._until = 0.0
        self._problems: dict[str, tuple[int, str]] = {}
        self._revision = -1
        self._ended = False

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the route. There is no HEAD: its answer would have no end."""
        router.add_get(_PATH, self._stream, allow_head=False)

    async def stop(self) -> None:
        """End every stream, and let none begin."""
        self._ended = True
        for stream in self._streams:
            stream.end()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        if len(self._streams) >= self._most or self._ended:
            answer = json_answer({"error": f"there are {self._most} event streams, which is the most"}, 503)
            answer.headers["Retry-After"] = str(_RETRY_SECONDS)
            return answer
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        stream = _Stream(connection)
        self._streams.add(stream)
        connection.stream(stream.end)
        try:
            with suppress(ConnectionError):
                await response.prepare(request)
                for text in self._all():
                    await self._write(response, stream, text)
                if self._ticking is None or self._ticking.done():
                    self._ticking = asyncio.create_task(self._tick(), name="events")
                while (news := await stream.next()) is not None:
                    await self._write(response, stream, news)
                await self._write(response, stream, _END)
        finally:
            self._streams.discard(stream)
        return response

    async def _write(self, response: web.StreamResponse, stream: _Stream, text: bytes) -> None:
        try:
            async with asyncio.timeout(stream.connection.bounds.answer_seconds):
                await response.write(text)
        except TimeoutError:
            stream.connection.cut()
            raise ConnectionResetError from None

    async def _tick(self) -> None:
        try:
            while self._streams:
                await asyncio.sleep(TICK_SECONDS)
                await self._sources.ask(_PATH)
                for text in self._news():
                    for stream in self._streams:
                        stream.put(text)
        finally:
            # After a fault readers come again, and find another task.
            for stream in self._streams:
                stream.end()

    def _all(self) -> Iterable[bytes]:
        """What a stream begins with; what has been told to the others is not told again."""
        yield _event("status", self._api.status())
        latest = self._sources.history.latest()
        if latest is not None:
            yield _event("history", latest)
        yield _changed(self._sources.problems.select(ALL), lambda _: True)

    def _news(self) -> Iterable[bytes]:
        status = self._api.status()
        if _lasting(status) != self._status:
            self._status = _lasting(status)
            yield _event("status", status)
        history = self._sources.history
        latest = history.latest()
        if latest is not None and history.until != self._until:
            self._until = history.until
            yield _event("history", latest)
        revision, self._revision = self._revision, self._sources.problems.revision
        if revision == self._revision:
            return
        problems = self._sources.problems.select(ALL)
        known, self._problems = self._problems, {each.id: (each.count, each.last_seen) for each in problems}
        if known != self._problems:
            yield _changed(problems, lambda each: known.get(each.id) != self._problems[each.id])


def _changed(problems: list[Problem], wanted: Callable[[Problem], bool]) -> bytes:
    changed = [each.as_json(examples=False) for each in problems if wanted(each)]
    return _event("problems", {"total": len(problems), "changed": changed})


def _lasting(status: dict[str, Any]) -> dict[str, Any]:
    """The status without what changes by itself."""
    return {name: value for name, value in status.items() if name != "uptime_seconds"}


def _event(name: str, value: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
