"""The page over HTTP: a route for each view, the files that belong to it, and the two forms that do something.

Law: reads the question and the form, and answers; what a view shows is `views`' business. What comes by POST must come
from our own page, and is bounded before it is read.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import BodyPartReader, web

from proxy.observe.admin.access import AUTHORISED
from proxy.observe.admin.api import Api
from proxy.observe.admin.connections import TRIED_OCTETS
from proxy.observe.admin.origins import from_own_page
from proxy.observe.admin.pages import views
from proxy.observe.admin.pages.examples import code_for, inputs_for
from proxy.observe.admin.pages.reaching import server_for
from proxy.observe.admin.views import Sources

_STATIC: Final = {
    "style.css": "text/css",
    "script.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_LEVELS: Final = ("debug", "info", "warning", "error")
_MOST_BYTES: Final = TRIED_OCTETS - (64 << 10)
"""Of the parts of a form; the rest is for what stands around them."""
_MOST_PARTS: Final = 600

_ERRORS: Final = {
    404: ("There is no such page", "The link may be an old one, or the address mistyped."),
    405: ("Nothing is shown here", "This address is for the buttons of another page."),
    413: (
        "That is too large",
        f"At most {_MOST_BYTES >> 20} MiB are taken; `tfs-proxy check` judges larger files.",
    ),
    503: (
        "Another request is being tried",
        "One is tried at a time: go back, and send yours again in a moment.",
    ),
}
"""What a person is told for the status of an error."""

_FOREIGN: Final = "403 Forbidden: this is for the page itself; a browser must say that the form stood on it\n"
_LOOK_ONLY: Final = (
    "Whoever reaches this port may look, and only who has a token may change anything: start the proxy with "
    "--admin-tokens FILE."
)


class PageHandlers:
    """The routes of the page over what `api` and `sources` tell."""

    def __init__(self, sources: Sources, api: Api) -> None:
        self._sources = sources
        self._api = api
        self._trying = asyncio.Lock()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        for path, view in {
            "/": lambda known, request: views.overview(known, request.query),
            "/problems": lambda known, request: views.problems(known, request.query),
            "/problems/{id}": lambda known, request: views.problem(known, request.match_info["id"]),
            "/models": lambda known, _: views.models(known),
            "/models/{name:.+}": lambda known, request: views.model(
                known, request.match_info["name"], request.query
            ),
            "/reasons/{name}": lambda known, request: views.reason(known, request.match_info["name"]),
            "/suspects": lambda known, _: views.suspects(known),
            "/captures": lambda known, _: views.captures(known),
            "/try": lambda known, request: views.trial(known, request.query, self._allowed(request)),
            "/settings": lambda known, request: views.settings(
                known, self._allowed(request), _said(request.query.get("changed", ""))
            ),
        }.items():
            router.add_get(path, partial(self._view, view))
        for name, kind in _STATIC.items():
            router.add_get(f"/static/{name}", partial(_static, name, kind))
        router.add_post("/try", self._try)
        router.add_post("/settings/log-level", self._set_log_level)

    def _allowed(self, request: web.Request) -> views.Allowed:
        change = bool(request.get(AUTHORISED))
        return views.Allowed(
            change, "" if change else _LOOK_ONLY, send=self._sources.try_send, most_bytes=_MOST_BYTES
        )

    async def _view(
        self, view: Callable[[views.Known, web.Request], bytes], request: web.Request
    ) -> web.Response:
        await self._asked(request)
        known = self._known_to(request)
        try:
            return _html(view(known, request))
        except views.NotThereError as error:
            return _html(views.missing(known, error), 404)

    async def error(
        self, request: web.Request, error: web.HTTPException, headers: Mapping[str, str]
    ) -> web.Response:
        """The page for whoever has asked for what is not there, or in a way that it is not answered."""
        await self._asked(request)
        title, text = _ERRORS.get(error.status, (error.reason, "What was sent cannot be used here."))
        told = views.NotThereError(title, text, "/")
        return _html(views.missing(self._known_to(request), told), error.status, headers)

    def _known_to(self, request: web.Request) -> views.Known:
        return known_from(self._sources, self._api, _host(request))

    async def _asked(self, request: web.Request) -> None:
        """Every view needs what the overview needs, which was asked for already where it is the overview."""
        if request.path != "/":
            await self._sources.ask("/")

    # === what does something ===

    async def _try(self, request: web.Request) -> web.Response:
        if not from_own_page(request.headers):
            return web.Response(status=403, text=_FOREIGN)
        if self._trying.locked():
            raise web.HTTPServiceUnavailable(reason="Service Unavailable: another request is being tried")
        # Before the form is read: of several, each would take its room at the same time.
        async with self._trying:
            form = await _form_of(request)
            asked, outcome = await self._outcome(form)
        await self._asked(request)
        return _html(views.trial(self._known_to(request), asked, self._allowed(request), outcome))

    async def _outcome(self, form: list[tuple[str, str, bytes]]) -> tuple[dict[str, str], dict[str, Any]]:
        from proxy.observe.admin.pages import trying  # loads protobuf
        from proxy.wire.request_files import UnreadableRequestError

        text = {name: value.decode(errors="replace") for name, _, value in form if name != "file"}
        aliases = [value.decode(errors="replace") for name, _, value in form if name == "alias"]
        tensors = [value.decode(errors="replace") for name, _, value in form if name == "tensor"]
        asked = {name: text.get(name, "") for name in ("model", "signature")}
        asked |= {f"tensor.{alias}": tensor for alias, tensor in zip(aliases, tensors, strict=False)}
        file = next(((name, value) for field, name, value in form if field == "file"), None)
        name = "" if file is None else file[0]
        try:
            if file is not None:
                message = await asyncio.to_thread(trying.of_file, *file)
            else:
                found = dict(zip(aliases, tensors, strict=False))
                message = await asyncio.to_thread(trying.of_form, asked["model"], asked["signature"], found)
        except UnreadableRequestError as error:
            return asked, trying.unreadable(name, error)
        told = await self._sources.attempt(message, text.get("do") == "send" and self._sources.try_send)
        if told is None:
            return asked, {"name": name, "problem": "Nobody is there to judge it: no worker answers."}
        return asked, {"name": name, "problem": "", **told}

    async def _set_log_level(self, request: web.Request) -> web.Response:
        if not from_own_page(request.headers):
            return web.Response(status=403, text=_FOREIGN)
        if not request.get(AUTHORISED):
            return web.Response(
                status=403, text="403 Forbidden: --admin-tokens is needed to change anything\n"
            )
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPUnsupportedMediaType
        level = str((await request.post()).get("level", ""))
        if level not in _LEVELS:
            raise web.HTTPBadRequest
        await self._sources.set_log_level(level)
        return web.Response(status=303, headers={"Location": f"/settings?{urlencode({'changed': level})}"})


def wants_page(request: web.Request) -> bool:
    """Whether a person looks: browsers name HTML first of all, programs do not name it."""
    return "text/html" in ",".join(request.headers.getall("Accept", [])).lower()


def known_from(sources: Sources, api: Api, host: str) -> views.Known:
    """What the views are handed: the same that /api tells; `host` is the name by which whoever looks has reached us."""
    return views.Known(
        status=api.status,
        history=api.history,
        problems=api.problems,
        problem=api.problem,
        models=api.models,
        suspects=lambda: [death.as_json() for death in sources.suspects()],
        settings=lambda: {
            each.name: {"value": each.value, "origin": each.origin, "meaning": each.meaning}
            for each in (sources.settings() if sources.settings is not None else ())
        },
        code=lambda model, signature: code_for(
            sources.models(), model, signature, server_for(sources.serving, host)
        ),
        inputs=lambda model, signature: inputs_for(sources.models(), model, signature),
    )


def _host(request: web.Request) -> str:
    """The host that was asked for, without the port."""
    host = request.host
    return host.rpartition(":")[0] if re.search(r":\d*$", host) else host


def _said(level: str) -> str:
    return f"The log level is {level} until the next start." if level in _LEVELS else ""


def _html(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    response = web.Response(
        body=body, status=status, content_type="text/html", charset="utf-8", headers=headers
    )
    response.enable_compression()
    return response


@cache
def _read(name: str) -> str:
    return (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")


async def _static(name: str, kind: str, _: web.Request) -> web.Response:
    response = web.Response(text=_read(name), content_type=kind, charset="utf-8")
    response.enable_compression()
    return response


async def _form_of(request: web.Request) -> list[tuple[str, str, bytes]]:
    """The parts of a form: name, file name, content. In memory and bounded, because nothing of it may be stored."""
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType
    parts: list[tuple[str, str, bytes]] = []
    left = _MOST_BYTES
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or len(parts) == _MOST_PARTS:
                raise web.HTTPBadRequest
            content = bytearray()
            while piece := await part.read_chunk():
                left -= len(piece)
                if left < 0:
                    raise web.HTTPRequestEntityTooLarge(_MOST_BYTES, _MOST_BYTES + 1)
                content += piece
            parts.append((part.name or "", part.filename or "", bytes(content)))
    except ValueError as error:
        raise web.HTTPBadRequest from error
    return parts
