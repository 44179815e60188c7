"""One ground for all faults of an edge: a server of its own process, and the proxy in front of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import wait_until_ready
from tests.faults.counted import ADDRESS
from tests.faults.ground import Ground
from tests.proxy_process import EDGES, ProxyProcess
from tests.safety.serving import CountingServer


@contextmanager
def prepared(edge: str, server: CountingServer, folder: Path, *flags: str) -> Iterator[Ground]:
    """A ground of its own with more flags, for what cannot be done to the one that is shared."""
    counted = folder / "counted"
    with ProxyProcess(
        *("--upstream", server.target, "--model", "m", "--poll-seconds", "0.5"),
        *(*EDGES[edge], *flags),
        env={ADDRESS: str(counted)},
        module="tests.faults.counted",
    ) as proxy:
        wait_until_ready(proxy)
        yield Ground(edge, server, proxy, counted)


@pytest.fixture(scope="session", params=EDGES)
def edge(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def ground(edge: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The ground that tests share. Whoever breaks it mends it."""
    with CountingServer() as server, prepared(edge, server, tmp_path_factory.mktemp("ground")) as ground:
        yield ground


class OddServer(CountingServer):
    process = "tests.faults.server"


@pytest.fixture(scope="session")
def odd(edge: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A ground whose server speaks HTTP/2 as it is told."""
    with OddServer() as server, prepared(edge, server, tmp_path_factory.mktemp("odd")) as ground:
        yield ground
