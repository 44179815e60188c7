"""Each view: what is asked for and what is known → the data that its template shows.

Law: plain data in, HTML out; reads nothing but what `Known` hands it, and knows no HTTP. A question that makes no
sense is answered as if it had not been asked: a person may follow an old link.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from proxy.core.reasons import Reason
from proxy.core.types import DEFAULT_SIGNATURE
from proxy.documents import section
from proxy.observe.admin.pages import hour
from proxy.observe.admin.pages.axes import aligned
from proxy.observe.admin.pages.html import render
from proxy.observe.admin.pages.markdown import blocks

Json = Mapping[str, Any]

VIEWS: Final = (
    ("/", "Overview"),
    ("/problems", "Problems"),
    ("/models", "Models"),
    ("/try", "Try"),
    ("/suspects", "Suspects"),
    ("/captures", "Captures"),
    ("/settings", "Settings"),
)
"""In the order of the navigation."""

KINDS: Final = (
    ("refusal", "refused"),
    ("would_refuse", "would refuse"),
    ("warning", "warned"),
    ("upstream_error", "server errors"),
)
TIMES: Final = (("", "at any time"), ("900", "last 15 minutes"), ("3600", "last hour"), ("86400", "last day"))

_FEW: Final = 5
_PAGE: Final = 50
_ALL: Final = 1000


class NotThereError(Exception):
    """What was asked for is not there; title, text, and where to go back to."""

    def __init__(self, title: str, text: str, back: str) -> None:
        super().__init__(title)
        self.title, self.text, self.back = title, text, back


@dataclass(frozen=True, slots=True)
class Known:
    """What is known, as /api tells it; each is asked for when a view needs it."""

    status: Callable[[], Json]
    history: Callable[[str | None], Json]
    problems: Callable[[Mapping[str, str]], Json]
    """Takes the filters of /api/problems."""
    problem: Callable[[str], Json | None]
    models: Callable[[], Sequence[Json]]
    suspects: Callable[[], Sequence[Json]]
    settings: Callable[[], Mapping[str, Json]]
    code: Callable[[str, str], Json]
    """Of a model and a signature: the code in each language, or why there is none."""
    inputs: Callable[[str, str], Json]
    """Of a model and a signature: the tensors of a request that fits."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the one who looks may do, beside looking."""

    change: bool = False
    why_not: str = ""
    """Why nothing may be changed."""
    send: bool = False
    """Whether a tried request may be sent to the server."""
    most_bytes: int = 0
    """Of a tried request."""


def page(template: str, here: str, known: Known, **given: Any) -> bytes:
    """A view in its frame."""
    given.setdefault("status", None)
    given["status"] = given["status"] or known.status()
    given.setdefault("problems_in_all", known.problems({"limit": "1"})["total"])
    return render(template, here=here, views=VIEWS, **given)


def overview(known: Known, asked: Mapping[str, str]) -> bytes:
    history = known.history(asked.get("model") or None)
    found = known.problems({"limit": str(_FEW)} | _given(asked, "model"))
    points = history["points"]
    minutes = hour.shown_minutes(history)
    status = known.status()
    return page(
        "overview.html",
        "/",
        known,
        status=status,
        history=history,
        charts=hour.pictures(history, minutes),
        length=hour.LENGTHS[minutes],
        table=hour.table(history),
        recent=hour.recent(points, history["step_seconds"]),
        asked_ever=status["counts"]["requests"] > 0,
        problems=found["problems"],
        models=known.models(),
    )


def problems(known: Known, asked: Mapping[str, str]) -> bytes:
    everything = known.problems({"limit": str(_ALL)})
    filters = _given(asked, "kind", "model", "reason", "client", "since")
    limit = int(asked["limit"]) if re.fullmatch(r"[1-9]\d{0,2}", asked.get("limit", "")) else _PAGE
    found = known.problems(filters | {"limit": str(limit)})
    return page(
        "problems.html",
        "/problems",
        known,
        asked={name: filters.get(name, "") for name in ("kind", "model", "reason", "client", "since")},
        kinds=KINDS,
        times=TIMES,
        models=_names(everything["problems"], "model", filters),
        reasons=_names(everything["problems"], "reason", filters),
        filtered=bool(filters),
        problems=found["problems"],
        problems_in_all=everything["total"],
        total=found["total"],
        more="/problems?" + urlencode(filters | {"limit": str(min(_ALL - 1, 4 * limit))}, errors="replace"),
    )


def problem(known: Known, name: str) -> bytes:
    found = known.problem(name)
    if found is None:
        raise NotThereError(
            "This problem is not remembered",
            "It may have been long ago, or the proxy has been started anew since.",
            "/problems",
        )
    code = known.code(found["model"], found["signature"]) if found["model"] else {}
    return page(
        "problem.html",
        "/problems",
        known,
        problem=found,
        model_names={each["name"] for each in known.models()},
        axes=aligned(found["expected"], found["got"]),
        code=code,
    )


def models(known: Known) -> bytes:
    return page("models.html", "/models", known, models=known.models(), signature_names=_signatures)


def model(known: Known, name: str, asked: Mapping[str, str]) -> bytes:
    found = next((each for each in known.models() if each["name"] == name), None)
    if found is None:
        raise NotThereError(
            "This model is not known",
            "No request for it has been seen, and --model does not name it.",
            "/models",
        )
    names = _signatures(found)
    chosen = _chosen(names, asked.get("signature", ""))
    return page(
        "model.html",
        "/models",
        known,
        model=found,
        names=names,
        chosen=chosen,
        code=known.code(name, chosen),
        batches=list(_batches(found["batch_sizes"]["buckets"])),
    )


def trial(known: Known, asked: Mapping[str, str], allowed: Allowed, outcome: Json | None = None) -> bytes:
    """The form for a request; `asked` may hold what was tried, and `outcome` what came of it."""
    every = {each["name"]: _signatures(each) for each in known.models() if each["signatures"]}
    name = asked.get("model", "")
    if name not in every:
        name = next(iter(every), "")
    names = every.get(name, [])
    signature = _chosen(names, asked.get("signature", ""))
    fitting = known.inputs(name, signature)
    sent = {key.removeprefix("tensor."): text for key, text in asked.items() if key.startswith("tensor.")}
    return page(
        "try.html",
        "/try",
        known,
        models=list(every),
        model=name,
        names=names,
        signature=signature,
        inputs=[each | {"json": sent.get(each["alias"], each["json"])} for each in fitting["inputs"]],
        why_not=fitting["why_not"] if every else "",
        can_send=allowed.send,
        most=allowed.most_bytes >> 20,
        outcome=outcome,
        align=aligned,
    )


def suspects(known: Known) -> bytes:
    return page("suspects.html", "/suspects", known, deaths=known.suspects())


def captures(known: Known) -> bytes:
    return page("captures.html", "/captures", known, settings=known.settings())


def settings(known: Known, allowed: Allowed, said: str = "") -> bytes:
    shown = known.settings().items()
    return page(
        "settings.html",
        "/settings",
        known,
        chosen=[each for each in shown if each[1]["origin"] != "default"],
        left=[each for each in shown if each[1]["origin"] == "default"],
        may_change=allowed.change,
        why_not=allowed.why_not,
        said=said,
    )


def reason(known: Known, name: str) -> bytes:
    if name not in Reason.__members__:
        raise NotThereError("There is no such reason", "docs/reasons.md has all of them.", "/problems")
    return page(
        "reason.html",
        "/problems",
        known,
        name=name,
        meaning=blocks(section("reasons.md", f"### {name}")),
        runbook=blocks(section("runbook.md", f"## {name}")),
    )


def missing(known: Known, error: NotThereError) -> bytes:
    return page("missing.html", "", known, title=error.title, text=error.text, back=error.back)


# === what templates show, from what /api tells ===


def _given(asked: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: asked[name].strip() for name in names if asked.get(name, "").strip()}


def _names(found: Sequence[Json], name: str, filters: Mapping[str, str]) -> list[str]:
    """The values to choose from; what was asked for stays, although it is not there any more."""
    return sorted({each[name] for each in found if each[name]} | set(_given(filters, name).values()))


def _signatures(model: Json) -> list[str]:
    found = {name for signatures in model["signatures"].values() for name in signatures}
    return sorted(found, key=lambda name: (name != DEFAULT_SIGNATURE, name))


def _chosen(names: Sequence[str], asked: str) -> str:
    if asked in names:
        return asked
    return next(iter(names), "")


def _batches(buckets: Sequence[Sequence[float | None]]) -> Iterator[dict[str, Any]]:
    """Each bucket that something is in, as a row."""
    whole = sum(count or 0 for _, count in buckets)
    below = 0
    for bound, count in buckets:
        if count and bound is not None and bound <= below + 1:
            yield _row(f"{bound:.0f}", count, whole)
        elif count:
            yield _row(f"more than {below}" if bound is None else f"{below + 1} to {bound:.0f}", count, whole)
        below = below if bound is None else int(bound)


def _row(name: str, count: float, whole: float) -> dict[str, Any]:
    return {"name": name, "count": count, "share": round(100 * count / whole, 1)}
