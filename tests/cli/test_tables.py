"""Tables fit the terminal and are plain where there is none."""

import io

import pytest

from proxy.cli.tables import new_table, open_console


@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("100", 100), ("500", 160)])
def test_the_width_is_that_of_the_terminal_within_bounds(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert open_console().width == width


def test_without_a_terminal_lines_are_long_and_of_plain_ascii(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    console = open_console()
    table = new_table(console, "one", "two")
    table.add_row("uint8[1,4]", "[bold]no markup[/bold]")
    console.print(table)
    output = capsys.readouterr().out
    assert console.width == 120
    assert output.isascii()
    assert "\x1b" not in output
    assert "uint8[1,4]" in output
    assert "[bold]no markup[/bold]" in output


def test_a_terminal_gets_colours(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = open_console()
    console.file = io.StringIO()
    console.print("x", style="red")
    assert "\x1b[31m" in console.file.getvalue()
