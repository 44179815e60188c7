"""Where clients come in: a port, or a socket in the file system, which both edges treat alike."""

import asyncio
import socket
import subprocess
import sys

import grpc
import pytest

from proxy.edge.interface import AddressInUseError
from proxy.edge.listening import bind
from tests.edge.conftest import PREDICT, ask, judged, predict
from tests.proxy_process import EDGES, PATIENCE, ROOT, running_proxy


@pytest.fixture
def address(tmp_path):
    return f"unix:{tmp_path / 'proxy.sock'}"


async def test_clients_reach_the_proxy_through_a_unix_socket(start_proxy, connect, serving, address):
    proxy = await start_proxy("--listen", address)
    assert proxy.target == address
    channel = connect(proxy)
    await judged(proxy, channel)
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    refused = await ask(channel, PREDICT, predict(alias="y"))
    assert refused.reason == "INPUT_UNKNOWN"
    health = await ask(channel, "/grpc.health.v1.Health/Check", b"")
    assert health.response == b"\x08\x01"
    told = await asyncio.to_thread(proxy.wait_for, "request_refused", reason="INPUT_UNKNOWN")
    assert told["peer"].startswith("unix:")


async def test_three_slashes_are_as_good_as_none(start_proxy, connect, tmp_path):
    proxy = await start_proxy("--listen", f"unix://{tmp_path / 'proxy.sock'}")
    assert proxy.target == f"unix:{tmp_path / 'proxy.sock'}"
    assert (await ask(connect(proxy), PREDICT, predict())).code is grpc.StatusCode.OK


@pytest.mark.parametrize("edge", EDGES)
def test_the_socket_goes_with_the_proxy(address, tmp_path, edge):
    with running_proxy("--upstream", "127.0.0.1:1", "--listen", address, *EDGES[edge]):
        assert (tmp_path / "proxy.sock").is_socket()
    assert not (tmp_path / "proxy.sock").exists()


@pytest.mark.parametrize("edge", EDGES)
def test_a_socket_left_behind_by_a_proxy_that_died_is_taken_over(address, tmp_path, edge):
    flags = ("--upstream", "127.0.0.1:1", "--listen", address, *EDGES[edge])
    with running_proxy(*flags) as first:
        first.process.kill()
        first.process.wait(PATIENCE)
        assert (tmp_path / "proxy.sock").is_socket()
        with running_proxy(*flags) as second:
            assert second.target == address


def start_and_fail(*flags):
    command = [
        sys.executable,
        "-m",
        "proxy",
        "serve",
        "--upstream",
        "127.0.0.1:1",
        "--admin-listen",
        "127.0.0.1:0",
    ]
    ended = subprocess.run(
        [*command, *flags], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 2
    return ended.stderr


@pytest.mark.parametrize("edge", EDGES)
async def test_a_socket_that_somebody_listens_on_is_not_taken(start_proxy, connect, address, edge):
    proxy = await start_proxy("--listen", address)
    error = await asyncio.to_thread(start_and_fail, "--listen", address, *EDGES[edge])
    assert error == f"Error: cannot listen on {address}: address already in use\n"
    assert (await ask(connect(proxy), PREDICT, predict())).code is grpc.StatusCode.OK


@pytest.mark.parametrize("edge", EDGES)
def test_a_file_that_is_no_socket_stays(address, tmp_path, edge):
    (tmp_path / "proxy.sock").write_text("precious")
    error = start_and_fail("--listen", address, *EDGES[edge])
    assert error == f"Error: cannot listen on {address}: address already in use\n"
    assert (tmp_path / "proxy.sock").read_text() == "precious"


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("unix:/nowhere/proxy.sock", "no such file or directory"),
        ("192.0.2.1:0", "cannot assign requested address"),
    ],
)
def test_the_reason_is_told_where_it_cannot_listen(where, why, edge):
    assert start_and_fail("--listen", where, *EDGES[edge]) == f"Error: cannot listen on {where}: {why}\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_port_0_becomes_a_real_one(host):
    sock, address = bind(f"{host}:0")
    with sock:
        assert address == f"{host}:{sock.getsockname()[1]}"
        with pytest.raises(AddressInUseError, match="address already in use"):
            bind(address)
        with socket.create_connection(sock.getsockname()[:2]):
            pass
