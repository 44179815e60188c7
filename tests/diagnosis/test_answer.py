"""Sentences are one printable line within the budget."""

from proxy.core.reasons import Reason
from proxy.diagnosis.answer import SENTENCE_BUDGET, one_line, row


def test_a_sentence_is_cut_to_the_budget_and_says_so():
    assert len(one_line("x" * 1000)) == SENTENCE_BUDGET
    assert one_line("x" * 1000).endswith("...")
    assert one_line("short") == "short"


def test_control_characters_become_visible():
    assert one_line("a\nb\u00e9") == r"a\nb\xe9"


def test_a_row_without_a_remedy_takes_that_of_its_reason():
    assert row("x", Reason.UPSTREAM_RESET, "s", "F66").diagnosis.remedy == Reason.UPSTREAM_RESET.about.remedy


def test_a_row_bound_to_codes_matches_only_those():
    bound = row("x", Reason.UPSTREAM_RESET, "s", "F66", codes=frozenset({14}))
    from proxy.diagnosis import Call

    assert bound.match(13, "x", Call()) is None
    assert bound.match(14, "x", Call()) is not None
