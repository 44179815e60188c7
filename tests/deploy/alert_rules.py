"""The alert rules and their runbook, as tests read them."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
FILES = ("rules.yml", "slo.yml")
RUNBOOK = ROOT / "docs" / "runbook.md"

LINK = re.compile(
    r'\{\{ with query "tfs_proxy:links:info" \}\}\{\{ \. \| first \| label "(\w+)" \}\}\{\{ end \}\}'
)


def rules() -> list[dict[str, Any]]:
    """Every rule, recorded ones too, in the order in which they stand."""
    groups = [group for file in FILES for group in yaml.safe_load((FOLDER / file).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = list(dict.fromkeys(rule["alert"] for rule in ALERTS))
RECORDED = {rule["record"]: rule for rule in rules() if "record" in rule}


def link(annotation: str) -> str:
    """An annotation with the addresses of `tfs_proxy:links:info` put in, as Prometheus does."""
    return LINK.sub(lambda found: RECORDED["tfs_proxy:links:info"]["labels"][found[1]], annotation)


def written_out(expression: str) -> str:
    """An expression with the recorded ones in it in place of their names."""
    for name, rule in RECORDED.items():
        if name in expression:
            expression = expression.replace(name, f"({written_out(str(rule['expr']))})")
    return expression
