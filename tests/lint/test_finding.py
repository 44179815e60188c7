"""Rules and findings."""

from pathlib import Path

from proxy.lint.finding import RULES, finding


def test_a_finding_says_its_place_as_editors_read_it():
    assert finding("config-empty", Path("m.config"), "x", (3, 5)).place == "m.config:3:5"
    assert finding("unreadable", Path("m.config"), "x").place == "m.config"


def test_every_rule_says_what_to_do_in_one_printable_sentence():
    for name, rule in RULES.items():
        assert rule.id == name
        assert rule.remedy.isascii()
        assert rule.remedy.endswith(".")
        assert rule.failures
