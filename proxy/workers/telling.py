"""The worker's side of the admin port: what it knows of itself, for its supervisor, on a private Unix socket.

At an orderly end its last numbers stay behind in a file beside the socket.

Law: only reads, but for a request that is tried and the level of the log, and answers whoever may open the socket: it stands in a folder of the supervisor's user alone.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy.observe.admin.connections import TRIED_OCTETS
from proxy.observe.admin.views import Sources
from proxy.workers.state import PARTS, family_of

ATTEMPT_SECONDS: Final = 14.0
"""For a request that is tried: what is left of the answer's time on the admin port."""


class Telling:
    """Answers with the parts of the worker's state from `start` to `stop`."""

    def __init__(self, path: Path, registry: CollectorRegistry, sources: Sources) -> None:
        self._path = path
        self._registry = registry
        self._ask: dict[str, Callable[[], Any]] = {
            "checks": sources.readiness,
            "drifts": sources.drifts,
            "metrics": lambda: list(registry.collect()),
            "models": sources.models,
            "problems": sources.problems.select,
            "refusals": sources.refusals,
            "suspects": sources.suspects,
            "upstreams": sources.upstreams,
        }
        self._sources = sources
        app = web.Application(client_max_size=TRIED_OCTETS)
        app.router.add_get("/{part}", self._answer)
        app.router.add_post("/judge", partial(self._attempt, False))
        app.router.add_post("/send", partial(self._attempt, True))
        app.router.add_post("/log-level", self._set_log_level)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)

    async def start(self) -> int:
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._path)).start()
        return 0

    async def stop(self) -> None:
        await self._runner.cleanup()
        # Without a supervisor there may be no folder any more, and nobody who reads.
        with suppress(OSError):
            await asyncio.to_thread(self._leave_behind, list(self._registry.collect()))

    def _leave_behind(self, collected: list[Any]) -> None:
        whole = self._path.with_suffix(".partial")
        whole.write_text(_written("metrics", collected), encoding="utf-8")
        whole.replace(last_words(self._path))

    async def _attempt(self, send: bool, request: web.Request) -> web.Response:
        return web.json_response(await self._sources.attempt(await request.read(), send))

    async def _set_log_level(self, request: web.Request) -> web.Response:
        await self._sources.set_log_level(await request.text())
        return web.json_response({})

    async def _answer(self, request: web.Request) -> web.Response:
        part = request.match_info["part"]
        if part not in PARTS:
            raise web.HTTPNotFound
        # Collected on the loop, whose numbers they are; putting them into words takes longer, and has time.
        found = self._ask[part]()
        body = await asyncio.to_thread(_written, part, list(found))
        return web.Response(text=body, content_type="application/json")


def last_words(path: Path) -> Path:
    """Where a worker with this admin socket leaves its last numbers."""
    return path.with_suffix(".last")


def _written(part: str, found: list[Any]) -> str:
    if part == "metrics":
        found = [family_of(metric) for metric in found]
    return json.dumps(PARTS[part].encode(found))
