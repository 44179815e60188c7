"""The admin port: health, metrics and what the proxy knows, over HTTP for operators and their tools.

GET (and HEAD), and nothing that is asked for so changes anything:

- `/livez`         200 while the process serves
- `/readyz`        200 when every condition holds, else 503; `?verbose` lists them
- `/metrics`       Prometheus text or OpenMetrics, as the scraper asks
- `/api/status`    is it up, for whom, since when, how near are its bounds
- `/api/history`   the last hour in steps of 15 seconds, in all or of one model
- `/api/problems`  what goes wrong, the same mistake once; `/api/problems/{id}` one of them
- `/api/models`    models, states of their versions, signatures, what changed and who is affected
- `/api/refusals`  the last refusals: names, dtypes, shapes, reasons
- `/api/suspects`  what was in flight when the server died: names, dtypes, shapes
- `/api/workers`   of several workers: state, process, connections, calls under way, restarts
- `/api/config`    the effective settings and where each comes from
- `/api/events`    status, curves and problems as they change, as an event stream
- `/api/openapi.json` describes all of /api
- `/`              the same for a person (pages/), with two forms by POST: a request to try, and the log level

A name that the port is not known by (hosts.py) is answered 421; `/livez`, and `/readyz` without its texts, are
answered whatever the name, because they give nothing away and a probe may ask by any. Where there are tokens
(access.py), everything but those two wants one; `request[AUTHORISED]` says whether a request came with one.

Law: with api.py and pages/handlers.py the only place that knows HTTP. What it shows is handed in; it belongs on loopback or inside a pod.
"""

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Final

import structlog
from aiohttp import HttpVersion11, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.core.tokens import Tokens
from proxy.observe.admin.accepting import Door
from proxy.observe.admin.access import AUTHORISED, CHALLENGES, Certificate, is_authorised
from proxy.observe.admin.api import Api, json_answer
from proxy.observe.admin.connections import Bounds, Connection, Connections, affordable
from proxy.observe.admin.events import STREAMS, Events
from proxy.observe.admin.hosts import Asked, Hosts
from proxy.observe.admin.pages.handlers import PageHandlers, wants_page
from proxy.observe.admin.views import Sources, readiness_text

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: with that a browser hides of our own forms too where they stood (see origins.py).
    "Referrer-Policy": "same-origin",
    "Server": "tfs-proxy",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SHUTDOWN_SECONDS = 1.0

ADMIN_CONNECTIONS_FULL: Final = "admin_connections_full"

_HEALTH: Final = frozenset({"/livez", "/readyz"})
_REFUSED: Final = {
    Asked.MALFORMED: (400, "400 Bad Request: one Host is needed, a name or an address\n"),
    Asked.FOREIGN: (
        421,
        "421 Misdirected Request: this is none of the names of this port; --admin-host NAME allows one more\n",
    ),
}

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Collected(Collector):
    """Families already collected, for an encoder."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class AdminServer:
    """Serves the admin port from `start` to `stop`.

    `names` are host names under which it may be asked, beside localhost, addresses and `host` itself. `tokens` are those
    of which it wants one; with a `certificate` it answers HTTPS.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        sources: Sources,
        *,
        version: str,
        host: str = "127.0.0.1",
        port: int = 8601,
        names: Collection[str] = (),
        bounds: Bounds | None = None,
        tokens: Tokens | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._registry = registry
        self._sources = sources
        self._version = version
        self._api = Api(sources)
        bounds = bounds or affordable()
        self._events = Events(sources, self._api, min(STREAMS, bounds.connections // 2))
        self._page = PageHandlers(sources, self._api)
        self._host = host
        self._port = port
        self._certificate = certificate
        self.adopt(names, tokens)
        self._connections = Connections(_HEADERS, self._full, bounds)
        context = None if certificate is None else certificate.context
        self._door = Door(self._connection, context, self._connections.bounds.connections)
        self._scraping = asyncio.Lock()
        self._runner = web.AppRunner(self._app(), handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)

    def adopt(
        self, names: Collection[str], tokens: Tokens | None, certificate: ssl.SSLContext | None = None
    ) -> None:
        """Be asked under these names, want one of these tokens (None: of nobody), and answer with this certificate."""
        self._hosts = Hosts((self._host, *names))
        self._tokens = tokens
        if self._certificate is not None and certificate is not None:
            self._certificate.renew(certificate)

    async def start(self) -> int:
        """Bind, and return the port (useful where 0 asked for any).

        Raises OSError with a sentence for a person when the address cannot be had.
        """
        await self._runner.setup()
        try:
            return self._door.open(self._host, self._port)
        except OSError as error:
            await self._runner.cleanup()
            # Without its number, which a sentence would begin with.
            raise OSError(self._complaint(error)) from error

    async def stop(self) -> None:
        """Close the port, giving answers under way a second. Harmless when nothing was started."""
        self._door.close()
        await self._events.stop()
        await self._runner.cleanup()

    def _connection(self) -> Connection:
        assert self._runner.server is not None
        return Connection(self._runner.server, self._connections)

    def _full(self) -> None:
        _log.warning(ADMIN_CONNECTIONS_FULL, connections=self._connections.bounds.connections)

    def _complaint(self, error: OSError) -> str:
        address = f"admin address {self._host}:{self._port}"
        match error.errno:
            case errno.EADDRINUSE:
                return f"{address} is already in use: stop what listens there or choose another with --admin-listen"
            case errno.EACCES:
                return f"{address} needs privileges: choose a port above 1023 with --admin-listen"
            case errno.EADDRNOTAVAIL | None:  # asyncio of Python 3.13 says so without the number
                return f"{address} is no address of this machine: choose another with --admin-listen"
            case _:
                return f"{address} cannot be had: {error.strerror or error}"

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[_in_time, self._by_name, self._by_token, self._short_errors, self._asked_first]
        )
        app.on_response_prepare.append(_harden)
        self._page.add_to(app.router)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._api.add_to(app.router)
        self._events.add_to(app.router)
        app.router.add_get("/api/refusals", self._refusals)
        app.router.add_get("/api/suspects", self._suspects)
        if self._sources.workers is not None:
            app.router.add_get("/api/workers", self._workers)
        if self._sources.settings is not None:
            app.router.add_get("/api/config", self._config)
        return app

    @web.middleware
    async def _by_name(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = self._asked(request)
        if asked is Asked.KNOWN or (asked is Asked.FOREIGN and _is_health(request)):
            return await handler(request)
        status, text = _REFUSED[asked]
        return web.Response(status=status, text=text)

    @web.middleware
    async def _by_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        tokens = self._tokens
        authorised = tokens is not None and is_authorised(tokens, request.headers.getall("Authorization", []))
        request[AUTHORISED] = authorised
        if tokens is None or authorised or _is_health(request):
            return await handler(request)
        refusal = web.Response(
            status=401, text="401 Unauthorized: one of the tokens of --admin-tokens is needed\n"
        )
        for challenge in CHALLENGES:
            refusal.headers.add("WWW-Authenticate", challenge)
        return refusal

    @web.middleware
    async def _short_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as one plain line, to a browser as a page with the way back; neither echoes the path."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            if wants_page(request):
                return await self._page.error(request, error, headers)
            return web.Response(status=error.status, text=f"{error.status} {error.reason}\n", headers=headers)

    @web.middleware
    async def _asked_first(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # Liveness depends on nobody.
        if request.path != "/livez":
            await self._sources.ask(request.path)
        return await handler(request)

    def _asked(self, request: web.Request) -> Asked:
        fields = request.headers.getall("Host", [])
        return self._hosts.judge(request.raw_path, fields, since_http_1_1=request.version >= HttpVersion11)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        checks = self._sources.readiness()
        failed = [check for check in checks if not check.ok]
        told = checks if "verbose" in request.query else failed
        if self._asked(request) is not Asked.KNOWN or (self._tokens is not None and not request[AUTHORISED]):
            told = []
        lines = [*([readiness_text(told)] if told else []), "not ready" if failed else "ok"]
        return web.Response(text="\n".join(lines) + "\n", status=503 if failed else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(",".join(request.headers.getall("Accept", [])))
        names = request.query.getall("name[]", [])
        source = self._registry.restricted_registry(names) if names else self._registry
        # Collected on the loop, whose numbers they are; encoding takes longer and needs only the result. One at
        # a time, so that scrapers cannot crowd out requests.
        async with self._scraping:
            collected = _Collected(list(source.collect()))
            body = await asyncio.to_thread(encode, collected)
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    async def _refusals(self, _: web.Request) -> web.Response:
        return json_answer({"refusals": [refusal.as_json() for refusal in self._sources.refusals()]})

    async def _suspects(self, _: web.Request) -> web.Response:
        return json_answer({"deaths": [death.as_json() for death in self._sources.suspects()]})

    async def _workers(self, _: web.Request) -> web.Response:
        assert self._sources.workers is not None
        return json_answer({"workers": [asdict(worker) for worker in self._sources.workers()]})

    async def _config(self, _: web.Request) -> web.Response:
        assert self._sources.settings is not None
        return json_answer(
            {each.name: {"value": each.value, "origin": each.origin} for each in self._sources.settings()}
        )


def _is_health(request: web.Request) -> bool:
    """Whether a probe may ask for it."""
    return request.path in _HEALTH and "verbose" not in request.query


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


@web.middleware
async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write the answer here, so that its connection learns when it is taken."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    connection.begin()
    response = await handler(request)
    # aiohttp sees for itself that the connection is gone.
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
    connection.done()
    return response
