"""JSON and SARIF carry every finding."""

import json
from pathlib import Path

from proxy.lint.finding import RULES, finding
from proxy.lint.report import as_json, as_sarif, counts

FINDINGS = [
    finding("name-duplicate", Path("models.config"), "twice", (4, 5)),
    finding("tag-missing", Path("/models/a/1/saved_model.pb"), "no tag"),
    finding("signature-batch-one", Path("m 1/saved_model.pb"), "fixed"),
]


def test_findings_are_counted_by_level_with_the_worst_first():
    assert list(counts(FINDINGS).items()) == [("error", 2), ("warning", 0), ("note", 1)]


def test_json_carries_place_rule_level_words_and_remedy():
    first, second, _ = json.loads(as_json(FINDINGS))["findings"]
    assert (first["path"], first["line"], first["column"]) == ("models.config", 4, 5)
    assert (first["rule"], first["level"], first["message"]) == ("name-duplicate", "error", "twice")
    assert first["remedy"] == RULES["name-duplicate"].remedy
    assert first["failures"] == ["F48"]
    assert second["line"] is None


def test_sarif_results_point_into_the_list_of_rules_and_at_their_place():
    log = json.loads(as_sarif(FINDINGS, "1.2.3"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["tool"]["driver"]["version"] == "1.2.3"
    described = run["tool"]["driver"]["rules"]
    for result, found in zip(run["results"], FINDINGS, strict=True):
        assert described[result["ruleIndex"]]["id"] == result["ruleId"] == found.rule.id
        assert result["level"] in ("error", "warning", "note")
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert places[0] == {
        "artifactLocation": {"uri": "models.config"},
        "region": {"startLine": 4, "startColumn": 5},
    }
    assert places[1] == {"artifactLocation": {"uri": "file:///models/a/1/saved_model.pb"}}
    assert places[2] == {"artifactLocation": {"uri": "m%201/saved_model.pb"}}
