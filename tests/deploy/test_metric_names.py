"""Rules, dashboard and documents speak of metrics and labels that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.core.drift import DriftKind
from proxy.core.outputs import OutputKind
from proxy.core.reasons import Reason
from proxy.edge.admission import BOUNDS
from proxy.observe.catalogue import CODES, METRICS
from proxy.observe.metrics import BACKEND_STATES, STATES
from proxy.workers.joining import STATES as WORKER_STATES
from tests.deploy.alert_rules import FILES, written_out

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "tfs-proxy.json"
RULES = [ROOT / "deploy" / "prometheus" / name for name in FILES]

ADDED_BY_PROMETHEUS = {"instance", "job", "namespace"}
OURS = re.compile(r"(?<!:)\b(?:tfs_proxy|grpc_server)_[a-z0-9_]+(?!:)\b")
SELECTOR = re.compile(r"\b((?:tfs_proxy|grpc_server)_[a-z0-9_]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")
VALUES = {
    "code": set(CODES),
    "grpc_code": set(CODES),
    "state": {*STATES, *WORKER_STATES, *BACKEND_STATES},
    "kind": {kind.value for kind in (*DriftKind, *OutputKind)},
    "reason": {reason.value for reason in Reason},
    "bound": set(BOUNDS),
    "result": {"ok", "absent", "unavailable", "error", "failed"},
}


def labels_of(name: str) -> set[str]:
    """The labels of a series by its name in an expression; fails for one that nobody exposes."""
    declared = METRICS.get(name)
    if declared is not None and declared.kind != "histogram":
        return set(declared.labels) | ADDED_BY_PROMETHEUS
    base, _, suffix = name.rpartition("_")
    declared = METRICS.get(base)
    assert declared is not None, f"{name} is not exposed"
    assert declared.kind == "histogram", f"{name} is not exposed"
    assert suffix in {"bucket", "count", "sum"}, f"{name} is not exposed"
    return set(declared.labels) | ADDED_BY_PROMETHEUS | ({"le"} if suffix == "bucket" else set())


def check(expression: str) -> None:
    names = OURS.findall(expression)
    known = ADDED_BY_PROMETHEUS | {label for name in names for label in labels_of(name)}
    for name, matchers in SELECTOR.findall(expression):
        for label, value in MATCHER.findall(matchers):
            assert label in labels_of(name), f"{name} has no label {label}"
            if label in VALUES and not value.startswith("$"):
                assert set(value.split("|")) <= VALUES[label], f"{label} is never {value}"
    for group in GROUPING.findall(expression):
        for label in group.split(","):
            assert label.strip() in known, f"{label.strip()} is no label of {names}"


def expressions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for item in node:
            yield from expressions(item)


@pytest.mark.parametrize(
    "expression", sorted({each for file in RULES for each in expressions(yaml.safe_load(file.read_text()))})
)
def test_a_rule_asks_for_what_is_exposed(expression):
    check(written_out(expression))


@pytest.mark.parametrize("expression", sorted(set(expressions(json.loads(DASHBOARD.read_text())))))
def test_a_panel_asks_for_what_is_exposed(expression):
    check(expression)


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name
)
def test_a_document_names_what_is_exposed(document):
    text = document.read_text()
    for name in set(re.findall(r"\b(?:tfs_proxy|grpc_server)_[a-z0-9_]+[a-z0-9]\b", text)):
        assert name in METRICS or labels_of(name), name
    for span in re.findall(r"`([^`\n]*\{[^`\n]*)`", text):
        check(span)


@pytest.mark.parametrize(
    "wrong",
    [
        "rate(tfs_proxy_nothing_total[5m])",
        'tfs_proxy_refusals_total{method="Predict"}',
        "sum by (reason) (tfs_proxy_upstream_up)",
        'tfs_proxy_model_version_state{state="available"}',
        "tfs_proxy_request_seconds",
    ],
)
def test_the_check_itself_notices_a_mistake(wrong):
    with pytest.raises(AssertionError):
        check(wrong)
