"""Plain data and a template → HTML.

Law: escapes everything it is given; a name that a template uses and nobody gave is an error, not a blank. What is
written here decides how a number, a time or a shape reads, never what is shown.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from proxy.observe.admin.pages import charts

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context

_UNITS: Final = ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s"))

_TONES: Final = {
    "good": frozenset({"ready", "up", "AVAILABLE", "serving"}),
    "warn": frozenset(
        {
            "draining",
            "LOADING",
            "START",
            "UNLOADING",
            "starting",
            "waiting",
            "silent",
            "not connected yet",
            "half-open",
        }
    ),
    "quiet": frozenset({"END"}),
}
"""States by what they are to an operator; every other is bad."""


def render(template: str, **given: Any) -> bytes:
    """The page made of a template."""
    html = _templates().get_template(template).render(given, now=datetime.now(UTC))
    # A name may hold what is no Unicode.
    return html.encode(errors="backslashreplace")


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context  # only who looks pays for it

    templates = Environment(
        loader=PackageLoader("proxy.observe.admin.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,
    )
    templates.filters |= {
        "ago": pass_context(_ago),
        "amount": _amount,
        "capitalised": _capitalised,
        "duration": _duration,
        "full": _full,
        "long": _long,
        "max_of": lambda counts: max(counts, default=0),
        "number": charts.number,
        "quoted": lambda name: quote(name, safe="", errors="replace"),
        "peer": lambda peer: peer.removeprefix("ipv4:").removeprefix("ipv6:"),
        "sentence": _sentence,
        "shape": _shape,
        "sparkline": charts.sparkline,
        "step": _step,
        "told": _told,
        "tone": _tone,
        "words": lambda name: name.replace("_", " "),
    }
    return templates


def _ago(context: "Context", time: str) -> str:
    return _since((context["now"] - datetime.fromisoformat(time)).total_seconds())


def _since(seconds: float) -> str:
    if seconds < 1:
        return "now"
    size, unit = next(each for each in _UNITS if seconds >= each[0])
    count = int(seconds // size)
    return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"


def _long(seconds: float) -> str:
    """A length of time in its two largest units."""
    parts = []
    left = int(seconds)
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(parts[:2]) or "0 s"


def _full(time: str) -> str:
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: float | None) -> str:
    return "\N{EN DASH}" if seconds is None else charts.duration(seconds)


def _amount(value: float, name: str) -> str:
    """A number of what a bound is called after."""
    if "bytes" not in name:
        return charts.number(value)
    for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= size:
            return f"{charts.three(value / size)} {unit}"
    return f"{value:.0f} B"


def _capitalised(text: str) -> str:
    return text if text.isupper() else text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    text = _capitalised(text.strip())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _tone(state: str) -> str:
    return next((tone for tone, states in _TONES.items() if state in states), "bad")


def _shape(shape: Sequence[int] | None) -> str:
    if shape is None:
        return "any"
    return f"[{', '.join('?' if size < 0 else str(size) for size in shape)}]"


def _step(step: Mapping[str, Any]) -> str:
    """A step of a mending as it would be called."""
    told = ", ".join(f"{name}={_told(value)}" for name, value in step.items() if name != "do")
    return f"{step['do']}({told})"


def _told(value: Any) -> str:
    """A value of a setting as its file would hold it."""
    match value:
        # Any mapping, empty or not, matches the pattern {}.
        case None | "" | []:
            return "\N{EN DASH}"
        case Mapping() if not value:
            return "\N{EN DASH}"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{name}: {_told(each)}" for name, each in value.items())
        case [*_]:
            return ", ".join(map(_told, value))
        case _:
            return str(value)
