"""Processes of the bench: started on a core, watched, and stopped whatever happens.

Law: every process dies with the bench, also when the bench is killed (PR_SET_PDEATHSIG by `setpriv`).
"""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_START_PATIENCE = 30.0
_STOP_PATIENCE = 5.0


class BenchError(Exception):
    """The bench cannot go on; the text is a sentence for a person."""


@dataclass(frozen=True)
class Placement:
    """Cores for the contestant and for load and server; None: wherever the kernel puts them."""

    proxy: str | None = None
    rest: str | None = None


def on_core(core: str | None, command: Sequence[str]) -> list[str]:
    """The command, bound to `core`, ended when its parent ends."""
    bound = [] if core is None else ["taskset", "--cpu-list", core]
    return ["setpriv", "--pdeathsig", "KILL", *bound, *command]


def busy_share(seconds: float) -> float:
    """How much of all processors is taken, 0 to 1, measured for so long."""
    idle_before, total_before = _idle_and_total()
    time.sleep(seconds)
    idle, total = _idle_and_total()
    return 1 - (idle - idle_before) / max(1, total - total_before)


def _idle_and_total() -> tuple[int, int]:
    # user nice system idle iowait irq softirq steal (proc(5))
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def listeners(port: int) -> int:
    """How many sockets listen on this port of IPv4."""
    # sl local_address rem_address st …, in hexadecimal; 0A is LISTEN (proc_net_tcp.rst)
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def wait_for_listeners(port: int, count: int) -> None:
    """Raises BenchError when there are fewer than `count` after a while."""
    end = time.monotonic() + _START_PATIENCE
    while (found := listeners(port)) < count:
        if time.monotonic() > end:
            raise BenchError(f"{found} of {count} workers listen")
        time.sleep(0.05)


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Service:
    """One running contestant or server: one process or several, seen from outside."""

    def __init__(self, roots: Sequence[subprocess.Popen[bytes]]) -> None:
        self._roots = roots

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far, from /proc/PID/stat (10 ms steps)."""
        return sum(_cpu_ticks(pid) for pid in self._pids()) / _TICK

    def reset_peak(self) -> None:
        """Forget the peak memory so far (proc(5), clear_refs)."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """VmHWM of all its processes since `reset_peak`, added up."""
        return sum(_peak(pid) for pid in self._pids())

    def check(self) -> None:
        """Raises BenchError when one of its processes has ended."""
        for root in self._roots:
            if root.poll() is not None:
                raise BenchError(f"{root.args!r} ended with exit code {root.returncode}")

    def place(self, cores: str | None) -> None:
        """Bind all its threads to these cores; None: to none."""
        allowed = os.sched_getaffinity(0) if cores is None else {int(core) for core in cores.split(",")}
        for pid in self._pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task.name), allowed)

    def workers(self) -> list[list[int]]:
        """The processes below the first, each with those below it; it alone when there are none."""
        below = [_family([child]) for child in _children(self._roots[0].pid)]
        return below or [self._pids()]

    def _pids(self) -> list[int]:
        return _family([root.pid for root in self._roots])


@contextlib.contextmanager
def running(
    commands: Sequence[Sequence[str]], ports: Sequence[int], core: str | None, log: Path
) -> Iterator[Service]:
    """Start the commands in order, each once the port of the one before is open; stop all of them at the end.

    Raises BenchError with the end of the log when one does not come up.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        roots = []
        for command, port in zip(commands, ports, strict=True):
            root = subprocess.Popen(
                on_core(core, command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the bench's to handle
            )
            stack.callback(_stop, root)
            roots.append(root)
            if not _opens(root, port):
                told = log.read_text(errors="replace")[-2000:]
                code = root.poll()
                how = "did not open its port" if code is None else f"ended with exit code {code}"
                raise BenchError(f"{' '.join(command)} {how}:\n{told}")
        yield Service(roots)


def _opens(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _START_PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cpu_ticks(pid: int) -> int:
    # The name in brackets may hold spaces; utime and stime are fields 14 and 15 (proc(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _family(pids: list[int]) -> list[int]:
    for pid in pids:  # grows while it is walked: children of children
        pids += _children(pid)
    return pids


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
