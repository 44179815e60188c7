"""The rules are checked by Prometheus' own tool where it is installed (Debian: apt-get install prometheus)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from proxy.edge.admission import BOUNDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)


@needs_promtool
@pytest.mark.parametrize(
    ("kind", "file"), [("config", "prometheus.yml"), ("rules", "rules.yml")], ids=lambda value: value
)
def test_promtool_accepts_the_files(kind, file):
    done = promtool("check", kind, FOLDER / file)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_every_alert_fires_when_it_should_and_only_then():
    done = promtool("test", "rules", FOLDER / "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rule_tests_notice_a_changed_rule(tmp_path):
    rules = (FOLDER / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("upstream_up == 0", "upstream_up == 1"))
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)
    assert promtool("test", "rules", tmp_path / "rules_test.yml").returncode == 1


def test_every_alert_has_a_unit_test_that_sees_it_fire():
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    fired = {
        each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_and_where_its_runbook_stands(rule):
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (\w+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]


def test_the_runbook_has_no_heading_without_an_alert():
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


def test_the_runbook_says_what_to_do_about_every_bound():
    section = (ROOT / "docs" / "alerts.md").read_text().partition("## TfsProxyBoundHits")[2]
    assert [bound for bound in BOUNDS if f"`{bound}`" not in section] == []


def test_a_runbook_says_what_it_means_where_to_look_and_what_to_do():
    _, *sections = re.split(r"^## ", (ROOT / "docs" / "alerts.md").read_text(), flags=re.MULTILINE)
    for section in sections:
        assert [word for word in ("**Means:**", "**Look:**", "**Do:**") if word not in section] == [], section


def test_what_promql_ships_with_the_rules_is_scraped_by_the_job_they_name():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert config["rule_files"] == ["rules.yml"]
    (job,) = config["scrape_configs"]
    assert f'up{{job="{job["job_name"]}"}} == 0' in [rule["expr"] for rule in RULES]
