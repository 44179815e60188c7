"""docs/failures.md and what is shown here agree: every id once, and none said to be shown that is not."""

import re
from pathlib import Path

import pytest

from proxy.core.reasons import REASONS, Reason
from proxy.diagnosis.table import TABLE
from proxy.lint.finding import RULES
from tests.failures import test_answers, test_files, test_hints, test_life, test_requests

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "failures.md"
ROW = re.compile(r"^\| (F\d+) \| ([^|]+) \| ([^|]+) \| (✓?) ?\|$", re.MULTILINE)

TABLES = (
    *(test_requests.REFUSED, test_requests.ANSWERED, test_requests.OTHER),
    *(test_answers.ANSWERS, test_files.CONFIGS, test_files.EXPORTS),
    *(test_hints.THE_MENDING, test_hints.TO_CHOOSE),
)


@pytest.fixture(scope="module")
def rows():
    """Id → (what the product says, whether it is said to be shown)."""
    return {row[0]: (row[2], bool(row[3])) for row in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))}


def shown():
    """The ids in the tables, and in the names of tests such as `test_f40_…`."""
    ids = {failure for table in TABLES for case in table for failure in case[0].split()}
    for module in (test_answers, test_files, test_hints, test_life, test_requests):
        for name in vars(module):
            if name.startswith("test_f"):
                ids |= {word.upper() for word in name.split("_") if re.fullmatch(r"f\d+", word)}
    return ids


def test_every_failure_has_one_row():
    text = DOCUMENT.read_text(encoding="utf-8")
    ids = re.findall(r"^\| (F\d+) ", text, re.MULTILINE)
    assert [match[0] for match in ROW.findall(text)] == ids, "each is a row of four columns"
    assert ids == sorted(set(ids), key=lambda failure: int(failure[1:])), "in order and none twice"
    assert len(ids) >= 105


def test_the_failures_said_to_be_shown_are_those_that_are(rows):
    assert {failure for failure, (_, ticked) in rows.items() if ticked} == shown()


def test_most_failures_are_shown_for_real():
    assert len(shown()) >= 60


def test_a_reason_or_rule_that_a_row_names_exists(rows):
    for failure, (words, _) in rows.items():
        for name in re.findall(r"`([A-Z][A-Z0-9]+_[A-Z_0-9]+)`", words):
            assert name in Reason.__members__, (failure, name)
        for name in re.findall(r"lint `([a-z-]+)`", words):
            assert name in RULES, (failure, name)


def test_a_reason_that_claims_a_failure_is_named_in_its_row(rows):
    for reason, about in REASONS.items():
        for failure in about.failures:
            assert f"`{reason}`" in rows[failure][0], (failure, reason)


def test_a_failure_that_a_diagnosis_answers_is_in_the_catalogue(rows):
    for row in TABLE:
        assert rows.keys() >= set(row.diagnosis.failures), row.pattern.pattern


def test_a_reason_that_a_row_names_claims_its_failure(rows):
    for failure, (words, _) in rows.items():
        for name in re.findall(r"`([A-Z][A-Z0-9]+_[A-Z_0-9]+)`", words):
            assert failure in REASONS[Reason[name]].failures, (failure, name)
