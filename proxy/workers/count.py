"""How many workers `--workers` means: for `auto`, as many as this process may use CPUs.

Law: reads the scheduler's affinity and the quotas of control groups, and decides nothing else. A quota is rounded
down: what runs beyond it is stopped by the kernel until the next period begins, in the middle of calls. What cannot
be read sets no bound.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from proxy.config import Settings


def count_of(settings: Settings, root: Path = Path("/")) -> int:
    """The number of workers; `auto` is never more than what each limit can be divided among."""
    if settings.workers != "auto":
        return settings.workers
    bounds = (settings.max_connections, settings.max_concurrent_calls)
    return max(1, min(cpus(root), *(bound for bound in bounds if bound >= 0), 256))


def cpus(root: Path = Path("/")) -> int:
    """The whole CPUs that this process may use, at least 1."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min((available, *quotas(root)))))


def quotas(root: Path = Path("/")) -> Iterator[float]:
    """The CPU quota of each control group that this process is in, its ancestors included."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return
    mounts = root / "sys/fs/cgroup"
    for line in groups:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for mount in (mounts, mounts / "unified"):
                for folder in _lineage(mount, path):
                    yield from _version_2(folder)
        elif "cpu" in controllers.split(","):
            for mount in (mounts / controllers, mounts / "cpu"):
                for folder in _lineage(mount, path):
                    yield from _version_1(folder)


def _lineage(mount: Path, path: str) -> Iterator[Path]:
    # In a container the path is often the host's, of which only the end is mounted: at the mount itself.
    group = PurePosixPath(path.lstrip("/"))
    for each in (group, *group.parents):
        if ".." not in each.parts:
            yield mount / each


def _version_2(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        if quota != "max" and int(period) > 0:
            yield int(quota) / int(period)


def _version_1(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (int((folder / f"cpu.cfs_{each}_us").read_text()) for each in ("quota", "period"))
        if quota > 0 and period > 0:
            yield quota / period
