"""The proxy that is loaded: which build and edge of it, started as a process, and what that process has.

Law: starts, asks /proc, stops; knows no call.
"""

import asyncio
import contextlib
import os
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from proxy.build_info import build as this_build
from tests.proxy_process import EDGES, ROOT, ProxyProcess
from tests.trust.result import TREE

MB = 1 << 20
PATIENCE = 30.0


def builds() -> list[str]:
    """The builds that are there, the one that is shipped first."""
    if this_build().hot_path == "compiled":
        return ["compiled"]
    return [*(["compiled"] if any(TREE.glob("*__mypyc*.so")) else []), "interpreted"]


class Memory(NamedTuple):
    """Octets of a process: resident, its proportional share, and what no file backs."""

    resident: int
    share: int
    anonymous: int


def memory(pid: int) -> Memory:
    """From /proc/PID/smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Anonymous"])


def descriptors(pid: int) -> int:
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


def fetch(proxy: ProxyProcess, path: str) -> str:
    """What the admin port says. Raises OSError, and HTTPError where it is not 200."""
    with urllib.request.urlopen(f"http://{proxy.admin}{path}", timeout=PATIENCE) as answer:
        return answer.read().decode()


def metric(scrape: str, name: str) -> float:
    """The sum of all samples of a metric."""
    found = [
        line.rpartition(" ")[2] for line in scrape.splitlines() if line.split("{")[0].split(" ")[0] == name
    ]
    return sum(map(float, found))


def in_flight(proxy: ProxyProcess) -> float:
    return metric(fetch(proxy, "/metrics"), "tfs_proxy_in_flight")


async def until_ready(proxy: ProxyProcess) -> None:
    """Wait until it says so itself."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(fetch, proxy, "/readyz")
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def standing(
    upstream: str,
    edge: str,
    build: str,
    *flags: str,
    module: str = "proxy",
    env: dict[str, str] | None = None,
) -> AsyncIterator[ProxyProcess]:
    """A proxy in front of `upstream` that is ready. Raises AssertionError at its end where it ended badly."""
    tree = ROOT if build == this_build().hot_path else TREE
    before = ("env", "-C", str(tree), f"PYTHONPATH={tree}")

    def start() -> ProxyProcess:
        models = ("--model", "m", "--model", "tall", "--model", "slow")
        return ProxyProcess(
            *("--upstream", upstream, *models, *EDGES[edge], *flags), before=before, module=module, env=env
        )

    proxy = await asyncio.to_thread(start)
    ended: tuple[type[BaseException] | None, ...] = (None,)
    try:
        serving = proxy.wait_for("serving")
        assert serving["hot_path"] == build, f"asked for the {build} build, got {serving['hot_path']}"
        await until_ready(proxy)
        yield proxy
    except BaseException as error:
        ended = (type(error),)
        raise
    finally:
        await asyncio.to_thread(proxy.__exit__, *ended)


def busy() -> str:
    """What the machine was busy with, in words."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
