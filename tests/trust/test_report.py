"""docs/reliability.md says what the parts have kept, and nothing else."""

import subprocess
import sys

import pytest

from tests.trust.__main__ import main
from tests.trust.parts import PARTS
from tests.trust.report import DOCUMENT, document
from tests.trust.result import ROOT, Picture, Result, Table, load

WELL = Result(
    "hints",
    {"passed": "3 of 3"},
    7.4,
    [Table("By kind:", ("kind", "passed"), [("a|b", "3")])],
    [Picture("memory.svg", "Memory over time")],
    skipped=["a thing: it is not here"],
)


def reported(**found: Result) -> str:
    return document([found.get(part.name) for part in PARTS])


def test_every_part_has_its_section_and_one_that_was_not_run_says_so():
    text = reported()
    for part in PARTS:
        assert f"## {part.title}\n" in text
    assert text.count("\nNot run.\n") == len(PARTS)


def test_a_result_is_told_with_its_tables_pictures_circumstances_and_what_was_skipped():
    text = reported(hints=WELL)
    for told in (
        *("| passed | 3 of 3 |", "| a\\|b | 3 |", "By kind:", "![Memory over time](pictures/memory.svg)"),
        *(
            "- a thing: it is not here",
            WELL.circumstances["commit"],
            WELL.circumstances["machine"],
            "nothing wrong",
        ),
    ):
        assert told in text


def test_what_was_found_wrong_is_told_and_is_the_exit_code_of_its_part(tmp_path, monkeypatch):
    monkeypatch.setenv("TFS_PROXY_TRUST", str(tmp_path))
    wrong = Result("hints", {"passed": "2 of 3"}, 1.0, failures=["one was misled"])
    assert wrong.save() == 1
    assert WELL.save() == 0
    assert reported(hints=load("hints")) == reported(hints=WELL)
    text = reported(hints=wrong)
    assert "- one was misled" in text
    assert "| 1 wrong |" in text


def test_a_test_that_fails_one_that_is_skipped_and_none_at_all_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("TFS_PROXY_TRUST", str(tmp_path))
    file = tmp_path / "test_three.py"
    file.write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2\n"
        "@pytest.mark.skip('not here')\n"
        "def test_absent(): pass\n"
    )
    found = run(str(file))
    assert found.figures["passed"] == "1 of 2"
    assert found.failures == ["test_bad (interpreted): assert 1 == 2"]
    assert found.skipped == ["test_absent (interpreted): not here"]
    assert run(str(file), "-k", "nothing").failures == ["no test ran"]


def run(*arguments: str) -> Result:
    """The suite runner as a process, as `make trust` starts it."""
    command = [sys.executable, "-m", "tests.trust.suite", "x", *arguments]
    subprocess.run(command, cwd=ROOT, check=False, timeout=60)
    found = load("x")
    assert found is not None
    return found


def test_a_part_that_is_none_is_refused_with_the_names_of_those_that_are(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])
    assert "simulation" in capsys.readouterr().err


def test_who_has_run_only_some_parts_finds_their_report_beside_the_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFS_PROXY_TRUST", str(tmp_path))
    WELL.save()
    before = DOCUMENT.read_text()
    assert main(["--report"]) == 0
    assert DOCUMENT.read_text() == before
    assert (tmp_path / DOCUMENT.name).read_text() == reported(hints=WELL)
    assert "never run here: simulation" in capsys.readouterr().out


def test_a_part_that_could_not_be_run_is_not_told_as_one_in_which_nothing_is_wrong():
    text = reported(hints=Result("hints", {}, 0.0, skipped=["it: not on this machine"]))
    assert "| could not be run |" in text
    assert "- it: not on this machine" in text
    assert "nothing wrong" not in text
