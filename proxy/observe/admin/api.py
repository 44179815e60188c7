"""The JSON under /api that programs read: status, curves, problems, models; each answer as openapi.yaml describes it.

Law: reads the question, asks the sources, answers. A question that cannot be answered is told which parameter is wrong,
in words that repeat nothing of it.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from aiohttp import web

from proxy.core.reasons import Reason
from proxy.observe.admin.status import status_json
from proxy.observe.admin.views import ModelListing, Sources, model_json
from proxy.observe.catalogue import METRICS
from proxy.observe.drifts import history_of
from proxy.observe.history import MINUTES
from proxy.observe.problem import KINDS, Filter

_MOST: Final = 1000
_LONGEST: Final = 200
_BATCH_SIZE: Final = "tfs_proxy_batch_size"


class _UnusableError(Exception):
    """A parameter that cannot be used; the text is a sentence for a person."""


class Api:
    """The handlers of the JSON that is told of one proxy, or of several workers as of one."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/api/status", self._status)
        router.add_get("/api/history", self._history)
        router.add_get("/api/problems", self._problems)
        router.add_get("/api/problems/{id}", self._problem)
        router.add_get("/api/models", self._models)
        router.add_get("/api/openapi.json", self._openapi)

    def status(self) -> dict[str, Any]:
        """What /api/status answers."""
        return status_json(self._sources, datetime.now(UTC))

    async def _status(self, request: web.Request) -> web.Response:
        return _answered(request, {}, lambda _: self.status())

    def history(self, model: str | None, minutes: int = MINUTES) -> dict[str, Any]:
        """What /api/history answers."""
        return self._sources.history.as_json(model, minutes)

    def problems(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What /api/problems answers; a filter that cannot be used is passed over."""
        usable: dict[str, Any] = {}
        for name, text in asked.items():
            with suppress(_UnusableError):
                usable[name] = _FILTERS[name](text)
        return self._found(Filter(**usable))

    def problem(self, name: str) -> dict[str, Any] | None:
        """What /api/problems/{id} answers."""
        found = self._sources.problems.get(name)
        return None if found is None else found.as_json()

    def models(self) -> list[dict[str, Any]]:
        """What /api/models lists."""
        problems, batches = self._sources.problems.select(Filter()), self._batch_sizes()
        drifts = list(self._sources.drifts())

        def more(model: ModelListing) -> dict[str, Any]:
            return {
                "drifts": history_of(model.name, drifts, problems),
                "batch_sizes": {"buckets": batches.get(model.name, [])},
                "latency": self._sources.history.latency(model.name),
            }

        return [model_json(model) | more(model) for model in self._sources.models()]

    async def _history(self, request: web.Request) -> web.Response:
        return _answered(
            request,
            {"model": _text, "minutes": lambda text: _number(text, MINUTES)},
            lambda asked: self.history(asked.get("model"), asked.get("minutes", MINUTES)),
        )

    async def _problems(self, request: web.Request) -> web.Response:
        return _answered(request, _FILTERS, lambda asked: self._found(Filter(**asked)))

    def _found(self, asked: Filter) -> dict[str, Any]:
        found = self._sources.problems.select(asked._replace(limit=None))
        return {"total": len(found), "problems": [each.as_json() for each in found[: asked.limit]]}

    async def _problem(self, request: web.Request) -> web.Response:
        problem = self.problem(request.match_info["id"])
        if problem is None:
            return json_answer(
                {"error": "there is no problem of this id, or it is no longer remembered"}, 404
            )
        return json_answer(problem)

    async def _models(self, request: web.Request) -> web.Response:
        return _answered(request, {}, lambda _: {"models": self.models()})

    def _batch_sizes(self) -> dict[str, list[list[float | int | None]]]:
        """How many requests of each model are in each bucket alone; a bound of null is none."""
        found: dict[str, list[list[float | int | None]]] = {}
        below: dict[str, int] = {}
        for family in self._sources.families((_BATCH_SIZE,)):
            for sample in family.samples:
                if sample.name != f"{_BATCH_SIZE}_bucket":
                    continue
                model, bound, value = sample.labels["model"], float(sample.labels["le"]), int(sample.value)
                found.setdefault(model, []).append(
                    [None if bound > METRICS[_BATCH_SIZE].buckets[-1] else bound, value - below.get(model, 0)]
                )
                below[model] = value
        return found

    async def _openapi(self, request: web.Request) -> web.Response:
        return _answered(request, {}, lambda _: openapi())


@cache
def openapi() -> dict[str, Any]:
    """The description of everything under /api."""
    text = Path(__file__).with_name("openapi.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def json_answer(value: Any, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(
        text=json.dumps(value, indent=2) + "\n", status=status, content_type="application/json"
    )


def _answered(
    request: web.Request,
    takes: Mapping[str, Callable[[str], Any]],
    answer: Callable[[Mapping[str, Any]], Any],
) -> web.Response:
    """The answer to a question with these parameters, each with how it is read."""
    asked: dict[str, Any] = {}
    for name, text in request.query.items():
        if name not in takes:
            known = f"it takes {', '.join(sorted(takes))}" if takes else "it takes none"
            return json_answer({"error": f"a parameter is not known here: {known}"}, 400)
        if name in asked:
            return json_answer({"error": f"{name} is given more than once"}, 400)
        if not text:
            continue
        try:
            asked[name] = takes[name](text)
        except _UnusableError as error:
            return json_answer({"error": f"{name} {error}"}, 400)
    return json_answer(answer(asked))


def _text(text: str) -> str:
    if len(text) > _LONGEST:
        raise _UnusableError(f"has more than {_LONGEST} characters")
    return text


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not 1 <= int(text) <= most:
        raise _UnusableError(f"must be a whole number from 1 to {most}")
    return int(text)


def _one_of(text: str, known: Any) -> str:
    values = [str(each) for each in known]
    if text not in values:
        named = (
            f": {', '.join(values)}"
            if len(values) < 10
            else ", as /api/problems and docs/reasons.md name them"
        )
        raise _UnusableError(f"must be one of those there are{named}")
    return text


def _time(text: str) -> datetime:
    try:
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return datetime.now(UTC) - timedelta(seconds=float(text))
        # A plus that was not escaped arrives as a blank.
        when = datetime.fromisoformat(text.replace(" ", "+"))
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _UnusableError(
            "must be a time as in 2026-01-02T12:00:00Z (RFC 3339), or how many seconds ago"
        ) from None


_FILTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "model": _text,
    "client": _text,
    "since": _time,
    "reason": lambda text: _one_of(text, Reason),
    "kind": lambda text: _one_of(text, KINDS),
    "limit": lambda text: _number(text, _MOST),
}
"""The parameters of /api/problems."""
