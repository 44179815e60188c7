"""A linter for the dashboard: what Grafana itself would not complain of."""

import re
import shutil
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from proxy.observe.catalogue import METRICS
from tests.deploy.alert_rules import ALERTS, NAMES, link, written_out
from tests.deploy.dashboard import DASHBOARD, GRAFANA, PANELS, ROOT, TARGETS, filled

OURS = re.compile(r"\b(?:(?:tfs_proxy|grpc_server|process)_[a-z0-9_]+|up\b)(?!:)")

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
each_target = pytest.mark.parametrize(
    ("panel", "target"), TARGETS, ids=[f"{panel['id']}{target['refId']}" for panel, target in TARGETS]
)


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for; of a histogram its family."""
    found = set(OURS.findall(expression))
    return found | {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in found}


def test_the_rows_follow_a_request_from_traffic_to_upstream():
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == [
        "Rate, errors, duration",
        "Refusals",
        "Models and signatures",
        "Overhead and sizes",
        "Upstream and process",
        "Bounds",
    ]


def test_every_metric_has_a_panel():
    shown = set().union(*(names(target["expr"]) for _, target in TARGETS))
    assert METRICS.keys() - shown == set()


def test_every_bound_that_has_a_gauge_is_shown_beside_its_limit():
    shown = re.sub(r"\{[^}]*\}", "", " ".join(target["expr"] for _, target in TARGETS))
    limits = [name for name in METRICS if name.endswith("_limit")]
    assert limits
    for limit in limits:
        assert f"{limit.removesuffix('_limit')} / ({limit} > 0)" in shown


def test_data_source_namespace_job_model_and_signature_can_be_chosen():
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    shown = [name for name, each in variables.items() if not each.get("hide")]
    assert shown == ["datasource", "namespace", "job", "model", "signature"]
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("namespace", "model", "signature"):
        assert variables[name]["allValue"] == ".*", "a target may have no such label"


def test_panels_and_queries_have_ids_of_their_own():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        queries = [target["refId"] for target in panel["targets"]]
        assert len(set(queries)) == len(queries)


def test_no_panel_lies_on_another():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@each_panel
def test_a_panel_has_a_title_a_unit_and_a_sentence(panel):
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".") or panel["description"] == ""


@each_target
def test_a_query_asks_the_chosen_data_source_for_the_chosen_proxies_alone(panel, target):
    assert panel["datasource"]["uid"] == target["datasource"]["uid"] == "${datasource}"
    found = OURS.findall(target["expr"])
    assert found
    chosen = re.findall(r'\{namespace=~"\$namespace",job=~"\$job"[,}]', target["expr"])
    assert len(chosen) == len(found)
    assert not re.search(r'\b(?:job|namespace|instance)=~?"(?!\$)', target["expr"])


@each_target
def test_a_range_is_long_enough_whatever_the_scrape_interval(panel, target):
    for length in re.findall(r"\[([^\]]+)\]", target["expr"]):
        assert length in {"$__rate_interval", "1h"}


@each_target
def test_what_a_legend_names_is_a_label_of_the_query(panel, target):
    kept = {label for found in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for label in found.split(", ")}
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
def test_promtool_reads_every_query(tmp_path):
    rules = [
        {"record": f"panel:{panel['id']}:{target['refId']}", "expr": filled(target["expr"])}
        for panel, target in TARGETS
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_leads_to_a_panel_that_shows_what_it_is_about_and_that_leads_back(rule):
    (number,) = parse_qs(urlsplit(link(rule["annotations"]["dashboard_url"])).query)["viewPanel"]
    (panel,) = (panel for panel in PANELS if panel["id"] == int(number))
    shown = set().union(*(names(target["expr"]) for target in panel["targets"]))
    about = names(written_out(rule["expr"])) - {"tfs_proxy_upstream_up", "tfs_proxy_build_info"}
    assert shown & (about or {"tfs_proxy_upstream_up", "up"})
    assert f"${{runbook}}#{rule['alert'].lower()}" in [each["url"] for each in panel["links"]]


def test_panels_lead_to_runbooks_of_alerts_that_exist():
    for panel in PANELS:
        for each in panel.get("links", ()):
            assert each["url"].removeprefix("${runbook}#") in {name.lower() for name in NAMES}


def test_provisioning_finds_the_dashboard_where_compose_mounts_it():
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "tfs-proxy.yml").read_text())
    (path,) = [each["options"]["path"] for each in provider["providers"]]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    grafana = compose["services"]["grafana"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{path}/tfs-proxy.json"


def test_the_data_source_is_the_prometheus_of_the_compose_file():
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
