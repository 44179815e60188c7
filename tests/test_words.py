"""What a program writes is what stands in the repository."""

import pytest

from tests.words import ROOT, SETTINGS, SIZING, WORDS


@pytest.mark.parametrize("path", WORDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_text_is_up_to_date(path):
    stale = path.read_text(encoding="utf-8") != WORDS[path]()
    assert not stale, (
        f"{path.relative_to(ROOT)} is not what the code says any more: run `make words` and read the difference"
    )


@pytest.mark.parametrize(("path", "name"), [(SETTINGS, "settings"), (SIZING, "figures")])
def test_the_marks_of_a_generated_part_stand_in_its_page_once(path, name):
    text = path.read_text(encoding="utf-8")
    for mark in (f"{name}: begin", f"{name}: end"):
        assert text.count(f"<!-- {mark} -->\n") == 1
