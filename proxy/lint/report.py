"""Findings as JSON, and as SARIF 2.1.0 for CI systems.

Law: shapes what is found, finds nothing. Paths stay as they were given, so that CI systems can match them with
the files of a change.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from proxy.lint.finding import RULES, Finding, Level

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each level, the worst first."""
    found = Counter(each.rule.level for each in findings)
    return {level.value: found[level] for level in Level}


def as_json(findings: Sequence[Finding]) -> str:
    """`{"findings": [...], "counts": {...}}`; line and column are null where there is none."""
    rows = [
        {
            "path": str(each.path),
            "line": each.line,
            "column": each.column,
            "rule": each.rule.id,
            "level": each.rule.level.value,
            "message": each.message,
            "remedy": each.rule.remedy,
            "failures": list(each.rule.failures),
        }
        for each in findings
    ]
    return json.dumps({"findings": rows, "counts": counts(findings)}, indent=2)


def as_sarif(findings: Sequence[Finding], version: str) -> str:
    """A SARIF 2.1.0 log of one run by this version of tfs-proxy; every rule is described."""
    ids = list(RULES)
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.id.replace("-", " ")},
            "help": {"text": rule.remedy},
            "defaultConfiguration": {"level": rule.level.value},
            "properties": {"failures": list(rule.failures)},
        }
        for rule in RULES.values()
    ]
    results = [
        {
            "ruleId": each.rule.id,
            "ruleIndex": ids.index(each.rule.id),
            "level": each.rule.level.value,
            "message": {"text": f"{each.message}. {each.rule.remedy}"},
            "locations": [{"physicalLocation": _location(each)}],
        }
        for each in findings
    ]
    driver = {"name": "tfs-proxy lint", "version": version, "rules": rules}
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _location(each: Finding) -> dict[str, Any]:
    uri = each.path.as_uri() if each.path.is_absolute() else quote(each.path.as_posix())
    location: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if each.line is not None:
        location["region"] = {"startLine": each.line, "startColumn": each.column}
    return location
