"""The rules are checked by Prometheus' own tool where it is installed (Debian: apt-get install prometheus)."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.deploy.alert_rules import (
    ALERTMANAGER,
    ALERTS,
    FILES,
    FOLDER,
    NAMES,
    RECORDED,
    link,
    rules,
    written_out,
)

TESTS = sorted((FOLDER / "tests").glob("*_test.yml"))

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None,
    reason="amtool is not installed (Debian: apt-get install prometheus-alertmanager)",
)
each_alert = pytest.mark.parametrize(
    "rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}"
)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)


def cases() -> list[dict]:
    """What the unit tests expect of alerts."""
    tests = [test for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    return [case for test in tests for case in test["alert_rule_test"]]


@needs_promtool
@pytest.mark.parametrize(
    ("kind", "file"), [("config", "prometheus.yml"), *(("rules", file) for file in FILES)], ids=str
)
def test_promtool_accepts_the_files(kind, file):
    done = run("promtool", "check", kind, FOLDER / file)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_amtool
def test_amtool_accepts_the_example_for_alertmanager():
    done = run("amtool", "check-config", ALERTMANAGER)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_every_alert_fires_when_it_should_and_only_then(file):
    done = run("promtool", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rule_tests_notice_a_changed_rule(tmp_path):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    rules = (FOLDER / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("upstream_up == 0", "upstream_up == 1"))
    assert run("promtool", "test", "rules", tmp_path / "tests" / "upstream_test.yml").returncode == 1


@each_alert
def test_a_unit_test_sees_an_alert_fire_and_then_resolved(rule):
    seen = [
        any(
            each["exp_labels"]["severity"] == rule["labels"]["severity"]
            for each in case.get("exp_alerts", ())
        )
        for case in cases()
        if case["alertname"] == rule["alert"]
    ]
    assert True in seen
    assert False in seen[seen.index(True) :]


@each_alert
def test_an_alert_says_what_it_is_and_how_bad(rule):
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]


@each_alert
def test_an_alert_links_to_its_runbook_and_to_a_panel_wherever_those_are(rule):
    links = RECORDED["tfs_proxy:links:info"]["labels"]
    assert link(rule["annotations"]["runbook_url"]) == f"{links['runbook']}#{rule['alert'].lower()}"
    dashboard = link(rule["annotations"]["dashboard_url"])
    assert dashboard.startswith(f"{links['grafana']}/d/tfs-proxy/")
    assert parse_qs(urlsplit(dashboard).query)["viewPanel"]


def test_the_addresses_stand_in_one_place_and_are_absolute():
    links = RECORDED["tfs_proxy:links:info"]["labels"]
    everything = "".join((FOLDER / file).read_text() for file in FILES)
    for address in links.values():
        assert urlsplit(address).scheme in {"http", "https"}
        assert everything.count(address) == 1


@each_alert
def test_an_alert_lasts_no_longer_than_what_it_is_about(rule):
    """Ranges are short, but where it is told how often something happened, or how fast a budget burns."""
    ranges = set(re.findall(r"\[(\w+)\]", written_out(rule["expr"])))
    longer = {
        "TfsProxyBreakingDrift": {"1h"},  # and clients are refused now
        "TfsProxyOutputsSuspect": {"5m"},
        "TfsProxyUpstreamDied": {"10m"},
        "TfsProxyRestarting": {"10m"},
        "TfsProxyWorkersEnding": {"10m"},
        "TfsProxyDown": {"1d"},  # and it is down now
        "TfsProxyErrorBudgetBurn": {"5m", "30m", "1h", "6h", "3d"},
    }.get(rule["alert"], set())
    assert ranges <= {"2m", "3m"} | longer


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_namespace_and_job_are_kept_and_none_is_asked_for_by_name(rule):
    expression = str(rule["expr"])
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert {"namespace", "job"} <= set(labels.split(", "))
    assert not re.search(r"\b(?:job|namespace|instance)\s*=", expression)


@each_alert
def test_a_share_is_no_alert_where_hardly_anybody_calls(rule):
    expression = written_out(rule["expr"])
    if re.search(r"_requests_total[^/]*/|/[^/]*_requests_total", expression):
        assert re.search(r"(?:_requests|_refusals)_total.*?\]\)\)\)? > [\d.]+", expression, re.DOTALL)


def test_what_an_inhibition_names_exists():
    config = yaml.safe_load(ALERTMANAGER.read_text())
    labels = {"namespace", "job", "instance", "model", "use", "alertname"}
    for rule in config["inhibit_rules"]:
        assert set(rule["equal"]) <= labels
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            name, _, value = re.fullmatch(r'(\w+)(=~|!~|=)"([^"]*)"', matcher).groups()
            if name == "alertname":
                for each in value.split("|"):
                    assert [alert for alert in NAMES if re.fullmatch(each, alert)], each


def test_prometheus_loads_the_rules_and_tells_the_alertmanager():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert config["rule_files"] == list(FILES)
    (told,) = config["alerting"]["alertmanagers"]
    assert told["static_configs"] == [{"targets": ["alertmanager:9093"]}]
