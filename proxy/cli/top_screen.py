"""What `tfs-proxy top` shows: lines of text made of the admin port's answers, as wide and as high as the terminal.

Law: pure. A name that came from a client or a server is text without marks; a line that is too long ends in an
ellipsis, and a list that is too long with how many more there are.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from proxy.cli.top_cursor import Answers, Cursor
from proxy.cli.top_figures import LABEL, VALUE, age, fit, octets, sparkline, times
from proxy.cli.top_problems import opened, problem_rows
from proxy.core.explain import printable

_STATES: Final = {"ready": "bold green", "draining": "bold yellow"}
_CURVES: Final = (
    ("calls", "requests"),
    ("refused", "refused"),
    ("would refuse", "would_refuse"),
    ("warnings", "warnings"),
    ("errors", "errors"),
)
_ALWAYS: Final = frozenset({"requests", "refused", "errors"})
_TIMES: Final = (("latency", ""), ("server's part", "upstream_"), ("proxy's part", "own_"))
_MOST_MODELS: Final = 6
_KEYS: Final = "q quit  ↑↓ select  enter open  m model  r reason  esc all"
_KEYS_OPEN: Final = "q quit  ↑↓ scroll  esc back"


def screen(
    answers: Answers | None, cursor: Cursor, trouble: str, now: datetime, width: int, height: int
) -> Text:
    """A whole terminal: `trouble` is why there is no newer answer."""
    above = [Text(line, "bold red") for line in textwrap.wrap(printable(trouble), width)] if trouble else []
    if answers is None:
        return _lines([*above, Text("q quit", "dim")], width)
    room = height - len(above) - 1
    problem = next((each for each in cursor.shown(answers) if each["id"] == cursor.selected), None)
    if cursor.opened and problem is not None:
        lines = opened(problem, now, width)
        cursor.scrolled = min(cursor.scrolled, max(0, len(lines) - room))
        body, keys = lines[cursor.scrolled :], _KEYS_OPEN
    else:
        cursor.opened = False
        body, keys = overview(answers, cursor, now, width, room), _KEYS
    body = body[:room]
    filled = [Text()] * (room - len(body))
    return _lines([*above, *body, *filled, Text(keys, "dim")], width)


def overview(
    answers: Answers, cursor: Cursor, now: datetime, width: int, height: int | None = None
) -> list[Text]:
    """Everything at a glance; without a height every problem."""
    models = _models(answers.models, width)
    head = [*_standing(answers.status, now), *_curves(answers, width), _bounds(answers.status), Text()]
    room = None if height is None else height - len(head) - len(models) - 1
    return [*head, *problem_rows(answers, cursor, now, width, room), Text(), *models]


def _standing(status: Mapping[str, Any], now: datetime) -> Iterable[Text]:
    state = str(status["state"])
    yield Text.assemble(
        (f"tfs-proxy {status['version']}", "bold"),
        "  ",
        (state, _STATES.get(state, "bold red")),
        f"  up for {age(status['started'], now)}  {status['listen']}  {status['edge']}, {status['hot_path']}",
    )
    for upstream in status["upstreams"]:
        since = f" for {age(upstream['since'], now)}" if upstream["since"] else ""
        up = upstream["state"] == "up"
        yield Text.assemble(
            f"{'server':<{LABEL}}{printable(upstream['address'])}  ",
            (printable(upstream["state"]), "green" if up else "bold red"),
            f"{since}  {printable(upstream['detail'])}",
        )
    for check in status["checks"]:
        if not check["ok"] and check["name"] not in {"upstream", "serving"}:
            yield Text(f"{printable(check['name'])}: {printable(check['detail'])}", "red")


def _curves(answers: Answers, width: int) -> Iterable[Text]:
    points = answers.history["points"]
    room = max(8, width - LABEL - VALUE)
    for label, name in _CURVES:
        values = [point[name] or 0 for point in points]
        if name not in _ALWAYS and not any(values) and not answers.status["counts"][name]:
            continue
        rate = answers.rates.get(name)
        if rate is None:
            rate = values[-1] / answers.history["step_seconds"] if values else 0.0
        style = "red" if name != "requests" and rate else ""
        yield Text.assemble(
            f"{label:<{LABEL}}", (f"{rate:.1f}/s".ljust(VALUE), style), sparkline(values, room)
        )
    for label, prefix in _TIMES:
        high = [point[f"{prefix}p99"] for point in points]
        newest = next((point for point in reversed(points) if point[f"{prefix}p50"] is not None), None)
        value = times(newest[f"{prefix}p50"], newest[f"{prefix}p99"]) if newest else "-"
        yield Text(f"{label:<{LABEL}}{value:<{VALUE}}{sparkline([each or 0 for each in high], room)}")


def _bounds(status: Mapping[str, Any]) -> Text:
    line = Text(f"{'bounds':<{LABEL}}calls under way {status['in_flight']}")
    for bound in status["bounds"]:
        near = bound["limit"] and bound["used"] / bound["limit"] >= 0.8
        name = str(bound["name"])
        shown = octets if "bytes" in name else str
        line.append(
            f"  {printable(name.replace('_', ' '))} {shown(bound['used'])}/{shown(bound['limit'])}",
            "bold yellow" if near else "",
        )
    if status["capture"]["on"]:
        paused = status["capture"]["paused"]
        line.append("  capture paused" if paused else "  capturing", "bold yellow" if paused else "")
    return line


def _models(models: Sequence[Mapping[str, Any]], width: int) -> list[Text]:
    lines = [Text(f"MODELS {len(models)}", "bold")]
    wide = min(24, width // 4)
    for model in models[:_MOST_MODELS]:
        versions = ", ".join(f"{each['version']} {each['state']}" for each in model["versions"][:4])
        failed = next((each["error"] for each in model["versions"] if each["error"]), "")
        latency = model["latency"]
        took = times(latency["p50"], latency["p99"]) if latency["p50"] is not None else "-"
        line = Text(f"{fit(printable(model['name']), wide)} {took:<{VALUE}} {printable(versions)}")
        if failed:
            line.append(f"  {printable(failed)}", "red")
        changed = model["drifts"][0] if model["drifts"] else None
        if changed is not None:
            affected = len(changed["affected"])
            line.append(
                f"  changed with version {changed['to_version']}, {affected} clients affected",
                "bold yellow" if affected else "dim",
            )
        lines.append(line)
    if len(models) > _MOST_MODELS:
        lines.append(Text(f"… {len(models) - _MOST_MODELS} more", "dim"))
    return lines


def _lines(lines: Iterable[Text], width: int) -> Text:
    fitting = []
    for line in lines:
        shown = line.copy()
        shown.truncate(width, overflow="ellipsis")
        fitting.append(shown)
    return Text("\n").join(fitting)
