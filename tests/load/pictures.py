"""Curves over time as SVG: light and dark, small, with axes that say what they are.

Law: pure, from numbers to the text of a file. Where there are more points than can be seen, each stands for several:
`max` of what must not be overlooked, else the median.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10
from statistics import median
from xml.sax.saxutils import escape

from proxy.observe.admin.pages.charts import three

WIDTH, HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 40, 40
_POINTS = 240
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600;fill:#111}line{stroke:#ddd}path{fill:none;stroke-width:1.5}
.a{stroke:#0b62c4;fill:#0b62c4}.b{stroke:#b4530a;fill:#b4530a}.c{stroke:#2c7a3f;fill:#2c7a3f}path.a,path.b,path.c{fill:none}text.a,text.b,text.c{stroke:none}
@media(prefers-color-scheme:dark){svg{background:#111418}text{fill:#aab}.title{fill:#eee}line{stroke:#333}
.a{stroke:#6cb0ff;fill:#6cb0ff}.b{stroke:#f0a35e;fill:#f0a35e}.c{stroke:#74c98a;fill:#74c98a}path.a,path.b,path.c{fill:none}}
"""


@dataclass(frozen=True)
class Curve:
    """Values, one for each time; `of_many` is what one point is of several."""

    name: str
    values: Sequence[float]
    of_many: Callable[[Sequence[float]], float] = median


def picture(
    title: str, unit: str, seconds: Sequence[float], curves: Sequence[Curve], from_zero: bool = True
) -> str:
    """One chart of up to three curves. `seconds` since the start."""
    drawn = [_thinned(seconds, curve) for curve in curves]
    values = [value for points in drawn for _, value in points]
    ticks = _ticks(0.0 if from_zero else min(values), max(values))
    low, high, end = ticks[0], ticks[-1], max(seconds)

    def x(second: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * second / end, 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low), 1)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="18">{escape(title)}</text>',
    ]
    lines += [
        f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text x="{_LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{three(tick)}</text>'
        for tick in ticks
    ]
    lines.append(f'<text x="{_LEFT - 6}" y="{_TOP - 12}" text-anchor="end">{escape(unit)}</text>')
    wide, name = (60.0, "minutes") if end >= 300 else (1.0, "seconds")
    for tick in _ticks(0.0, end / wide):
        if tick * wide <= end * 1.001:
            lines.append(
                f'<text x="{x(tick * wide)}" y="{HEIGHT - 22}" text-anchor="middle">{three(tick)}</text>'
            )
    lines.append(f'<text x="{(WIDTH + _LEFT) // 2}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>')
    for place, (curve, points, mark) in enumerate(zip(curves, drawn, "abc", strict=False)):
        path = "L".join(f"{x(second)} {y(value)}" for second, value in points)
        lines.append(f'<path class="{mark}" d="M{path}"/>')
        at = WIDTH - _RIGHT - 170 * (len(curves) - place - 1)
        lines.append(f'<text class="{mark}" x="{at}" y="18" text-anchor="end">{escape(curve.name)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _thinned(seconds: Sequence[float], curve: Curve) -> list[tuple[float, float]]:
    step = -(-len(seconds) // _POINTS)
    return [
        (seconds[at], round(curve.of_many(curve.values[at : at + step]), 4))
        for at in range(0, len(seconds), step)
    ]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about four steps."""
    rough = (high - low) / 4 or max(abs(high), 1.0) / 4
    size = 10.0 ** floor(log10(rough))
    step = next(each * size for each in (1, 2, 2.5, 5, 10) if each * size >= rough * 0.999)
    first = int(low // step)
    ticks = [first * step]
    while ticks[-1] < high * 0.9999:
        ticks.append(round((first + len(ticks)) * step, 9))
    return ticks if len(ticks) > 1 else [*ticks, ticks[0] + step]
