"""Tables fit the terminal without breaking a word, and are plain and unbroken where there is none."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from proxy.cli.tables import open_console, say, show_table

HEADS = ("", "alias", "dtype", "shape", "graph name")
ROWS = [
    ("input", "image_tensor", "uint8", "[?,?,?,3]", "serving_default_image_tensor:0"),
    ("input", "ids (optional)", "int64", "[?,128]", "serving_default_ids:0"),
    ("output", "detection_boxes", "float32", "[?,100,4]", "StatefulPartitionedCall:1"),
]
SENTENCE = "Op type not registered 'SentencepieceOp' in binary running on a-host; make sure the Op and Kernel are registered"


def words_of(rows) -> set[str]:
    """What is between blanks, and in lists of names between commas."""
    return {
        word
        for row in rows
        for cell in row
        for word in re.split(r"\s+|(?<=,)(?=[A-Za-z_])", str(cell))
        if word
    }


def shown(show, columns: int | None = None, *, terminal: bool = False) -> list[str]:
    """The lines that `show(console)` prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        if columns is not None:
            patch.setenv("COLUMNS", str(columns))
        if terminal:
            patch.setenv("FORCE_COLOR", "1")
        console = open_console()
        console.file = io.StringIO()
        show(console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("columns", "width"), [("10", 20), ("60", 60), ("100", 100), ("500", 160)])
def test_the_width_is_that_of_the_terminal_within_bounds(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert open_console().width == width


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("rows", [ROWS, [(*row[:4], SENTENCE) for row in ROWS]], ids=["names", "sentences"])
def test_no_word_is_broken_and_no_line_longer_than_the_console(columns, rows):
    lines = shown(lambda console: show_table(console, HEADS, rows), columns)
    assert max(map(len, lines)) <= columns
    assert words_of(rows) <= words_of([lines])


@given(
    st.lists(st.tuples(*[st.text("ab[1,] \n", max_size=30)] * 3), max_size=4),
    st.integers(20, 130),
    st.booleans(),
)
def test_whatever_it_holds_a_table_is_no_wider_than_its_longest_word_forces_it_to_be(rows, columns, lines):
    cells = [tuple(Text(each) for each in row) for row in rows]
    printed = shown(lambda console: show_table(console, ("one", "two", "three"), cells, lines=lines), columns)
    longest = max(map(len, words_of(rows)), default=0)
    assert max(map(len, printed)) <= max(columns, len("three: ") + longest)
    assert words_of(rows) <= words_of([[line.replace("|", " ") for line in printed]])


def test_what_does_not_fit_beside_each_other_stands_below_each_other():
    lines = shown(lambda console: show_table(console, HEADS, ROWS[:1]), 40)
    assert lines == [
        "",
        "input",
        "alias: image_tensor",
        "dtype: uint8",
        "shape: [?,?,?,3]",
        "graph name:",
        "  serving_default_image_tensor:0",
        "",
    ]


def test_without_a_terminal_nothing_is_wrapped_or_cut_and_all_is_plain_ascii():
    rows = [("[bold]no markup[/bold]", "x" * 3000, SENTENCE * 5)]
    lines = shown(lambda console: show_table(console, ("a", "b", "c"), rows))
    (line,) = (line for line in lines if "no markup" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == list(rows[0])
    assert "".join(lines).isascii()
    assert "\x1b" not in "".join(lines)
    assert shown(lambda console: say(console, SENTENCE * 50)) == [SENTENCE * 50]


def test_a_terminal_gets_colours():
    (line,) = shown(lambda console: console.print("x", style="red"), terminal=True)
    assert "\x1b[31m" in line


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202egnp", "\ud800", "\r", "\x08"]
)
@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_that_is_shown_steers_a_terminal(hostile, terminal):
    def show(console):
        say(console, f"a{hostile}b")
        say(console, Text(f"a{hostile}b"))
        console.print(f"a{hostile}b")
        show_table(console, ("head",), [(f"a{hostile}b",), (Text(f"a{hostile}b"),)])

    lines = shown(show, terminal=terminal)
    without_styles = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines)) if terminal else "\n".join(lines)
    assert all(line.isprintable() for line in without_styles.split("\n"))
    without_styles.encode()


def test_a_line_of_a_server_is_one_line_of_a_table():
    lines = shown(lambda console: show_table(console, ("m", "the server says"), [("a", "one\ntwo\tthree")]))
    assert any(r"one\ntwo\tthree" in line for line in lines)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_prose_breaks_between_words_and_hangs(columns):
    lines = shown(lambda console: say(console, f"    {SENTENCE}"), columns)
    assert len(lines) > 1
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("    Op")
    assert all(re.match(r" {6}\S", line) for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == SENTENCE
