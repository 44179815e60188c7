"""A real proxy on either edge before a real server that counts what it should not have been given."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.conftest import wait_until_ready
from tests.proxy_process import EDGES, ProxyProcess
from tests.safety.serving import MODELS, CountingServer

Start = Callable[..., ProxyProcess]


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        yield server


@pytest.fixture(scope="module", params=EDGES)
def edge(request: pytest.FixtureRequest) -> str:
    return request.param


def start(server: CountingServer, edge: str, *flags: str, **how: object) -> ProxyProcess:
    """A proxy that knows the signatures of every model."""
    known = [flag for model in MODELS for flag in ("--model", model)]
    return ProxyProcess("--upstream", server.target, *known, *EDGES[edge], *flags, **how)


@pytest.fixture(scope="module")
def proxy(server: CountingServer, edge: str) -> Iterator[ProxyProcess]:
    """With the settings that it has when nobody sets any."""
    with start(server, edge) as proxy:
        wait_until_ready(proxy)
        yield proxy


@pytest.fixture
def start_proxy(server: CountingServer, edge: str) -> Iterator[Start]:
    """Start a proxy with flags of the test's own."""
    with ExitStack() as stack:

        def starting(*flags: str, **how: object) -> ProxyProcess:
            proxy = stack.enter_context(start(server, edge, *flags, **how))
            wait_until_ready(proxy)
            return proxy

        yield starting
