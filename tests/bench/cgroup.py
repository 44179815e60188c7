"""A quota of CPU time for processes (cgroup v1, controller cpu), so that the contestant is the limit and not its load.

Law: makes groups of its own under the controller's root, puts only the bench's own processes into them, and takes
them away again. Where that cannot be done `lacking` says why, and nothing is measured that needs it.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_CONTROLLER = Path("/sys/fs/cgroup/cpu")
_PERIOD_US = 10_000
"""Short, so that a contestant is kept waiting for milliseconds and its calls for little more than they would be."""


def lacking() -> str:
    """Why no quota can be given, "" when it can."""
    if not (_CONTROLLER / "cpu.cfs_quota_us").exists():
        return f"there is no CPU quota of cgroup v1 at {_CONTROLLER}"
    try:
        with quota([[]], 0.5):
            return ""
    except OSError as error:
        return f"no CPU quota can be set at {_CONTROLLER}: {error.strerror}"


@contextlib.contextmanager
def quota(groups: Sequence[Sequence[int]], share: float) -> Iterator[None]:
    """Give the processes of each group at most `share` of one core's time together."""
    with contextlib.ExitStack() as stack:
        for number, pids in enumerate(groups):
            folder = _CONTROLLER / f"tfs-proxy-bench-{os.getpid()}-{number}"
            folder.mkdir()
            stack.callback(_remove, folder)
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(round(share * _PERIOD_US)))
            for pid in pids:
                (folder / "cgroup.procs").write_text(str(pid))
        yield


def _remove(folder: Path) -> None:
    for pid in (folder / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            (_CONTROLLER / "cgroup.procs").write_text(pid)
    folder.rmdir()
