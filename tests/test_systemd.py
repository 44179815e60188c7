"""What the proxy takes from systemd and tells it, with this process in systemd's place."""

import os
import signal
import socket
import subprocess
import sys
import time

import grpc
import pytest

from proxy.systemd import address_of, handed_over
from tests.proxy_process import PATIENCE, ROOT, ProxyProcess, running_proxy

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""An HTTP/2 frame without a setting; its fourth octet is its kind."""

HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


def handing_over(sock: socket.socket, count: int) -> tuple[str, ...]:
    """What starts a command with this socket as systemd does, `count` of them by its word."""
    return sys.executable, "-c", HAND_OVER, str(sock.fileno()), str(count)


def activated(sock: socket.socket, *flags: str) -> ProxyProcess:
    return ProxyProcess(
        *("--upstream", "127.0.0.1:1", *flags), before=handing_over(sock, 1), pass_fds=(sock.fileno(),)
    )


def is_alive(target: str) -> bool:
    with grpc.insecure_channel(target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        return check(b"", timeout=PATIENCE, wait_for_ready=True) == b"\x08\x01"


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_socket_that_is_handed_over_takes_the_place_of_listen(listening, workers):
    with activated(listening, "--workers", workers) as proxy:
        assert proxy.target == f"127.0.0.1:{listening.getsockname()[1]}"
        assert is_alive(proxy.target)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_stays_where_it_is_for_the_next_one(tmp_path, workers):
    path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        for _ in range(2):
            with activated(sock, "--workers", workers) as proxy:
                assert proxy.target == f"unix:{path}"
                assert is_alive(proxy.target)
        assert path.exists()


def test_who_connects_between_two_proxies_is_served_by_the_second(listening):
    with activated(listening) as first:
        assert is_alive(first.target)
    with socket.create_connection(listening.getsockname()) as client:
        client.settimeout(PATIENCE)
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS)
        with activated(listening):
            assert client.recv(len(SETTINGS))[3:4] == SETTINGS[3:4]
            client.close()


def test_the_settings_say_where_the_address_is_from(listening):
    import json
    import urllib.request

    with activated(listening) as proxy, urllib.request.urlopen(f"http://{proxy.admin}/api/config") as answer:
        assert '"systemd"' in json.dumps(json.load(answer))


@pytest.mark.parametrize(
    ("count", "flags", "sentence"),
    [
        (2, (), "one socket is taken from systemd, for gRPC, and there are 2"),
        (1, ("--edge", "grpcio"), "taken by --edge native alone"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(listening, count, flags, sentence):
    done = subprocess.run(
        [*handing_over(listening, count), sys.executable, "-m", "proxy", "serve", *flags],
        cwd=ROOT,
        pass_fds=(listening.fileno(),),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert sentence in line


def test_a_socket_that_does_not_listen_is_refused(monkeypatch):
    with socket.socket() as sock:
        monkeypatch.setattr("proxy.systemd._FIRST", os.dup(sock.fileno()))
        with pytest.raises(OSError, match="takes no connections"):
            handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})


def test_what_was_meant_for_another_process_is_left_alone_and_not_passed_on():
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "grpc", "HOME": "/"}
    assert handed_over(environ) is None
    assert environ == {"HOME": "/"}


def test_an_address_is_written_as_listen_is():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
        assert address_of(sock) == f"[::1]:{sock.getsockname()[1]}"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told_when_calls_are_answered_and_when_the_end_begins(tmp_path, workers, is_abstract):
    path = f"@tfs-proxy-test-{os.getpid()}-{workers}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path[1:] if is_abstract else path)
        manager.settimeout(PATIENCE)
        with running_proxy(
            "--upstream", "127.0.0.1:1", "--workers", workers, env={"NOTIFY_SOCKET": path}
        ) as proxy:
            assert manager.recv(100) == b"READY=1"
            assert is_alive(proxy.target)
            proxy.process.send_signal(signal.SIGHUP)
            kind, _, since = manager.recv(100).partition(b"\nMONOTONIC_USEC=")
            assert kind == b"RELOADING=1"
            assert 0 < int(since) <= time.monotonic_ns() // 1000
            assert manager.recv(100) == b"READY=1"
            assert proxy.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


def test_a_manager_that_is_gone_keeps_nobody_from_serving(tmp_path):
    done = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    with running_proxy("--upstream", "127.0.0.1:1", env=done) as proxy:
        assert is_alive(proxy.target)
