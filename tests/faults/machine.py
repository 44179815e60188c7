"""The proxy on a machine of its own: a small disk, names that change, another clock, a log that nobody reads.

Law: knows how a machine is made so, and no fault. What takes root, or a C compiler, skips its test with a reason.
"""

import contextlib
import json
import os
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import wait_until_ready
from tests.faults.counted import ADDRESS
from tests.faults.ground import Ground
from tests.proxy_process import EDGES, ProxyProcess
from tests.safety.serving import CountingServer

CLOCK = Path(__file__).with_name("clock.c")


@contextlib.contextmanager
def on_a_machine(
    edge: str,
    server: CountingServer,
    folder: Path,
    *flags: str,
    kind: type[ProxyProcess] = ProxyProcess,
    upstream: str = "",
    env: dict[str, str] | None = None,
    before: tuple[str, ...] = (),
) -> Iterator[Ground]:
    """A proxy of its own, as its `before`, its environment and its kind of process have it."""
    folder.mkdir(parents=True, exist_ok=True)
    counted = folder / "counted"
    with kind(
        *("--upstream", upstream or server.target, "--model", "m", "--poll-seconds", "0.5"),
        *(*EDGES[edge], *flags),
        env={ADDRESS: str(counted), **(env or {})},
        module="tests.faults.counted",
        before=before,
    ) as proxy:
        wait_until_ready(proxy)
        yield Ground(edge, server, proxy, counted)


# === mounts that only the process has ===


def with_mounts(*mounts: str) -> tuple[str, ...]:
    """What starts a process for which these have been mounted."""
    script = " && ".join([*(f"mount {each}" for each in mounts), 'exec "$@"'])
    before = ("unshare", "--mount", "sh", "-c", script, "sh")
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    tried = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"nothing can be mounted here: {tried.stderr.strip()}")
    return before


def small_disk(folder: Path, size: str) -> str:
    """A file system in memory of this size."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"-t tmpfs -o size={size} none {shlex.quote(str(folder))}"


def instead_of(path: str, file: Path) -> str:
    """A file in the place of another."""
    return f"--bind {shlex.quote(str(file))} {path}"


def as_seen_by(proxy: ProxyProcess, path: Path) -> Path:
    """A path within the mounts of the process."""
    return Path(f"/proc/{proxy.process.pid}/root{path}")


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No octet more fits on the disk while the block runs."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    yield
    filler.unlink()


# === logs ===


class Unread(ProxyProcess):
    """Nobody reads its log once it serves."""

    def _read(self) -> None:
        for line in self.process.stderr:
            self._note(line)
            if self.log[-1]["event"] == "serving":
                break

    def _note(self, line: str) -> None:
        with self._told:
            self.log.append(json.loads(line))
            self._told.notify_all()


class Abandoned(Unread):
    """Whoever read its log has gone once it serves."""

    def _read(self) -> None:
        super()._read()
        self.process.stderr.close()


# === a clock ===


class Clock:
    """The wall clock of the process that is started with `env`; `jump` sets it so many seconds off the machine's."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("there is no C compiler for another clock")
        folder.mkdir(parents=True, exist_ok=True)
        library, self._file = folder / "clock.so", folder / "off"
        subprocess.run(
            [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, CLOCK], check=True
        )
        self._file.write_bytes(struct.pack("q", 0))
        self.env = {"LD_PRELOAD": str(library), "TFS_PROXY_CLOCK": str(self._file)}

    def jump(self, seconds: int) -> None:
        """From now on the clock is so far off, at once."""
        descriptor = os.open(self._file, os.O_WRONLY)
        os.pwrite(descriptor, struct.pack("q", seconds), 0)
        os.close(descriptor)


def rewrite(path: Path, text: str) -> None:
    """Other content in the same file, which may be mounted elsewhere."""
    with path.open("r+") as file:
        file.write(text)
        file.truncate()
