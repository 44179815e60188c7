"""Every threat that SECURITY.md names is one that tests show to be stopped."""

from tests.trust.result import ROOT
from tests.trust.threats import SECURITY, Threat, threats


def test_every_threat_names_tests_that_are_there():
    found = threats(SECURITY.read_text())
    assert len(found) >= 20
    for threat in found:
        assert threat.tests, threat.what
        for file in threat.tests:
            assert (ROOT / file).exists(), file


def test_a_row_without_who_is_of_the_one_above():
    text = (
        "## Threat model\n| who, and where | want | stops | shown by |\n|---|---|---|---|\n"
        "| a client | x | y | `tests/a.py`, `tests/b.py` |\n| | z | y | none |\n\n## Bounds\n| q | r | s | t |\n"
    )
    assert threats(text) == [
        Threat("a client", "x", ["tests/a.py", "tests/b.py"]),
        Threat("a client", "z", []),
    ]
