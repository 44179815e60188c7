"""The last hour as the overview shows it: pictures, the same as a table, and the last five minutes in a few numbers.

Law: what /api/history tells in, plain data out; how a picture is drawn is known by `charts`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final

from proxy.observe.admin.pages import charts

Json = Mapping[str, Any]

_MINUTE: Final = 60
LENGTHS: Final = {
    5: "The last 5 minutes",
    15: "The last 15 minutes",
    30: "The last half hour",
    60: "The last hour",
}
"""How much of it the pictures may show, in minutes."""
_RECENT_SECONDS: Final = 300
_TABLE_MINUTES: Final = 5
_COUNTS: Final = ("requests", "refused", "would_refuse", "warnings", "errors")
_TIMES: Final = ("p50", "p99", "upstream_p99", "own_p99")


def shown_minutes(history: Json) -> int:
    """How much of the hour the pictures show: where there is little yet, an empty hour would hide it."""
    points = history["points"]
    if not points:
        return min(LENGTHS)
    age = datetime.fromisoformat(history["until"]) - datetime.fromisoformat(points[0]["time"])
    return next((each for each in LENGTHS if age.total_seconds() <= each * _MINUTE), max(LENGTHS))


def pictures(history: Json, length: int) -> list[charts.Chart]:
    """The curves and bars of the last `length` minutes."""
    points, step = history["points"], history["step_seconds"]
    span = charts.span_of(history, length)
    minutes = _by_minutes(history, 1)
    by_minute = charts.span_of({"until": history["until"], "points": minutes}, length)

    def values(name: str) -> list[float | None]:
        return [point[name] for point in points]

    def counts(name: str) -> list[float | None]:
        return [point[name] for point in minutes]

    return [
        charts.curves(
            "requests",
            "Requests",
            span,
            [charts.Line("all", "first", [point["requests"] / step for point in points])],
            charts.PER_SECOND,
        ),
        charts.bars(
            "refusals",
            "What went wrong",
            by_minute,
            [
                charts.Line("refused", "bad-bar", counts("refused")),
                charts.Line("would refuse", "warn-bar", counts("would_refuse")),
                charts.Line("warnings", "odd-bar", counts("warnings")),
                charts.Line("errors", "quiet-bar", counts("errors")),
            ],
            charts.PER_MINUTE,
            1 / length,
        ),
        charts.curves(
            "latency",
            "Latency",
            span,
            [charts.Line("p50", "first", values("p50")), charts.Line("p99", "second", values("p99"))],
            charts.SECONDS,
        ),
        charts.curves(
            "share",
            "Where the time goes, p99",
            span,
            [
                charts.Line("the server", "first", values("upstream_p99")),
                charts.Line("the proxy", "second", values("own_p99")),
            ],
            charts.SECONDS,
        ),
    ]


def _by_minutes(history: Json, minutes: int) -> list[dict[str, Any]]:
    """The points of so many minutes of the clock as one: counts added, of times the highest."""
    step = timedelta(seconds=history["step_seconds"])
    groups: dict[float, list[Json]] = {}
    for point in history["points"]:
        # A point's time is its end.
        begun = (datetime.fromisoformat(point["time"]) - step).timestamp()
        groups.setdefault(begun // (minutes * _MINUTE) * minutes * _MINUTE, []).append(point)
    return [
        {"time": datetime.fromtimestamp(begun, UTC).isoformat()}
        | {name: sum(point[name] for point in group) for name in _COUNTS}
        | {
            name: max((point[name] for point in group if point[name] is not None), default=None)
            for name in _TIMES
        }
        for begun, group in groups.items()
    ]


def table(history: Json) -> list[dict[str, Any]]:
    """A row for every five minutes, the newest first."""
    rows = _by_minutes(history, _TABLE_MINUTES)
    return [row | {"time": row["time"][11:16]} for row in reversed(rows)]


def recent(points: Sequence[Json], step: float) -> dict[str, Any]:
    """The last five minutes as a few numbers."""
    recent = points[-ceil(_RECENT_SECONDS / step) :]
    total = {name: sum(point[name] for point in recent) for name in _COUNTS}
    seconds = len(recent) * step

    def usual(name: str) -> float | None:
        found = sorted(point[name] for point in recent if point[name] is not None)
        return found[len(found) // 2] if found else None

    return total | {
        "rate": charts.number(total["requests"] / seconds) if seconds else "0",
        "share": f"{100 * total['refused'] / total['requests']:.3g} %" if total["requests"] else "",
        "p50": usual("p50"),
        "p99": usual("p99"),
        "own_p99": usual("own_p99"),
    }
