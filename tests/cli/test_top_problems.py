"""One line for each problem, and all that is known of the one that is open."""

from proxy.cli.top_cursor import Cursor
from proxy.cli.top_screen import screen
from tests.cli.top_answers import NOW, answers, problem, shown


def test_a_wide_terminal_shows_who_sends_most_of_a_problem():
    wide, narrow = (screen(answers([problem(1)]), Cursor(), "", NOW, width, 30).plain for width in (200, 120))
    assert "sent by" in wide
    assert "team-a grpc-go and 4 more" in wide
    assert "sent by" not in narrow


def test_the_selected_problem_is_always_on_the_screen():
    found, cursor = answers([problem(n) for n in range(50)]), Cursor()
    for number in range(50):
        assert f'"x{number}"' in shown(found, cursor, 120, 20), number
        cursor.press("down", found)
    cursor.press("up", found)
    assert cursor.selected == f"{48:012x}"


def test_one_that_is_forgotten_while_it_is_open_closes():
    cursor = Cursor(selected="gone", opened=True)
    assert "PROBLEMS 1" in shown(answers([problem(1)]), cursor)
    assert not cursor.opened


def test_an_open_problem_is_told_in_full_and_scrolls():
    found, cursor = answers([problem(1)]), Cursor()
    cursor.press("enter", found)
    text = shown(found, cursor, 80, 50)
    for words in (
        "first 3m ago",
        "rank 2 [?,3]",
        "rank 1 [3]",
        "Send the rank",
        "team-a",
        "grpc-go",
        "… 4 more",
        "abc-1",
        "x: float32[3]",
    ):
        assert words in text
    cursor.press("down", found)
    assert "RANK_MISMATCH" not in shown(found, cursor, 80, 12)
    for _ in range(99):
        cursor.press("j", found)
    assert "told" in shown(found, cursor, 80, 12)
    cursor.press("escape", found)
    assert "PROBLEMS 1" in shown(found, cursor)
