import re

import pytest

from proxy.core.reasons import Reason
from proxy.edge.admission import BOUNDS
from tests.deploy.alert_rules import ALERTS, NAMES, RUNBOOK, link

_, *SECTIONS = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
HEADINGS = [section.partition("\n")[0] for section in SECTIONS]


def test_there_is_a_section_for_every_alert_and_every_reason_and_no_other():
    assert HEADINGS[: len(NAMES)] == NAMES
    assert sorted(HEADINGS[len(NAMES) :]) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_the_runbook_of_an_alert_is_there(rule):
    address, _, anchor = link(rule["annotations"]["runbook_url"]).partition("#")
    assert address.endswith("/docs/runbook.md")
    assert anchor in {heading.lower() for heading in HEADINGS}


@pytest.mark.parametrize("section", SECTIONS, ids=HEADINGS)
def test_a_section_says_what_it_means_where_to_look_what_to_do_and_how_to_silence_it(section):
    words = ("**Means:**", "**Look:**", "**Do:**", "**Silence:**")
    places = [section.find(word) for word in words]
    assert -1 not in places
    assert places == sorted(places)


def test_what_to_do_about_every_bound_is_said():
    (section,) = (section for section in SECTIONS if section.startswith("TfsProxyBoundHits"))
    assert [bound for bound in BOUNDS if f"`{bound}`" not in section] == []


def test_links_within_the_runbook_lead_somewhere():
    text = RUNBOOK.read_text()
    anchors = {heading.lower() for heading in HEADINGS} | {"alerts", "reasons"}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors
    reasons = (RUNBOOK.parent / "reasons.md").read_text()
    for anchor in re.findall(r"\]\(reasons\.md#([^)]*)\)", text):
        assert f"### {anchor.upper()}\n" in reasons
