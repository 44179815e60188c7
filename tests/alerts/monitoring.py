"""A real Prometheus, with a real Alertmanager, of a test's own: on loopback, with the project's rules in short."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.alerts.scaled import scaled
from tests.deploy.alert_rules import ALERTMANAGER, FILES, FOLDER

PATIENCE = 60.0
LOOK_EVERY = 0.1
SCRAPE = "250ms"
JOB = "any-name"
"""Not that of the example: no rule may ask for it."""
RECORDED_FOR = "1h"
"""Longer than any test takes: whatever has fired at all."""


def _program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(
            f"there is no {names[0]} here (Debian: apt-get install prometheus prometheus-alertmanager)"
        )
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def until(
    condition: Callable[[], Awaitable[Any]], what: Callable[[], Awaitable[Any]] | None = None
) -> Any:
    """What a condition finds once it finds something; `what` is told if it never does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = await condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(await (what or condition)())
        await asyncio.sleep(LOOK_EVERY)


@contextlib.contextmanager
def _running(log: Path, *command: str) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent) as process:
        try:
            yield
        finally:
            process.terminate()


@dataclass
class Monitoring:
    """What Prometheus scrapes is told with `watch`, each target in a namespace of its own."""

    prometheus: str
    alertmanager: str
    targets: Path
    http: aiohttp.ClientSession
    watched: dict[str, dict[str, Any]] = field(default_factory=dict)

    def watch(self, namespace: str, *addresses: str, every: str = SCRAPE) -> None:
        """Scrape these admin ports from now on; none: no more."""
        labels = {"namespace": namespace, "__scrape_interval__": every, "__scrape_timeout__": every}
        self.watched[namespace] = {"targets": addresses, "labels": labels}
        told = [each for each in self.watched.values() if each["targets"]]
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps(told))
        new.replace(self.targets)

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The series of a query, as they are now."""
        async with self.http.get(f"{self.prometheus}/api/v1/query", params={"query": query}) as answer:
            told = await answer.json()
        assert told["status"] == "success", (query, told)
        return told["data"]["result"]

    async def firing(self, namespace: str) -> set[tuple[str, str]]:
        """Name and severity of the alerts that fire."""
        return _alerts(await self.ask(f'ALERTS{{alertstate="firing",namespace="{namespace}"}}'))

    async def ever_fired(self, namespace: str) -> set[tuple[str, str]]:
        """Name and severity of the alerts that have fired at any time."""
        fired = f'count_over_time(ALERTS{{alertstate="firing",namespace="{namespace}"}}[{RECORDED_FOR}])'
        return _alerts(await self.ask(fired))

    async def told(self, namespace: str) -> Mapping[str, dict[str, Any]]:
        """The alerts that Alertmanager has, by name: of two of the same name the more severe."""
        url = f"{self.alertmanager}/api/v2/alerts"
        async with self.http.get(url, params={"filter": f'namespace="{namespace}"'}) as answer:
            found = await answer.json()
        return {
            each["labels"]["alertname"]: each
            for each in sorted(found, key=lambda each: each["labels"]["severity"], reverse=True)
        }

    async def fires(self, namespace: str, *alerts: str) -> None:
        """Wait until these fire, and Alertmanager knows of each."""

        async def found() -> bool:
            return {*alerts} <= {name for name, _ in await self.firing(namespace)}

        await until(found, lambda: self._seen(namespace, alerts))

        async def told() -> bool:
            return {*alerts} <= (await self.told(namespace)).keys()

        await until(told, lambda: self.told(namespace))

    async def resolves(self, namespace: str, *, but: tuple[str, ...] = ()) -> None:
        """Wait until nothing fires, and nothing is about to."""

        async def calm() -> bool:
            active = await self.ask(f'ALERTS{{namespace="{namespace}"}}')
            return {each["metric"]["alertname"] for each in active} <= {*but}

        await until(calm, lambda: self._seen(namespace, ()))

        async def told() -> bool:
            return (await self.told(namespace)).keys() <= {*but}

        await until(told, lambda: self.told(namespace))

    async def _seen(self, namespace: str, wanted: tuple[str, ...]) -> Any:
        state = await self.ask(f'ALERTS{{namespace="{namespace}"}}')
        return wanted, sorted((each["metric"]["alertname"], each["metric"]["alertstate"]) for each in state)


def _alerts(series: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(each["metric"]["alertname"], each["metric"]["severity"]) for each in series}


@contextlib.asynccontextmanager
async def monitoring(folder: Path) -> AsyncIterator[Monitoring]:
    """Both programs, answering."""
    prometheus = _program("prometheus")
    alertmanager = _program("prometheus-alertmanager", "alertmanager")
    ports = free_port(), free_port()
    for name in FILES:
        (folder / name).write_text(scaled((FOLDER / name).read_text()))
    (folder / "alertmanager.yml").write_text(scaled(ALERTMANAGER.read_text()))
    targets = folder / "targets.json"
    targets.write_text("[]")
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE, "scrape_timeout": SCRAPE}
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{ports[1]}"]}]
    config["scrape_configs"] = [{"job_name": JOB, "file_sd_configs": [{"files": [str(targets)]}]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (
        _running(
            folder / "alertmanager.log",
            *(alertmanager, "--config.file=alertmanager.yml", "--storage.path=alertmanager"),
            *(f"--web.listen-address=127.0.0.1:{ports[1]}", "--cluster.listen-address="),
        ),
        _running(
            folder / "prometheus.log",
            *(prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus"),
            *(f"--web.listen-address=127.0.0.1:{ports[0]}", "--query.lookback-delta=5s"),
            "--rules.alert.resend-delay=1s",
        ),
    ):
        async with aiohttp.ClientSession() as http:
            addresses = [f"http://127.0.0.1:{port}" for port in ports]
            await asyncio.gather(*(_answers(http, f"{each}/-/ready", folder) for each in addresses))
            yield Monitoring(addresses[0], addresses[1], targets, http)


async def _answers(http: aiohttp.ClientSession, url: str, folder: Path) -> None:
    async def ready() -> bool:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with http.get(url) as answer:
                return answer.status == 200
        return False

    async def logs() -> str:
        return "".join(
            (folder / f"{name}.log").read_text()[-2000:] for name in ("prometheus", "alertmanager")
        )

    await until(ready, logs)
