"""Numbers over time → the geometry of a picture: paths, axes and what they say in words.

Law: pure. Coordinates are shares of the plot (a box of 1000 by 100 that is stretched); colours, fonts and sizes are
the style sheet's. A step without a number is a gap and not a zero.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import floor, log10
from typing import Any, Final

WIDTH: Final = 1000
HEIGHT: Final = 100

_TICKS_X: Final = 4
_ALONE: Final = 8
"""How wide a value is drawn that has no neighbour: a dot would not be seen."""
_STEPS: Final = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis, in percent of its length; from the left, or from the top."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """One curve, or the bars of one kind; `mark` is how the style sheet draws it."""

    name: str
    mark: str
    path: str
    newest: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture. `told` is what it shows, in a sentence."""

    key: str
    title: str
    unit: str
    series: tuple[Series, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    told: str
    empty: bool


Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be drawn: the values, one for each point in time."""

    name: str
    mark: str
    values: Values


@dataclass(frozen=True, slots=True)
class Span:
    """The hour, or less, that pictures show; `times` are those of the points."""

    start: datetime
    end: datetime
    times: tuple[datetime, ...]

    def across(self, time: datetime) -> float:
        """Where a time stands between the left and the right edge."""
        return round((time - self.start) / (self.end - self.start) * WIDTH, 1)

    def ticks(self) -> tuple[Tick, ...]:
        length = self.end - self.start
        return tuple(
            Tick(100 * step / _TICKS_X, f"{self.start + length * step / _TICKS_X:%H:%M}")
            for step in range(_TICKS_X + 1)
        )


def span_of(history: Mapping[str, Any], minutes: int) -> Span:
    """The time that a history is of; nothing is shown of what lies before."""
    end = datetime.fromisoformat(history["until"])
    start = end - timedelta(minutes=minutes)
    times = tuple(datetime.fromisoformat(point["time"]) for point in history["points"])
    return Span(start, end, times)


def curves(key: str, title: str, span: Span, lines: Sequence[Line], scale: "Scale") -> Chart:
    """A picture of lines."""
    top, ticks = _axis(lines, scale)

    def path(values: Values) -> str:
        parts = []
        for known, group in groupby(
            zip(span.times, values, strict=True),
            lambda each: each[1] is not None and each[0] >= span.start,
        ):
            if known:
                places = [f"{span.across(time)} {_height(value or 0, top)}" for time, value in group]
                parts.append("M" + "L".join(places) + (f"h-{_ALONE}" if len(places) == 1 else ""))
        return "".join(parts)

    return _chart(key, title, span, lines, scale, ticks, [path(line.values) for line in lines])


def bars(key: str, title: str, span: Span, lines: Sequence[Line], scale: "Scale", width: float) -> Chart:
    """A picture of bars, one kind upon another; `width` is the share of the whole that one takes."""
    sums = [
        sum(value or 0 for value in stack) for stack in zip(*(line.values for line in lines), strict=True)
    ]
    top, ticks = _axis([Line("", "", sums)], scale)
    below = [0.0] * len(span.times)
    paths = []
    wide = round(width * WIDTH * 0.8, 1)
    for line in lines:
        parts = []
        for index, (time, value) in enumerate(zip(span.times, line.values, strict=True)):
            if not value or time < span.start:
                continue
            foot, head = _height(below[index], top), _height(below[index] + value, top)
            left = span.across(time)
            parts.append(f"M{left} {foot}V{head}H{round(min(left + wide, WIDTH), 1)}V{foot}z")
            below[index] += value
        paths.append("".join(parts))
    return _chart(key, title, span, lines, scale, ticks, paths)


def sparkline(counts: Sequence[int]) -> str:
    """The bars of one row: a box of one unit for each count, 16 high."""
    most = max(counts, default=0)
    if not most:
        return ""
    return "".join(
        f"M{place} 16V{round(16 - max(1.5, 15 * count / most), 1)}h.8V16z"
        for place, count in enumerate(counts)
        if count
    )


# === scales ===


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit and how a number is written in it; `least` is what the axis shows at least."""

    unit: str
    write: Callable[[float], str]
    least: float


def three(value: float) -> str:
    """Three digits, or more before the point: never an exponent."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def number(value: float) -> str:
    """A number as short as it stays true: three digits."""
    if value >= 1000:
        for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{three(value / size)}{letter}"
    return three(value)


def duration(seconds: float) -> str:
    """Seconds as people say them: 850 µs, 12.3 ms, 1.2 s."""
    if seconds >= 1:
        return f"{three(seconds)} s"
    if seconds >= 0.001:
        return f"{three(seconds * 1e3)} ms"
    return f"{three(seconds * 1e6)} µs" if seconds else "0"


PER_SECOND: Final = Scale("per second", number, 1.0)
PER_MINUTE: Final = Scale("per minute", number, 4.0)
SECONDS: Final = Scale("time", duration, 0.001)


# === parts ===


def _height(value: float, top: float) -> float:
    return round(HEIGHT - value / top * HEIGHT, 1)


def _axis(lines: Sequence[Line], scale: Scale) -> tuple[float, tuple[Tick, ...]]:
    most = max((value for line in lines for value in line.values if value is not None), default=0.0)
    step = _step(max(most, scale.least) / 4)
    count = next(n for n in range(2, 6) if n * step >= max(most, scale.least) * 0.999)
    return count * step, tuple(
        Tick(100 - 100 * place / count, scale.write(place * step)) for place in range(count + 1)
    )


def _step(least: float) -> float:
    """The round number that is not below `least`."""
    size: float = 10.0 ** floor(log10(least))
    return next((each * size for each in _STEPS if each * size >= least * 0.999), 10 * size)


def _chart(
    key: str,
    title: str,
    span: Span,
    lines: Sequence[Line],
    scale: Scale,
    ticks: tuple[Tick, ...],
    paths: Sequence[str],
) -> Chart:
    series = tuple(
        Series(
            line.name,
            line.mark,
            path,
            "\N{EN DASH}" if (last := _newest(line.values)) is None else scale.write(last),
        )
        for line, path in zip(lines, paths, strict=True)
    )
    told = ", ".join(_told(line, scale) for line in lines)
    return Chart(
        key,
        title,
        scale.unit,
        series,
        span.ticks(),
        ticks,
        f"{title}, {scale.unit}, from {span.start:%H:%M} to {span.end:%H:%M} UTC: {told}.",
        not any(paths),
    )


def _newest(values: Values) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _told(line: Line, scale: Scale) -> str:
    found = [value for value in line.values if value is not None]
    if not found:
        return f"{line.name} none"
    return f"{line.name} between {scale.write(min(found))} and {scale.write(max(found))}"
