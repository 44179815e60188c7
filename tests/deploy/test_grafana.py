import json
from pathlib import Path

import yaml

from proxy.observe.catalogue import METRICS

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "tfs-proxy.json").read_text())


def test_the_rows_follow_a_request_from_traffic_to_upstream():
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == [
        "Rate, errors, duration",
        "Refusals",
        "Models and signatures",
        "Overhead and sizes",
        "Upstream and process",
        "Bounds",
    ]


def test_every_bound_that_has_a_gauge_is_shown_beside_its_limit():
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", []))
    limits = [name for name in METRICS if name.endswith("_limit")]
    assert limits
    for limit in limits:
        assert f"{limit.removesuffix('_limit')} / ({limit} > 0)" in shown


def test_data_source_model_and_signature_can_be_chosen():
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "model", "signature"]
    assert variables["datasource"]["query"] == "prometheus"


def test_every_panel_uses_the_chosen_data_source_and_a_place_of_its_own():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"


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
