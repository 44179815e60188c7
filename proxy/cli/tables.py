"""Output for people: tables that fit the terminal, colours only on one, plain ASCII lines elsewhere.

Law: knows rich and nothing of what is shown. Text is never markup: `uint8[1,4]` and names that came from a
server stay as they are.
"""

import os

from rich import box
from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 120
_NARROWEST, _WIDEST = 80, 160


def open_console(*, stderr: bool = False) -> Console:
    """The terminal, 80 to 160 columns of it; elsewhere as wide as COLUMNS says, or 120."""
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else _PLAIN_WIDTH
    console.width = max(_NARROWEST, min(width, _WIDEST))
    return console


def new_table(console: Console, *heads: str, lines: bool = False) -> Table:
    """An empty table; `lines` between its rows for cells of several lines."""
    style = (box.ROUNDED if lines else box.SIMPLE_HEAD) if console.is_terminal else box.ASCII2
    table = Table(box=style, show_lines=lines, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    return table
