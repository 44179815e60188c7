"""The life of the process: fast and small at the start, clear when it cannot start, clean at the end."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests import odd_servers
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def
from tests.proxy_process import EDGES, ROOT, ProxyProcess, running_proxy


@pytest.fixture
async def serving() -> AsyncIterator[FakeServing]:
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


def get(proxy: ProxyProcess, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{proxy.admin}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def until_ready(proxy: ProxyProcess) -> None:
    for _ in range(200):
        if (await asyncio.to_thread(get, proxy, "/readyz"))[0] == 200:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never ready: {get(proxy, '/readyz')}")


def start(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "proxy",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            *flags,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


# === build, bind, ready ===


async def test_the_first_call_is_answered_within_a_second_and_a_half_of_the_start(serving):
    with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target) as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
        assert proxy.ready_after < 1.5


async def test_the_process_stays_below_100_megabytes(serving):
    with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target) as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            for _ in range(50):
                await ask(channel, PREDICT, predict(shape=(3,)))  # refused: the wording is loaded too
        status = await asyncio.to_thread(Path(f"/proc/{proxy.process.pid}/status").read_text)
        (resident,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident < 100 * 1024


def test_no_tensorflow_runtime_is_loaded():
    script = (
        "import sys; sys.argv = ['x']; import proxy.app, proxy.cli.serve, proxy.gate\n"
        "print(sorted(name for name in sys.modules if name.startswith('tensorflow') and '_pb2' not in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # Namespaces over folders, no code.
    assert "tensorflow.python" not in done.stdout
    assert "pywrap" not in done.stdout


async def test_one_line_says_where_it_listens_and_what_for(serving):
    with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target, "--mode", "observe") as proxy:
        line = proxy.wait_for("serving")
        assert (line["listen"], line["admin"]) == (proxy.target, proxy.admin)
        assert (line["upstream"], line["mode"]) == (serving.target, "observe")


async def test_it_is_ready_once_the_server_is_there_with_the_expected_model(serving):
    flags = ("--upstream", serving.target, "--model", "late", "--poll-seconds", "0.05")
    with await asyncio.to_thread(ProxyProcess, *flags) as proxy:
        assert (await asyncio.to_thread(get, proxy, "/livez"))[0] == 200
        code, text = await asyncio.to_thread(get, proxy, "/readyz")
        assert code == 503
        assert "model/late failed" in text
        serving.load("late")
        await until_ready(proxy)


async def test_the_admin_port_shows_metrics_models_refusals_and_settings(serving):
    with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target, "--model", "m") as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            await ask(channel, PREDICT, predict(shape=(3,)))
            await ask(channel, PREDICT, predict())
        await until_ready(proxy)
        pages = [
            await asyncio.to_thread(get, proxy, path)
            for path in ("/metrics", "/api/models", "/api/refusals", "/api/config", "/")
        ]
        assert [code for code, _ in pages] == [200] * 5
        metrics, models, refusals, settings, _ = (text for _, text in pages)
        assert (
            'tfs_proxy_refusals_total{model="m",reason="RANK_MISMATCH",signature="serving_default"} 1.0'
            in metrics
        )
        assert 'code="OK"' in metrics
        assert [model["name"] for model in json.loads(models)["models"]] == ["m"]
        (refusal,) = json.loads(refusals)["refusals"]
        assert refusal["peer"].startswith("ipv4:127.0.0.1:")
        assert json.loads(settings)["upstream"] == {"value": serving.target, "origin": "flag"}


async def test_metrics_tell_of_certificates_and_captures_where_there_are_any(serving, tmp_path):
    with running_proxy("--upstream", serving.target) as plain:
        _, told = await asyncio.to_thread(get, plain, "/metrics")
    assert "tfs_proxy_certificate_expiry_timestamp_seconds{" not in told
    assert "\ntfs_proxy_capture_paused" not in told
    cert = odd_servers.self_signed(tmp_path, "listen", 90)
    tls = ("--listen-cert", str(cert), "--listen-key", str(cert.with_suffix(".key")))
    with running_proxy("--upstream", serving.target, *tls, "--capture", str(tmp_path / "captured")) as proxy:
        _, told = await asyncio.to_thread(get, proxy, "/metrics")
    assert 'tfs_proxy_certificate_expiry_timestamp_seconds{use="listen_cert"} ' in told
    assert "\ntfs_proxy_capture_paused 0.0\n" in told


async def test_the_native_edge_asks_about_models_on_the_connection_that_carries_the_calls(serving):
    async with odd_servers.Tunnel(serving.target) as tunnel:
        flags = ("--upstream", tunnel.target, "--model", "m", "--poll-seconds", "0.05")
        with await asyncio.to_thread(ProxyProcess, *flags) as proxy:
            await until_ready(proxy)
            async with grpc.aio.insecure_channel(proxy.target) as channel:
                assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
            assert serving.calls["GetModelStatus"]
            assert serving.calls["GetModelMetadata"]
            assert tunnel.connections == 1


@pytest.mark.parametrize("edge", EDGES)
async def test_after_a_restart_calls_are_judged_by_what_the_server_says_now(serving, edge):
    other = {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 4))})}
    flags = ("--upstream", serving.target, "--model", "m", "--poll-seconds", "30", *EDGES[edge])
    with await asyncio.to_thread(ProxyProcess, *flags) as proxy:
        await until_ready(proxy)
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
            for _ in range(3):
                await serving.stop()
                serving.models["m"][1].signatures = other
                serving.requests.clear()
                during = [asyncio.create_task(ask(channel, PREDICT, predict(shape=(3,)))) for _ in range(20)]
                await serving.start()
                await asyncio.gather(*during)
                async with asyncio.timeout(20):
                    while (await ask(channel, PREDICT, predict(shape=(3,)))).reason != "RANK_MISMATCH":
                        pass
                assert (await ask(channel, PREDICT, predict(shape=(2, 4)))).code is grpc.StatusCode.OK
                reached = [data for method, data in serving.requests if method == "Predict"]
                assert reached == [predict(shape=(2, 4))]


# === what it says when it cannot start ===


@pytest.mark.parametrize("flag", ["--listen", "--admin-listen"])
def test_a_taken_port_is_one_clear_sentence(flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = start(flag, address)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert address in line
    assert "in use" in line
    assert "Errno" not in line


def test_an_address_of_another_machine_is_one_clear_sentence():
    done = start("--listen", "192.0.2.1:8600")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "cannot listen on 192.0.2.1:8600: cannot assign requested address" in line


def test_a_certificate_that_is_none_is_one_clear_sentence(tmp_path):
    path = tmp_path / "cert.pem"
    path.write_text("not a certificate")
    done = start("--listen-cert", str(path), "--listen-key", str(path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "TLS" in line


def test_a_wrong_flag_fails_before_anything_is_started():
    done = start("--mode", "strict")
    assert done.returncode == 2
    assert "'strict' is none of enforce, observe, off" in done.stderr


# === drain, stop ===


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_calls_under_way_end_well_and_so_does_the_process(serving, number):
    with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target) as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            with serving.hold("Predict") as hold:
                asking = asyncio.create_task(ask(channel, PREDICT, predict()))
                await hold.arrived()
                stopping = asyncio.create_task(asyncio.to_thread(proxy.stop, number))
                await asyncio.to_thread(proxy.wait_for, "draining")
                code, text = await asyncio.to_thread(get, proxy, "/readyz")
                assert (code, "draining" in text) == (503, True)
                assert not stopping.done()
                hold.release()
                assert (await asking).code is grpc.StatusCode.OK
            assert await stopping == 0


async def test_new_calls_are_still_taken_while_draining(serving):
    with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target, "--drain-seconds", "2") as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            stopping = asyncio.create_task(asyncio.to_thread(proxy.stop))
            await asyncio.to_thread(proxy.wait_for, "draining")
            assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
        assert await stopping == 0


async def test_whoever_presses_ctrl_c_does_not_wait_for_anyone_to_notice():
    with running_proxy("--upstream", "127.0.0.1:1", "--drain-seconds", "600") as proxy:
        assert await asyncio.to_thread(proxy.stop, signal.SIGINT) == 0
        assert proxy.wait_for("draining")["drain_seconds"] == 0


async def test_calls_that_outlast_the_grace_are_cut(serving):
    flags = ("--upstream", serving.target, "--grace-seconds", "0.1")
    with await asyncio.to_thread(ProxyProcess, *flags) as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            with serving.hold("Predict") as hold:
                asking = asyncio.create_task(ask(channel, PREDICT, predict()))
                await hold.arrived()
                assert await asyncio.to_thread(proxy.stop) == 0
                assert (await asking).code is not grpc.StatusCode.OK


async def test_a_second_signal_cuts_calls_short(serving):
    with await asyncio.to_thread(
        ProxyProcess, "--upstream", serving.target, "--drain-seconds", "60"
    ) as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            with serving.hold("Predict") as hold:
                asking = asyncio.create_task(ask(channel, PREDICT, predict()))
                await hold.arrived()
                proxy.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(proxy.wait_for, "draining")
                assert await asyncio.to_thread(proxy.stop) == 1
                assert (await asking).code is not grpc.StatusCode.OK


def test_it_starts_and_stops_without_a_server():
    with running_proxy("--upstream", "127.0.0.1:1") as proxy:
        proxy.wait_for("upstream_down")
        assert proxy.stop() == 0
