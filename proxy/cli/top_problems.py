"""Problems in `tfs-proxy top`: one line for each, and one of them with everything that is known of it.

Law: as the screen's. Which of them are shown is the cursor's business.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from proxy.cli.top_cursor import Answers, Cursor
from proxy.cli.top_figures import LABEL, age, clock, fit, sparkline
from proxy.core.explain import printable

_KINDS: Final = {
    "refusal": ("refused", "red"),
    "would_refuse": ("would", "yellow"),
    "warning": ("warned", "yellow"),
    "upstream_error": ("server", "magenta"),
}


def problem_rows(
    answers: Answers, cursor: Cursor, now: datetime, width: int, room: int | None
) -> Iterable[Text]:
    """Title and table in `room` lines (None: as many as it takes)."""
    shown = cursor.shown(answers)
    by = ", ".join(
        f"{name} {printable(value)}"
        for name, value in (("model", cursor.model), ("reason", cursor.reason))
        if value
    )
    of = f"{len(shown)} of {answers.problems['total']}" if by else f"{len(shown)}"
    yield Text(f"PROBLEMS {of}{f'  ({by})' if by else ''}", "bold")
    if not shown:
        yield Text("nothing is wrong that is remembered", "green")
        return
    widths = _widths(width)
    yield Text(
        _row(("count", "last", "what", "reason", "model", "field", "last hour", "sent by"), widths),
        "dim underline",
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
            age(problem["last_seen"], now),
            kind,
            problem["reason"],
            problem["model"],
            problem["field"],
            sparkline(problem["sparkline"], widths[6]),
            _by(problem),
        )
        selected = room is not None and number == at
        yield Text(_row(cells, widths), f"{style} reverse" if selected else style)
    if len(shown) > page:
        yield Text(f"… {len(shown) - page} more", "dim")


def _widths(width: int) -> tuple[int, ...]:
    """The widths of the columns: what is over after the fixed ones goes to model, field and curve; of a wide terminal
    to senders too, which have no column (0) in others."""
    over = max(24, width - (7 + 5 + 8 + 25 + 6))
    spark = min(30, max(6, over // 5))
    model = min(20, max(8, (over - spark) // 3))
    by = 44 if over - spark - model > 80 else 0
    return 7, 5, 8, 25, model, over - spark - model - (by and by + 1), spark, by


def _by(problem: Mapping[str, Any]) -> str:
    """Who sends most of it."""
    senders = problem["senders"]
    if not senders:
        return ""
    most = max(senders, key=lambda each: each["count"])
    more = len(senders) - 1 + problem["more_senders"]
    who = f"{most['identity'] or most['peer']} {most['user_agent'].partition(' ')[0]}".rstrip()
    return f"{who} and {more} more" if more else who


def _row(cells: Iterable[str], widths: Sequence[int]) -> str:
    return " ".join(fit(printable(str(cell)), room) for cell, room in zip(cells, widths, strict=True) if room)


def opened(problem: Mapping[str, Any], now: datetime, width: int) -> list[Text]:
    """One problem with everything that is known of it."""
    kind, style = _KINDS.get(problem["kind"], (problem["kind"], ""))
    lines = [
        Text(printable(f"{problem['reason']}  {kind}  {problem['code']}"), f"bold {style}"),
        *_told("model", f"{problem['model']}  {problem['signature']}  version {problem['version']}", width),
        *_told("field", problem["field"], width),
        *_told(
            "count",
            f"{problem['count']}  first {age(problem['first_seen'], now)} ago, last {age(problem['last_seen'], now)} ago",
            width,
        ),
        Text(f"{'last hour':<{LABEL}}{sparkline(problem['sparkline'], max(8, width - LABEL))}"),
        Text(),
        *_told("expected", problem["expected"], width, "green"),
        *_told("got", problem["got"], width, "red"),
        *_told("hint", problem["hint"], width),
        *_told("remedy", problem["remedy"], width),
        *_told("see", problem["runbook"], width),
        Text(),
        Text("SENT BY", "bold"),
    ]
    for sender in problem["senders"]:
        who = "  ".join(filter(None, (sender["peer"], sender["identity"], sender["user_agent"])))
        lines += _told(f"{sender['count']}", f"{who}  last {age(sender['last_seen'], now)} ago", width)
    if problem["more_senders"]:
        lines.append(Text(f"… {problem['more_senders']} more", "dim"))
    lines += [Text(), Text("EXAMPLES", "bold")]
    for example in problem["examples"]:
        who = "  ".join(filter(None, (example["peer"], example["request_id"])))
        lines += _told(clock(example["time"]), who, width)
        lines += _told("", ", ".join(f"{name}: {shape}" for name, shape in example["inputs"].items()), width)
        lines += _told("", example["text"], width, "dim")
    return lines


def _told(label: str, text: str, width: int, style: str = "") -> list[Text]:
    """A label and a text, broken between words; nothing where there is no text."""
    broken = textwrap.wrap(printable(text), max(20, width - LABEL), break_on_hyphens=False)
    return [
        Text.assemble(f"{'' if number else label:<{LABEL}}", (line, style))
        for number, line in enumerate(broken)
    ]
