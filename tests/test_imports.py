"""What `serve` loads is what it needs: what starts quickly and stays small is kept so."""

from pathlib import Path

import pytest

from tests.proxy_process import EDGES, ProxyProcess

NEVER = (
    "numpy",
    "pandas",
    "keras",
    "tensorflow.python",
    "rich.console",
    "jinja2",
    "proxy.devserver",
    "proxy.demo",
    "proxy.doctor",
)
"""And what belongs to them. Numpy is for policies that look at values, rich for tables on a terminal."""
OF_EDGE = {"native": "proxy.edge.native", "grpcio": "proxy.edge.grpcio"}


def loaded(*flags: str) -> set[str]:
    """Every module that a proxy, its workers included, imports until it serves."""
    with ProxyProcess("--upstream", "127.0.0.1:1", *flags, env={"PYTHONPROFILEIMPORTTIME": "1"}) as proxy:
        lines, proxy.noise = proxy.noise, []
        proxy.stop()
        lines += proxy.noise
        proxy.noise = []
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def of(package: str, modules: set[str]) -> set[str]:
    return {each for each in modules if each == package or each.startswith(f"{package}.")}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("edge", EDGES)
def test_serve_loads_nothing_that_it_does_not_need(edge, workers):
    modules = loaded("--workers", workers, *EDGES[edge])
    assert of(OF_EDGE[edge], modules)
    assert "structlog.dev" in modules
    for package in (*NEVER, *(each for name, each in OF_EDGE.items() if name != edge)):
        assert not of(package, modules), package


def test_a_supervisor_loads_no_data_plane():
    with ProxyProcess("--upstream", "127.0.0.1:1", "--workers", "2") as proxy:
        assert "cygrpc" not in Path(f"/proc/{proxy.process.pid}/maps").read_text()
        (worker, *_) = (line["pid"] for line in proxy.log if line["event"] == "worker_started")
        assert "cygrpc" in Path(f"/proc/{worker}/maps").read_text()
