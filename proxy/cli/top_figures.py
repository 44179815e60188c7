"""How a number, a time or a name reads in a terminal.

Law: a value in, a few characters out; it knows nothing of what is shown.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Final

from rich.cells import cell_len, set_cell_size

BARS: Final = "▁▂▃▄▅▆▇█"

LABEL: Final = 14
"""Columns of what stands before a line's values."""
VALUE: Final = 25
"""Columns of the values that stand before a curve."""


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
    return f"{three(seconds * 1e3)} ms" if seconds < 1 else f"{three(seconds)} s"


def three(number: float) -> str:
    """Three digits, or more before the point: never an exponent."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def times(fifty: float, ninety_nine: float) -> str:
    """Two quantiles of a time."""
    return f"p50 {duration(fifty)} p99 {duration(ninety_nine)}"


def age(when: str, now: datetime) -> str:
    """How long ago, in its largest unit."""
    seconds = max(0, int((now - datetime.fromisoformat(when)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def clock(when: str) -> str:
    """The time of day of a moment."""
    return datetime.fromisoformat(when).astimezone(UTC).strftime("%H:%M:%S")


def octets(number: int) -> str:
    """A size in its largest unit."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size:
            return f"{three(number / size)} {unit}"
    return f"{number} B"


def fit(text: str, room: int) -> str:
    """A text in exactly so many columns."""
    return (
        set_cell_size(text, room) if cell_len(text) <= room else f"{set_cell_size(text, max(0, room - 1))}…"
    )
