"""Keys move what is selected, open and filtered by, whatever comes meanwhile."""

from proxy.cli.top_cursor import Cursor
from tests.cli.top_answers import answers, problem, shown


def test_a_selection_stays_with_its_problem_when_others_come():
    cursor = Cursor()
    cursor.press("down", answers([problem(1), problem(2)]))
    assert cursor.selected == f"{2:012x}"
    cursor.press("enter", answers([problem(0), problem(1), problem(2)]))
    assert 'inputs["x2"]' in shown(answers([problem(0), problem(1), problem(2)]), cursor)


def test_filters_go_through_what_there_is_and_back_to_all():
    found, cursor = (
        answers([problem(1, model="a"), problem(2, model="b"), problem(3, reason="DTYPE_MISMATCH")]),
        Cursor(),
    )
    seen = []
    for _ in range(4):
        cursor.press("m", found)
        seen.append(cursor.model)
    assert seen == ["a", "b", "detector", ""]
    cursor.press("r", found)
    assert "PROBLEMS 1 of 3  (reason DTYPE_MISMATCH)" in shown(found, cursor)
    cursor.press("m", found)
    assert "nothing is wrong" in shown(found, cursor)
    for key in ("enter", "down", "up", "x"):
        cursor.press(key, found)
    cursor.press("escape", found)
    assert (cursor.model, cursor.reason, cursor.opened) == ("", "", False)
