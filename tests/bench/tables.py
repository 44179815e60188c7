"""Cells and tables in Markdown.

Law: knows nothing of what was measured.
"""

from collections.abc import Iterable, Sequence

from tests.bench.scenarios import TIMES

NONE = "–"  # noqa: RUF001
HELD_UP = "°"
"""Marks a rate that is not the contestant's."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def plain(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same for a terminal."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    )


def times(ratio: float | None, mark: str = "") -> str:
    """A ratio."""
    if ratio is None:
        return NONE
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2
    return f"{ratio:.{digits}f}{TIMES}{mark}"


def whole(number: float | None, mark: str = "") -> str:
    """A number without decimals, in groups of three digits."""
    return NONE if number is None else f"{number:,.0f}".replace(",", " ") + mark


def milliseconds(seconds: float | None) -> str:
    """Milliseconds."""
    if seconds is None:
        return NONE
    return f"{seconds * 1e3:.2f}" if abs(seconds) < 0.1 else f"{seconds * 1e3:.0f}"


def megabytes(size: float | None) -> str:
    """Megabytes."""
    return NONE if size is None else f"{size / 1e6:.0f}"


def percent(share: float | None) -> str:
    """Of a hundred."""
    return NONE if share is None else f"{share:.0%}"
