"""Two shapes side by side: which axis of the one is which of the other.

Law: pure, from text to cells. Axes are aligned so that as many as possible fit; what is left over is missing or too
much. What is no shape is not aligned.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

_SHAPE: Final = re.compile(r"\[([^\[\]]*)\]")
_DIM: Final = re.compile(r"\?|-?\d+|…")
_MOST: Final = 16
"""Axes that are aligned; the time grows with the product."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One column: what was expected and what came; `mark` is a word, so that no colour has to say it."""

    expected: str
    got: str
    mark: str


def aligned(expected: str, got: str) -> list[Axis] | None:
    """The shapes in two texts, axis by axis; None: there are not two that can be compared."""
    want, have = _dims(expected), _dims(got)
    if want is None or have is None or not (want or have) or max(len(want), len(have)) > _MOST:
        return None
    return [_axis(*pair) for pair in _pairs(want, have)]


def _dims(text: str) -> list[str] | None:
    match = _SHAPE.search(text)
    if match is None:
        return None
    dims = [each.strip() for each in match[1].split(",")] if match[1].strip() else []
    return dims if all(_DIM.fullmatch(each) for each in dims) else None


def _fits(expected: str, got: str) -> bool:
    return expected in {"?", "-1", got}


def _axis(expected: str | None, got: str | None) -> Axis:
    if got is None:
        return Axis(expected or "", "", "missing")
    if expected is None:
        return Axis("", got, "too much")
    return Axis(expected, got, "fits" if _fits(expected, got) else "differs")


_Pair = tuple[str | None, str | None]


def _pairs(want: list[str], have: list[str]) -> list[_Pair]:
    """Of all alignments in order the one in which most sizes fit; a size counts for more than a `?`."""

    @cache
    def best(i: int, j: int) -> tuple[int, tuple[_Pair, ...]]:
        if i == len(want):
            return 0, tuple((None, each) for each in have[j:])
        if j == len(have):
            return 0, tuple((each, None) for each in want[i:])
        score, tail = best(i + 1, j + 1)
        own = 3 if want[i] == have[j] else int(_fits(want[i], have[j]))
        ways: list[tuple[int, tuple[_Pair, ...]]] = [(score + own, ((want[i], have[j]), *tail))]
        if len(want) > len(have):
            score, tail = best(i + 1, j)
            ways.append((score, ((want[i], None), *tail)))
        elif len(want) < len(have):
            score, tail = best(i, j + 1)
            ways.append((score, ((None, have[j]), *tail)))
        return max(ways, key=lambda way: way[0])

    return list(best(0, 0)[1])
