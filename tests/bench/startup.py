"""How long `tfs-proxy serve` takes to start, and how much memory it is: `python -m tests.bench.startup`.

Law: measures what users install, and nothing else: the compiled wheel that `make compiled` left in `.compiled/`, with
its locked run-time dependencies and the protobuf modules of TensorFlow as in the container image, in a virtual
environment of its own in `.bench/`.
"""

import asyncio
import contextlib
import hashlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc

from tests.bench.processes import BenchError, Service
from tests.edge.conftest import PREDICT, predict
from tests.fake_serving import FakeServing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".bench" / "startup"
LOCK = ROOT / "requirements" / "image.lock"

STARTS = 9
SMALL, PICTURES = 2000, 50
"""Calls of the traffic after which memory is looked at again: of three floats, and of a megabyte."""

AIM_SECONDS, AIM_MB = 0.6, 80.0


class Startup(NamedTuple):
    """Medians of several starts. Seconds from the exec to the line that says it serves and a connection that is
    accepted, and of processor time until then; MB (10**6) of resident memory then, and after some traffic.
    """

    starts: int
    version: str
    seconds: float
    seconds_least: float
    seconds_most: float
    cpu_seconds: float
    ready_mb: float
    traffic_mb: float

    @property
    def holds(self) -> bool:
        """Whether the aims are met."""
        return self.seconds <= AIM_SECONDS and self.traffic_mb <= AIM_MB

    def row(self) -> str:
        """One sentence for a report."""
        return (
            f"{self.version}: serves {self.seconds:.2f} s after the exec ({self.seconds_least:.2f} to "
            f"{self.seconds_most:.2f} in {self.starts} starts; {self.cpu_seconds:.2f} s of processor time), resident {self.ready_mb:.1f} MB when ready and "
            f"{self.traffic_mb:.1f} MB after {SMALL} small calls and {PICTURES} of 1 MB; aims: "
            f"{AIM_SECONDS} s and {AIM_MB:.0f} MB, {'met' if self.holds else 'NOT met'}"
        )


def measure(starts: int = STARTS, flags: tuple[str, ...] = ()) -> Startup:
    """Start the installed proxy so many times, in front of a server that is there. Raises BenchError."""
    program = install() / "tfs-proxy"
    version = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if "(compiled," not in version:
        raise BenchError(f"{program} is not compiled: {version}")
    with _upstream() as upstream:
        command = [str(program), "serve", "--upstream", upstream, *flags]
        # The first reads files that no later start has to read.
        _one(command)
        found = [_one(command) for _ in range(starts)]
    seconds, cpu, ready, traffic = zip(*found, strict=True)
    return Startup(
        starts,
        version,
        statistics.median(seconds),
        min(seconds),
        max(seconds),
        statistics.median(cpu),
        statistics.median(ready),
        statistics.median(traffic),
    )


def install() -> Path:
    """The `bin` of a virtual environment with the wheel; made anew when the wheel or its lock are others."""
    wheels = list((ROOT / ".compiled").glob("*.whl"))
    if len(wheels) != 1:
        raise BenchError("there is no wheel in .compiled/: make compiled")
    made_of = hashlib.sha256(wheels[0].read_bytes() + LOCK.read_bytes()).hexdigest()
    marker = FOLDER / ".made_of"
    if marker.exists() and marker.read_text() == made_of:
        return FOLDER / "bin"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(exist_ok=True)
    protos = FOLDER / "protos"
    python = str(FOLDER / "bin" / "python")
    _run(sys.executable, "-m", "venv", str(FOLDER))
    _run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(LOCK))
    _run(python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheels[0]))
    # With this environment's TensorFlow, as in deploy/docker/Dockerfile.
    _run(sys.executable, str(ROOT / "deploy/docker/extract_protos.py"), str(protos))
    (site,) = FOLDER.glob("lib/python*/site-packages")
    (protos / "tensorflow").rename(site / "tensorflow")
    _run(python, "-m", "compileall", "-q", str(site))
    marker.write_text(made_of)
    return FOLDER / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(
        command, cwd=FOLDER.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-3000:]}")


@contextlib.contextmanager
def _upstream() -> Iterator[str]:
    """The target of a fake server with one model, on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = FakeServing()
    serving.load("m")
    asyncio.run_coroutine_threadsafe(serving.start(), loop).result(10)
    try:
        yield serving.target
    finally:
        asyncio.run_coroutine_threadsafe(serving.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _one(command: list[str]) -> tuple[float, float, float, float]:
    """Seconds to serve, of them with a processor, MB when ready, MB after traffic."""
    own = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain-seconds", "0"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, *own, "--model", "m", "--log-format", "json"],
        cwd="/",
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        host, port = _serving(process)
        socket.create_connection((host, port)).close()
        seconds = time.monotonic() - began
        cpu = Service([process]).cpu_seconds()
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            call = channel.unary_unary(PREDICT)
            # Answered by the judged way: connected, and the model's signature known.
            call(predict(), timeout=10, wait_for_ready=True)
            ready = _resident(process.pid)
            for _ in range(SMALL):
                call(predict(), timeout=10)
            for _ in range(PICTURES):
                call(predict(shape=(87_000, 3)), timeout=10)
            return seconds, cpu, ready, _resident(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _serving(process: "subprocess.Popen[str]") -> tuple[str, int]:
    assert process.stderr is not None
    for line in process.stderr:
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("event") == "serving":
            host, _, port = told["listen"].rpartition(":")
            return host, int(port)
    raise BenchError(f"{process.args!r} ended without a word that it serves")


def _resident(pid: int) -> float:
    (kilobytes,) = re.findall(
        r"^Rss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    return int(kilobytes) * 1024 / 1e6


if __name__ == "__main__":
    try:
        print(measure().row())
    except BenchError as error:
        sys.exit(f"Error: {error}")
