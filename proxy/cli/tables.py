"""Output for people: what fits the terminal, colours only on one, plain ASCII and unbroken lines elsewhere.

Law: knows rich and nothing of what is shown. Text is never markup: `uint8[1,4]` and names that came from a server
stay as they are. Nothing shown steers a terminal, whoever wrote it. Lines break between words and nowhere else; a
table whose words do not fit beside each other is shown as one record below the other.
"""

import os
import re
import shutil
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from proxy.core.explain import printable

_NARROWEST, _WIDEST = 20, 160
_UNBOUNDED = 1_000_000
_INDENT = 2
"""Columns by which the second and further lines of a text stand further right than the first."""
_WORD = re.compile(r"\s*\S+?(?:\s+|,(?=[A-Za-z_])|\Z)")
"""A word with the blanks around it. Names are words of their own between commas, the dimensions of a shape are not."""


class _Console(Console):
    """A console on which nothing but rich's own styles steers the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_harmless(segment.text), segment.style)


def open_console(*, stderr: bool = False) -> Console:
    """The terminal, up to 160 columns of it; elsewhere as wide as COLUMNS says, or without an end."""
    console = _Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    bounded = console.is_terminal or "COLUMNS" in os.environ
    console.width = max(_NARROWEST, min(console.width, _WIDEST)) if bounded else _UNBOUNDED
    return console


def open_screen() -> Console:
    """The terminal as it is, whatever its size becomes."""
    return _Console(markup=False, highlight=False, emoji=False)


def plain_columns() -> int:
    """How wide a screen is that is printed once: as the terminal, or as COLUMNS says, or 120."""
    return max(_NARROWEST, shutil.get_terminal_size((120, 0)).columns)


def say(console: Console, text: str | Text, style: str = "") -> None:
    """Print a text, broken between words where the console ends."""
    whole = Text(_harmless(text), style=style) if isinstance(text, str) else text
    for line in _wrapped(whole, console.width):
        console.print(line, soft_wrap=True)


def show_table(
    console: Console,
    heads: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    lines: bool = False,
    right: Sequence[str] = (),
) -> None:
    """Print a table; `lines` between its rows for cells of several lines, the columns `right` set to the right."""
    cells = [[Text(printable(each)) if isinstance(each, str) else each for each in row] for row in rows]
    columns = [[Text(head), *column] for head, *column in zip(heads, *cells, strict=True)]
    narrowest = [
        max(_longest(map(str.strip, _WORD.findall(each.plain))) for each in column) for column in columns
    ]
    room = (
        console.width - 3 * len(heads) - 1
    )  # a blank on both sides of each column, and the lines between them
    widths = [min(room, max(_longest(each.plain.split("\n")) for each in column)) for column in columns]
    if sum(narrowest) > room:
        _show_records(console, heads, cells)
        return
    while sum(widths) > room:
        # The widest gives way, as far as its words let it.
        widest = max((at for at in range(len(widths)) if widths[at] > narrowest[at]), key=widths.__getitem__)
        widths[widest] -= 1
    style = (box.ROUNDED if lines else box.SIMPLE_HEAD) if console.is_terminal else box.ASCII2
    table = Table(box=style, show_lines=lines, header_style="bold")
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, width=width, justify="right" if head in right else "left")
    for row in cells:
        wrapped = (_wrapped(cell, width, 0) for cell, width in zip(row, widths, strict=True))
        table.add_row(*(Text("\n").join(lines) for lines in wrapped))
    console.print(table)


def _show_records(console: Console, heads: Sequence[str], cells: Sequence[Sequence[Text]]) -> None:
    for row in cells:
        console.print()
        for head, cell in zip(heads, row, strict=True):
            if cell.plain:
                say(console, Text.assemble((f"{head}: ", "bold"), cell) if head else cell)
    console.print()


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _wrapped(text: Text, width: int, hang: int = _INDENT) -> Iterable[Text]:
    """The lines of a text, broken before the words that reach beyond `width`; what follows stands `hang` to the right."""
    for line in text.split("\n", allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip()) + hang
        breaks, column = [], 0
        for word in _WORD.finditer(line.plain):
            if column and column + cell_len(word.group().rstrip()) > width:
                breaks.append(word.start())
                column = indent
            column += cell_len(word.group())
        for number, part in enumerate(line.divide(breaks)):
            part.rstrip()
            yield Text(" " * indent if number else "") + part


def _harmless(text: str) -> str:
    """`text` with its own line ends and nothing else that steers a terminal."""
    return "\n".join(map(printable, text.split("\n")))
