"""What `tfs-proxy top` shows: lines of text made of the admin port's answers, as wide and as high as the terminal.

Law: pure. A name that came from a client or a server is text without marks; a line that is too long ends in an
ellipsis, and a list that is too long with how many more there are.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from proxy.core.explain import printable

BARS: Final = "▁▂▃▄▅▆▇█"
_STATES: Final = {"ready": "bold green", "draining": "bold yellow"}
_KINDS: Final = {
    "refusal": ("refused", "red"),
    "would_refuse": ("would", "yellow"),
    "warning": ("warned", "yellow"),
    "upstream_error": ("server", "magenta"),
}
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
_LABEL: Final = 14
_VALUE: Final = 20
_KEYS: Final = "q quit  ↑↓ select  enter open  m model  r reason  esc all"
_KEYS_OPEN: Final = "q quit  ↑↓ scroll  esc back"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the admin port has answered, and `rates` a second since the answer before, where there was one."""

    status: Mapping[str, Any]
    history: Mapping[str, Any]
    problems: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]]
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Cursor:
    """Where a person is: the problem that is selected, whether it is open, what is filtered by."""

    selected: str = ""
    opened: bool = False
    scrolled: int = 0
    model: str = ""
    reason: str = ""

    def press(self, key: str, answers: Answers) -> None:
        """Move as a key says; those that mean nothing do nothing."""
        shown = self.shown(answers)
        match key:
            case "up" | "k":
                self._move(-1, shown)
            case "down" | "j":
                self._move(1, shown)
            case "enter" if shown:
                self.selected = shown[self.place(shown)]["id"]
                self.opened, self.scrolled = True, 0
            case "escape" if self.opened:
                self.opened = False
            case "escape":
                self.model = self.reason = ""
            case "m":
                self.model = _after(self.model, {each["model"] for each in answers.problems["problems"]})
            case "r":
                self.reason = _after(self.reason, {each["reason"] for each in answers.problems["problems"]})
            case _:
                pass

    def shown(self, answers: Answers) -> list[Mapping[str, Any]]:
        """The problems that are filtered by, those that came most within the hour first."""
        found = [
            each
            for each in answers.problems["problems"]
            if self.model in {"", each["model"]} and self.reason in {"", each["reason"]}
        ]
        return sorted(found, key=lambda each: (-sum(each["sparkline"]), each["id"]))

    def place(self, shown: Sequence[Mapping[str, Any]]) -> int:
        """Where the selected one stands; the first where it is none of them."""
        return next((at for at, each in enumerate(shown) if each["id"] == self.selected), 0)

    def _move(self, by: int, shown: Sequence[Mapping[str, Any]]) -> None:
        if self.opened:
            self.scrolled = max(0, self.scrolled + by)
        elif shown:
            self.selected = shown[min(len(shown) - 1, max(0, self.place(shown) + by))]["id"]


def _after(value: str, values: set[str]) -> str:
    """The value after this one; all (an empty one) comes after the last."""
    return next((each for each in sorted(values) if each > value), "")


def screen(
    answers: Answers | None, cursor: Cursor, trouble: str, now: datetime, width: int, height: int
) -> Text:
    """A whole terminal: `trouble` is why there is no newer answer."""
    above = (
        [_styled(line, "bold red") for line in textwrap.wrap(printable(trouble), width)] if trouble else []
    )
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
    return [*head, *_problems(answers, cursor, now, width, room), Text(), *models]


def _standing(status: Mapping[str, Any], now: datetime) -> Iterable[Text]:
    state = str(status["state"])
    yield Text.assemble(
        (f"tfs-proxy {status['version']}", "bold"),
        "  ",
        (state, _STATES.get(state, "bold red")),
        f"  for {_age(status['started'], now)}  {status['listen']}  {status['edge']}, {status['hot_path']}",
    )
    for upstream in status["upstreams"]:
        since = f" for {_age(upstream['since'], now)}" if upstream["since"] else ""
        up = upstream["state"] == "up"
        yield Text.assemble(
            f"{'server':<{_LABEL}}{printable(upstream['address'])}  ",
            (printable(upstream["state"]), "green" if up else "bold red"),
            f"{since}  {printable(upstream['detail'])}",
        )
    for check in status["checks"]:
        if not check["ok"] and check["name"] not in {"upstream", "serving"}:
            yield _styled(f"{printable(check['name'])}: {printable(check['detail'])}", "red")


def _curves(answers: Answers, width: int) -> Iterable[Text]:
    points = answers.history["points"]
    room = max(8, width - _LABEL - _VALUE)
    for label, name in _CURVES:
        values = [point[name] or 0 for point in points]
        if name not in _ALWAYS and not any(values) and not answers.status["counts"][name]:
            continue
        rate = answers.rates.get(name)
        if rate is None:
            rate = values[-1] / answers.history["step_seconds"] if values else 0.0
        style = "red" if name != "requests" and rate else ""
        yield Text.assemble(
            f"{label:<{_LABEL}}", (f"{rate:.1f}/s".ljust(_VALUE), style), sparkline(values, room)
        )
    for label, prefix in _TIMES:
        high = [point[f"{prefix}p99"] for point in points]
        newest = next((point for point in reversed(points) if point[f"{prefix}p50"] is not None), None)
        value = f"{duration(newest[f'{prefix}p50'])} / {duration(newest[f'{prefix}p99'])}" if newest else "-"
        yield Text(f"{label:<{_LABEL}}{value:<{_VALUE}}{sparkline([each or 0 for each in high], room)}")


def _bounds(status: Mapping[str, Any]) -> Text:
    line = Text(f"{'bounds':<{_LABEL}}calls under way {status['in_flight']}")
    for bound in status["bounds"]:
        near = bound["limit"] and bound["used"] / bound["limit"] >= 0.8
        name = str(bound["name"])
        shown = _octets if "bytes" in name else str
        line.append(
            f"  {printable(name.replace('_', ' '))} {shown(bound['used'])}/{shown(bound['limit'])}",
            "bold yellow" if near else "",
        )
    if status["capture"]["on"]:
        paused = status["capture"]["paused"]
        line.append("  capture paused" if paused else "  capturing", "bold yellow" if paused else "")
    return line


def _problems(
    answers: Answers, cursor: Cursor, now: datetime, width: int, room: int | None
) -> Iterable[Text]:
    shown = cursor.shown(answers)
    by = ", ".join(
        f"{name} {printable(value)}"
        for name, value in (("model", cursor.model), ("reason", cursor.reason))
        if value
    )
    of = f"{len(shown)} of {answers.problems['total']}" if by else f"{len(shown)}"
    yield _styled(f"PROBLEMS {of}{f'  ({by})' if by else ''}", "bold")
    if not shown:
        yield _styled("nothing is wrong that is remembered", "green")
        return
    widths = _widths(width)
    yield _styled(
        _row(("count", "last", "what", "reason", "model", "field", "last hour"), widths), "dim underline"
    )
    rows = len(shown) if room is None else max(1, room - 2)
    at = cursor.place(shown)
    # One line is for how many more there are.
    page = rows if len(shown) <= rows else max(1, rows - 1)
    first = max(0, at - page + 1)
    for number, problem in enumerate(shown[first : first + page], first):
        kind, style = _KINDS.get(problem["kind"], (problem["kind"], ""))
        cells = (
            f"{problem['count']}",
            _age(problem["last_seen"], now),
            kind,
            problem["reason"],
            problem["model"],
            problem["field"],
            sparkline(problem["sparkline"], widths[-1]),
        )
        selected = room is not None and number == at
        yield _styled(_row(cells, widths), f"{style} reverse" if selected else style)
    if len(shown) > page:
        yield _styled(f"… {len(shown) - page} more", "dim")


def _widths(width: int) -> tuple[int, ...]:
    """The widths of the columns: what is over after the fixed ones goes to model, field and curve."""
    over = max(24, width - (7 + 5 + 8 + 25 + 6))
    spark = min(30, max(6, over // 5))
    model = min(20, max(8, (over - spark) // 3))
    return 7, 5, 8, 25, model, over - spark - model, spark


def _row(cells: Iterable[str], widths: Sequence[int]) -> str:
    return " ".join(_fit(printable(str(cell)), room) for cell, room in zip(cells, widths, strict=True))


def _models(models: Sequence[Mapping[str, Any]], width: int) -> list[Text]:
    lines = [_styled(f"MODELS {len(models)}", "bold")]
    wide = min(24, width // 4)
    for model in models[:_MOST_MODELS]:
        versions = ", ".join(f"{each['version']} {each['state']}" for each in model["versions"][:4])
        failed = next((each["error"] for each in model["versions"] if each["error"]), "")
        latency = model["latency"]
        times = (
            f"{duration(latency['p50'])} / {duration(latency['p99'])}" if latency["p50"] is not None else "-"
        )
        line = Text(f"{_fit(printable(model['name']), wide)} {times:<{_VALUE}} {printable(versions)}")
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
        lines.append(_styled(f"… {len(models) - _MOST_MODELS} more", "dim"))
    return lines


def opened(problem: Mapping[str, Any], now: datetime, width: int) -> list[Text]:
    """One problem with everything that is known of it."""
    kind, style = _KINDS.get(problem["kind"], (problem["kind"], ""))
    lines = [
        _styled(printable(f"{problem['reason']}  {kind}  {problem['code']}"), f"bold {style}"),
        *_told("model", f"{problem['model']}  {problem['signature']}  version {problem['version']}", width),
        *_told("field", problem["field"], width),
        *_told(
            "count",
            f"{problem['count']}  first {_age(problem['first_seen'], now)} ago, last {_age(problem['last_seen'], now)} ago",
            width,
        ),
        Text(f"{'last hour':<{_LABEL}}{sparkline(problem['sparkline'], max(8, width - _LABEL))}"),
        Text(),
        *_told("expected", problem["expected"], width, "green"),
        *_told("got", problem["got"], width, "red"),
        *_told("hint", problem["hint"], width),
        *_told("remedy", problem["remedy"], width),
        *_told("see", problem["runbook"], width),
        Text(),
        _styled("SENT BY", "bold"),
    ]
    for sender in problem["senders"]:
        who = "  ".join(filter(None, (sender["peer"], sender["identity"], sender["user_agent"])))
        lines += _told(f"{sender['count']}", f"{who}  last {_age(sender['last_seen'], now)} ago", width)
    if problem["more_senders"]:
        lines.append(_styled(f"… {problem['more_senders']} more", "dim"))
    lines += [Text(), _styled("EXAMPLES", "bold")]
    for example in problem["examples"]:
        inputs = ", ".join(f"{name}: {shape}" for name, shape in example["inputs"].items())
        who = "  ".join(filter(None, (example["peer"], example["request_id"])))
        lines += _told(_clock(example["time"]), who, width)
        lines += _told("", inputs, width)
        lines += _told("", example["text"], width, "dim")
    return lines


def _told(label: str, text: str, width: int, style: str = "") -> list[Text]:
    """A label and a text, broken between words; nothing where there is no text."""
    broken = textwrap.wrap(printable(text), max(20, width - _LABEL), break_on_hyphens=False)
    return [
        Text.assemble(f"{'' if number else label:<{_LABEL}}", (line, style))
        for number, line in enumerate(broken)
    ]


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as bars, the highest as high as they go; several share one bar where they are many."""
    if not values:
        return ""
    each = -(-len(values) // width)
    # From the newest backwards, so that a bar does not change when another comes.
    bars = [max(values[max(0, end - each) : end]) for end in range(len(values), 0, -each)][::-1]
    most = max(bars)
    if most <= 0:
        return BARS[0] * len(bars)
    highest = len(BARS) - 1
    return "".join(BARS[min(highest, ceil(bar / most * highest))] for bar in bars)


def duration(seconds: float) -> str:
    """A short time as a person says it."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _age(when: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(when)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _clock(when: str) -> str:
    return datetime.fromisoformat(when).astimezone(UTC).strftime("%H:%M:%S")


def _octets(number: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} B"


def _fit(text: str, room: int) -> str:
    """A text in exactly so many columns."""
    return (
        set_cell_size(text, room) if cell_len(text) <= room else f"{set_cell_size(text, max(0, room - 1))}…"
    )


def _styled(text: str, style: str) -> Text:
    return Text(text, style)


def _lines(lines: Iterable[Text], width: int) -> Text:
    fitting = []
    for line in lines:
        shown = line.copy()
        shown.truncate(width, overflow="ellipsis")
        fitting.append(shown)
    return Text("\n").join(fitting)
