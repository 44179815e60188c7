from collections.abc import Iterator

import grpc
import pytest

from tests.proxy_process import EDGES, ProxyProcess, running_proxy
from tests.transparency.scripted import Script, ScriptedServer, channel_to


@pytest.fixture(scope="session")
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture(scope="session", params=EDGES)
def edge(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[ProxyProcess]:
    """A proxy in front of the scripted server, that judges nothing and adds nothing."""
    flags = ("--upstream", server.target, "--mode", "off", "--no-diagnosis")
    with running_proxy(*flags, *EDGES[request.param]) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def direct(server: ScriptedServer) -> Iterator[grpc.Channel]:
    with channel_to(server.target) as channel:
        yield channel


@pytest.fixture(scope="session")
def proxied(edge: ProxyProcess) -> Iterator[grpc.Channel]:
    with channel_to(edge.target) as channel:
        yield channel


@pytest.fixture(autouse=True)
def fresh_script(server: ScriptedServer) -> None:
    server.script = Script()
