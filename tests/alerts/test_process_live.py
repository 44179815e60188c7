"""Alerts about the proxy itself, with a real Prometheus and Alertmanager; a minute of the rules is a second here."""

import asyncio
import contextlib
import signal
from pathlib import Path

import pytest

from tests.alerts.conftest import GOOD
from tests.alerts.monitoring import monitoring, until
from tests.edge.conftest import PREDICT
from tests.odd_servers import self_signed
from tests.workers.conftest import kill

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_bounds_that_are_nearly_used_up_and_hit_are_told_of_until_there_is_room(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(
        serving.target, "--max-connections", "4", "--max-concurrent-calls", "1", "--edge", "native"
    )
    bounds = ("TfsProxyNearBound", "TfsProxyBoundHits", "TfsProxyOverloaded")
    async with contextlib.AsyncExitStack() as clients:
        with serving.hold("Predict") as held:
            waiting = scene.channel(proxy).unary_unary(PREDICT)(GOOD, timeout=60)
            await held.arrived()
            for _ in range(2):
                await clients.enter_async_context(scene.calls(proxy, GOOD))
            await scene.fires(*bounds)
        await waiting
    await scene.close_channels()
    await scene.resolves()
    await scene.only(*bounds, "TfsProxyRefusalsOfOneClient")


async def test_certificates_and_a_capture_that_cannot_be_written_are_told_of_until_they_are_mended(
    scene, tmp_path: Path
):
    serving = await scene.serving()
    folder = tmp_path / "captured"

    def flags(days: int) -> list[str]:
        path = self_signed(tmp_path, "listen", days)
        return [
            *("--listen-cert", str(path), "--listen-key", str(path.with_suffix(".key"))),
            *("--upstream", serving.target, "--capture", str(folder), "--capture-sample", "1"),
        ]

    proxy = await scene.start(*flags(1))
    scene.watching.watch(scene.namespace, proxy.admin)
    await scene.fires("TfsProxyCertificateExpiry")
    assert {severity for _, severity in await scene.watching.firing(scene.namespace)} == {
        "warning",
        "critical",
    }
    await asyncio.to_thread(proxy.stop)

    plain = await scene.start("--upstream", serving.target, *flags(90)[4:])
    scene.watching.watch(scene.namespace, plain.admin)
    await scene.sees("tfs_proxy_capture_paused")
    await asyncio.to_thread(folder.rmdir)
    await asyncio.to_thread(folder.write_text, "no folder")
    async with scene.calls(plain, GOOD):
        await scene.fires("TfsProxyCapturePaused")
    await asyncio.to_thread(plain.stop)
    await asyncio.to_thread(folder.unlink)

    mended = await scene.start(*flags(90), "--admin-listen", plain.admin)
    scene.watching.watch(scene.namespace, mended.admin)
    await scene.resolves()
    await scene.only("TfsProxyCertificateExpiry", "TfsProxyCapturePaused", "TfsProxyDown")


async def test_settings_that_cannot_be_used_are_told_of_until_they_are_mended(scene, tmp_path: Path):
    serving, config = await scene.serving(), tmp_path / "proxy.yaml"
    config.write_text("mode: enforce\n")
    proxy = await scene.proxy(serving.target, "--config", str(config))
    config.write_text("mode: strict\n")
    proxy.process.send_signal(signal.SIGHUP)
    await scene.fires("TfsProxyReloadFailed")
    # It is read without a word from anyone.
    config.write_text("mode: observe\n")
    await scene.resolves()
    await scene.only("TfsProxyReloadFailed")


async def test_a_proxy_that_is_down_or_starts_again_and_again_is_told_of_until_it_stays(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(serving.target)
    address = ("--upstream", serving.target, "--admin-listen", proxy.admin)
    await asyncio.to_thread(proxy.stop)
    await scene.fires("TfsProxyDown")
    up = f'tfs_proxy_upstream_up{{namespace="{scene.namespace}"}}'
    for _ in range(2):
        again = await scene.start(*address)
        await until(lambda: scene.watching.ask(up))
        await asyncio.to_thread(again.stop)
    await scene.start(*address)
    await scene.fires("TfsProxyRestarting")
    await scene.resolves()
    await scene.only("TfsProxyDown", "TfsProxyRestarting")


async def test_workers_that_hang_or_end_again_and_again_are_told_of_until_all_serve(scene):
    serving = await scene.serving()
    # A scrape waits for two seconds for a worker that is silent.
    proxy = await scene.proxy(serving.target, "--workers", "2", every="3s")

    def pids() -> list[int]:
        return [line["pid"] for line in proxy.log if line["event"] == "worker_started"]

    kill(pids()[0], signal.SIGSTOP)
    await scene.fires("TfsProxyWorkerMissing")
    kill(pids()[0], signal.SIGCONT)
    scene.watching.watch(scene.namespace, proxy.admin)
    await scene.resolves()

    async def end_them() -> None:
        while True:
            known = pids()
            for pid in known[-2:]:
                kill(pid)
            await until(lambda known=known: _grown(pids(), known))

    ending = asyncio.create_task(end_them())
    await scene.fires("TfsProxyWorkersEnding")
    ending.cancel()
    await scene.resolves()
    # While there is no worker, none reaches the server, and a scrape waits for longer than it has here.
    await scene.only("TfsProxyWorkerMissing", "TfsProxyWorkersEnding", "TfsProxyUpstreamDown", "TfsProxyDown")


async def _grown(found: list[int], known: list[int]) -> bool:
    return len(found) >= len(known) + 2


async def test_no_proxy_at_all_is_told_of_until_there_is_one(scene, tmp_path: Path):
    async with monitoring(tmp_path) as own:

        async def absent() -> bool:
            return bool(await own.ask('ALERTS{alertname="TfsProxyAbsent",alertstate="firing"}'))

        await until(absent)
        proxy = await scene.start("--upstream", (await scene.serving()).target)
        own.watch("there", proxy.admin)

        async def there() -> bool:
            return not await own.ask('ALERTS{alertname="TfsProxyAbsent"}')

        await until(there)
