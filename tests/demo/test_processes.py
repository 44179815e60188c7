"""Real processes: ready when they say so, found dead, started again in the same place, stopped for good."""

import os
import signal
import socket

import pytest

from proxy.demo.processes import DemoError, ModelServer, ProxyServer


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.fixture
def server(models_dir, tmp_path):
    server = ModelServer(models_dir, ["scalar"], tmp_path / "server.log")
    yield server
    server.stop()


def test_a_dead_server_is_noticed_and_comes_back_at_the_same_address(server, tmp_path):
    server.start()
    target = server.target
    assert server.death(0) is None
    os.kill(server._process._popen.pid, signal.SIGKILL)
    assert server.death() == "killed by SIGKILL"
    server.start()
    assert server.target == target
    assert listens(target)
    server.stop()
    assert not listens(target)
    # Both lives are in the log.
    assert (tmp_path / "server.log").read_text().count("dev server ready on") == 2


def test_the_proxy_is_ready_once_it_has_the_models(server, tmp_path, monkeypatch):
    # The user's own settings are not the demonstration's.
    monkeypatch.setenv("TFS_PROXY_MODE", "observe")
    server.start()
    proxy = ProxyServer(server.target, ["scalar"], tmp_path / "proxy.log")
    try:
        proxy.start()
        assert '"scalar"' in proxy.get("/api/models")
        assert '"enforce"' in proxy.get("/api/config")
        proxy.check()
        os.kill(proxy._process._popen.pid, signal.SIGKILL)
        proxy._process.exit_code(10)
        with pytest.raises(DemoError, match="the proxy ended"):
            proxy.check()
    finally:
        proxy.stop()
    assert not listens(proxy.target)


def test_what_does_not_start_is_told_with_the_end_of_its_log(tmp_path):
    server = ModelServer(tmp_path, ["missing"], tmp_path / "server.log")
    with pytest.raises(DemoError, match="model server ended before it was ready") as caught:
        server.start()
    assert "is not a directory" in str(caught.value)
    server.stop()
    server.stop()
