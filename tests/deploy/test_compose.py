import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy.config import DECLARED
from proxy.observe.admin.hosts import Asked, Hosts

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]

each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_file_is_what_the_schema_of_compose_says():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, ROOT / "docker-compose.yml"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout


@each_service
def test_what_a_service_mounts_exists(name):
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert (ROOT / source).is_dir(), f"{source} does not exist"
            assert mode == ["ro"], f"{volume}: a container could write into the checkout"
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_what_a_service_waits_for_can_come_true(name):
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert wait["condition"] == "service_completed_successfully"


@each_service
def test_published_ports_are_on_loopback(name):
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each_service
def test_an_image_is_built_here_or_pinned_to_a_version(name):
    service = SERVICES[name]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    else:
        tag = service["image"].rpartition(":")[2]
        assert tag.lstrip("v").replace(".", "").isdigit(), service["image"]


@each_service
def test_the_files_in_a_command_are_mounted(name):
    service = SERVICES[name]
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in service.get("volumes", [])}
    words = [*service.get("entrypoint", []), *service.get("command", [])]
    for word in words:
        path = word.partition("=")[2] or word
        if path.startswith("/compose/"):
            assert (ROOT / mounts["/compose"] / path.removeprefix("/compose/")).is_file(), path


def test_the_proxy_is_configured_by_variables_that_exist():
    known = {f"TFS_PROXY_{setting.name.upper()}" for setting in DECLARED}
    assert set(SERVICES["proxy"]["environment"]) <= known


def test_the_proxy_has_the_folder_for_temporary_files_that_it_needs_on_a_read_only_root():
    assert SERVICES["proxy"]["read_only"]
    assert SERVICES["proxy"]["tmpfs"] == ["/tmp"]


def test_prometheus_scrapes_the_admin_port_of_the_proxy():
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    environment = SERVICES[host]["environment"]
    assert environment["TFS_PROXY_ADMIN_LISTEN"].endswith(f":{port}")
    names = environment["TFS_PROXY_ADMIN_HOST"].split()
    assert Hosts(names).judge("/metrics", [target]) is Asked.KNOWN
    assert Hosts().judge("/metrics", [target]) is not Asked.KNOWN


def test_prometheus_tells_the_alertmanager_that_runs_and_people_find_it_on_the_same_port():
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (target,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]
    flags = dict(flag.removeprefix("--").split("=") for flag in SERVICES[host]["command"])
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES[host]["volumes"]}
    file = Path(flags["config.file"])
    assert (ROOT / mounts[str(file.parent)] / file.name).is_file()
    assert flags["storage.path"] in mounts


def test_the_rules_that_prometheus_loads_are_mounted_where_it_looks():
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["prometheus"]["volumes"]}
    folder = ROOT / mounts["/etc/prometheus"]
    for name in yaml.safe_load((folder / "prometheus.yml").read_text())["rule_files"]:
        assert (folder / name).is_file()


def test_alerts_lead_to_the_grafana_that_runs():
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"]
    grafana = rules[0]["rules"][0]["labels"]["grafana"]
    port = grafana.rpartition(":")[2]
    assert f"127.0.0.1:{port}:3000" in SERVICES["grafana"]["ports"]


def test_the_proxy_may_take_as_long_to_stop_as_it_was_told_to():
    defaults = {setting.name: setting.default for setting in DECLARED}
    grace = int(SERVICES["proxy"]["stop_grace_period"].removesuffix("s"))
    assert grace > defaults["drain_seconds"] + defaults["grace_seconds"]
