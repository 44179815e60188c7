"""The manifests: built by kustomize, compared with the API's schemas, and held to what the proxy knows and does."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner
from kubernetes_validate.utils import all_versions

from proxy.cli import main
from proxy.config import DECLARED
from proxy.config.reading import size
from proxy.observe.catalogue import METRICS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("sidecar", "gateway")
DEFAULTS = {setting.name: setting.default for setting in DECLARED}
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
VERSIONS = [each for each in all_versions() if int(each.split(".")[1]) >= 29]
"""Those that have native sidecars without being asked to."""
PROCESS_MB = 80 + 126
"""What a process holds beside --max-inflight-bytes, as docs/sizing.md says (120 MiB are 126 MB)."""


def kustomize_major() -> int | None:
    if shutil.which("kubectl") is None:
        return None
    said = subprocess.run(
        ["kubectl", "version", "--client"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"Kustomize Version: v(\d+)", said)
    return int(found[1]) if found else 2  # those that do not tell carry 2.0.3


_MAJOR = kustomize_major()
pytestmark = pytest.mark.skipif(
    _MAJOR is None or _MAJOR < 4,
    reason="no kubectl" if _MAJOR is None else "this kubectl's kustomize knows no folders among resources",
)


def build(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def built() -> dict[str, list[dict[str, Any]]]:
    return {
        **{name: build(FOLDER / "overlays" / name) for name in OVERLAYS},
        "monitoring": build(FOLDER / "monitoring"),
    }


@pytest.fixture(params=OVERLAYS)
def overlay(request, built) -> list[dict[str, Any]]:
    return built[request.param]


def only(objects, kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    return found


def pod(objects) -> dict[str, Any]:
    return only(objects, "Deployment")["spec"]["template"]


def proxy_of(objects) -> dict[str, Any]:
    spec = pod(objects)["spec"]
    (found,) = [
        each for each in (*spec.get("initContainers", []), *spec["containers"]) if each["name"] == "tfs-proxy"
    ]
    return found


def settings_of(objects) -> dict[str, str]:
    (source,) = proxy_of(objects)["envFrom"]
    return only(objects, "ConfigMap", source["configMapRef"]["name"])["data"]


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
@pytest.mark.parametrize("name", [*OVERLAYS, "monitoring"])
def test_every_object_is_one_that_the_api_of_kubernetes_takes(built, name, version):
    own = [each for each in built[name] if not each["apiVersion"].startswith("monitoring.coreos.com/")]
    assert own
    for each in own:
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_notice_a_mistake(built):
    wrong = only(built["gateway"], "PodDisruptionBudget")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**wrong, "spec": {**wrong["spec"], "maxUnavailabel": 1}}, VERSIONS[-1], strict=True
        )


def test_every_setting_is_one_of_the_proxy(overlay):
    known = {f"TFS_PROXY_{setting.name.upper()}" for setting in DECLARED}
    assert set(settings_of(overlay)) <= known
    assert "env" not in proxy_of(overlay)
    assert "args" not in proxy_of(overlay)


def test_the_proxy_takes_the_settings(overlay):
    done = CliRunner().invoke(main, ["config"], env=settings_of(overlay))
    assert done.exit_code == 0, done.output
    assert done.output.count("# environment\n") == len(settings_of(overlay))


def test_ports_are_those_that_the_proxy_listens_on(overlay):
    ports = {port["name"]: port["containerPort"] for port in proxy_of(overlay)["ports"]}
    assert DEFAULTS["listen"].rpartition(":")[2] == str(ports["grpc"])
    assert settings_of(overlay)["TFS_PROXY_ADMIN_LISTEN"] == f"0.0.0.0:{ports['admin']}"
    assert DEFAULTS["admin_listen"].rpartition(":")[2] == str(ports["admin"])
    (port,) = only(overlay, "Service", "tfs-proxy")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (ports["grpc"], ports["grpc"])
    policy = only(overlay, "NetworkPolicy", "tfs-proxy")
    allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == set(ports.values())


def test_whoever_selects_pods_selects_the_proxys(overlay, built):
    labels = pod(overlay)["metadata"]["labels"].items()
    selectors = [
        only(overlay, "Deployment")["spec"]["selector"]["matchLabels"],
        only(overlay, "Service", "tfs-proxy")["spec"]["selector"],
        only(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(overlay, "NetworkPolicy", "tfs-proxy")["spec"]["podSelector"]["matchLabels"],
        only(built["monitoring"], "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels, selector


def test_no_container_may_more_than_it_needs(overlay):
    spec = pod(overlay)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_a_pod_has_the_time_to_end_that_the_proxy_was_given(overlay):
    settings = settings_of(overlay)
    given = {name: int(settings[f"TFS_PROXY_{name.upper()}"]) for name in ("drain_seconds", "grace_seconds")}
    assert given == {name: DEFAULTS[name] for name in given}
    needed = sum(given.values())
    spec = pod(overlay)["spec"]
    waits = [
        int(each["lifecycle"]["preStop"]["exec"]["command"][1])
        for each in spec["containers"]
        if "lifecycle" in each
    ]
    # A sidecar ends by its own preStop while the server waits for it.
    assert all(needed < wait < spec["terminationGracePeriodSeconds"] for wait in waits)
    assert needed + 3 <= spec["terminationGracePeriodSeconds"], "the process itself needs some time too"


def test_the_memory_limit_has_room_for_what_may_wait(overlay):
    resources = proxy_of(overlay)["resources"]
    limit = size(resources["limits"]["memory"] + "B")
    assert size(settings_of(overlay)["TFS_PROXY_MAX_INFLIGHT_BYTES"]) + PROCESS_MB * 2**20 < limit
    assert "cpu" not in resources["limits"]


def test_probes_ask_what_the_admin_port_answers(overlay):
    container = proxy_of(overlay)
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {get["port"] for get in asked.values()} == {"admin"}
    assert [get["path"] for get in asked.values()] == ["/livez", "/livez", "/readyz"]


def test_both_overlays_run_the_same_container(built):
    ours = [proxy_of(built[name]) for name in OVERLAYS]
    for key in (
        "image",
        "ports",
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
        "securityContext",
    ):
        assert ours[0][key] == ours[1][key], key


def test_images_have_the_version_of_this_project_and_of_the_compose_file(built):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert proxy_of(built["gateway"])["image"] == f"tfs-proxy:{version}"
    (server,) = pod(built["sidecar"])["spec"]["containers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert server["image"] == compose["services"]["serving"]["image"]


def test_in_the_sidecar_the_proxy_calls_the_socket_that_the_server_opens(built):
    objects = built["sidecar"]
    assert proxy_of(objects)["restartPolicy"] == "Always"
    (server,) = pod(objects)["spec"]["containers"]
    flags = dict(argument.lstrip("-").split("=") for argument in server["args"])
    assert settings_of(objects)["TFS_PROXY_UPSTREAM"] == f"unix:{flags['grpc_socket_path']}"
    assert settings_of(objects)["TFS_PROXY_MODEL"] == flags["model_name"]
    assert flags["port"] == "0"
    folder = str(Path(flags["grpc_socket_path"]).parent)
    for container in (server, proxy_of(objects)):
        assert {"name": "serving", "mountPath": folder} in container["volumeMounts"]


def test_the_gateway_resolves_every_server_and_may_reach_them(built):
    objects = built["gateway"]
    service = only(objects, "Service", "tensorflow-serving")["spec"]
    assert service["clusterIP"] == "None"
    (port,) = service["ports"]
    assert settings_of(objects)["TFS_PROXY_UPSTREAM"] == f"dns:///tensorflow-serving:{port['port']}"
    out = only(objects, "NetworkPolicy", "tfs-proxy-upstream")["spec"]["egress"]
    assert out[0]["to"] == [{"podSelector": {"matchLabels": service["selector"]}}]
    assert out[0]["ports"] == [{"protocol": "TCP", "port": port["targetPort"]}]


def test_the_autoscaler_asks_for_a_gauge_that_is_exposed_and_rules_the_replicas(built):
    objects = built["gateway"]
    spec = only(objects, "HorizontalPodAutoscaler")["spec"]
    (metric,) = [each["pods"]["metric"]["name"] for each in spec["metrics"] if each["type"] == "Pods"]
    assert METRICS[metric].kind == "gauge"
    deployment = only(objects, "Deployment")
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    assert spec["minReplicas"] > only(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"]


def test_prometheus_scrapes_under_the_job_that_the_rules_name(built):
    (endpoint,) = only(built["monitoring"], "PodMonitor")["spec"]["podMetricsEndpoints"]
    job = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}["job"]
    assert endpoint["port"] == "admin"
    named = re.findall(r'\bjob="([^"]+)"', str(RULES))
    assert set(named) <= {job}


def test_the_prometheus_rule_holds_the_rules_that_are_tested(built):
    assert only(built["monitoring"], "PrometheusRule")["spec"] == RULES


def test_the_dashboard_is_grafanas_own_file(built):
    data = only(built["monitoring"], "ConfigMap")["data"]
    folder = ROOT / "deploy" / "grafana" / "dashboards"
    assert data == {path.name: path.read_text() for path in folder.glob("*.json")}
