"""What cannot start is told once, and does not try for ever."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.edge.listening import reserve
from tests.proxy_process import EDGES, ProxyProcess
from tests.test_app import start as start_command
from tests.workers.conftest import kill


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("flag", ["--listen", "--admin-listen"])
def test_a_taken_port_is_one_clear_sentence(flag, edge):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = start_command("--workers", "2", flag, address, *EDGES[edge])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert address in line
    assert "in use" in line


def test_a_port_that_others_share_among_themselves_is_taken():
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        done = start_command("--workers", "2", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 2
    assert "in use" in done.stderr


@pytest.mark.parametrize("edge", EDGES)
def test_a_certificate_that_is_none_is_one_clear_sentence(tmp_path, edge):
    path = tmp_path / "cert.pem"
    path.write_text("not a certificate")
    done = start_command(
        "--workers", "2", "--listen-cert", str(path), "--listen-key", str(path), *EDGES[edge]
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "TLS" in line


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--workers", "0"), "neither a number of workers"),
        (("--workers=-1",), "neither a number of workers"),
        (("--workers", "1000"), "1 to 256"),
        (("--workers", "many"), "nor auto"),
        (
            ("--workers", "3", "--max-connections", "2"),
            "--max-connections 2 leaves nothing for some of --workers 3",
        ),
        (("--workers", "2", "--edge", "grpcio", "--listen", "unix:/tmp/x"), "cannot share a Unix socket"),
    ],
)
def test_what_cannot_be_divided_is_wrong_usage(flags, told):
    done = start_command(*flags)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


async def test_when_no_worker_can_be_started_any_more_the_command_says_so_and_ends(start, tmp_path):
    folder = tmp_path / "captured"
    proxy = await start("--capture", str(folder))
    folder.rmdir()
    folder.write_text("")
    for pid in proxy.pids().values():
        kill(pid)
    await asyncio.to_thread(proxy.process.wait, 60)
    await asyncio.to_thread(proxy.stop)
    assert proxy.process.returncode == 3
    assert proxy.noise == ["Error: no worker can be started any more; the log says why of each\n"]
    failed = [line for line in proxy.log if line["event"] == "worker_failed"]
    assert all("is not a folder" in line["text"] for line in failed)
    assert 5 <= len(failed) <= 12
    waits = [line["again_in_seconds"] for line in failed if line["worker"] == 0]
    assert waits == sorted(waits)


def test_auto_on_one_cpu_is_no_process_beside_the_proxy():
    flags = ("--upstream", "127.0.0.1:1", "--workers", "auto")
    with ProxyProcess(*flags, before=("taskset", "-c", str(min(os.sched_getaffinity(0))))) as proxy:
        assert "workers" not in proxy.wait_for("serving")


def test_a_folder_called_proxy_where_the_command_is_given_is_not_taken_for_it(tmp_path):
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit('not this one')")
    command = shutil.which("tfs-proxy", path=Path(sys.executable).parent)
    done = subprocess.run(
        [command, "serve", "--workers", "2", "--listen", "127.0.0.1:0", "--admin-listen", "192.0.2.1:1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "not this one" not in done.stderr


def test_an_address_that_is_reserved_is_taken_for_all_but_those_who_share_it():
    held, address = reserve("127.0.0.1:0")
    port = int(address.rpartition(":")[2])
    with held:
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port)).close()
        with (
            socket.create_server(("127.0.0.1", port), reuse_port=True),
            socket.create_server(("127.0.0.1", port), reuse_port=True),
        ):
            socket.create_connection(("127.0.0.1", port)).close()
