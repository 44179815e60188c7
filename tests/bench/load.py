"""Load on one contestant, and what came back: h2load for throughput, real clients for truth and latency.

Law: a number counts only when every call behind it was answered by the server. h2load sees HTTP statuses and
no gRPC ones, so the server's own count of answered calls must not be behind h2load's.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.installation import Tools
from tests.bench.payloads import PREDICT
from tests.bench.processes import BenchError, on_core
from tests.bench.scenarios import Scenario

_WAVES = 3
"""How often, on average, each of the calls at a time must be answered within a round."""

_PATIENCE = 120.0
_OPEN_LOOP_CONNECTIONS = 8


class Summary(NamedTuple):
    """What h2load says at its end; `lost` are failed, errored and timed out requests and those not 2xx, `rate` is in
    requests per second."""

    rate: float
    succeeded: int
    lost: int


class Latency(NamedTuple):
    """Seconds."""

    median: float
    p99: float
    p999: float


@dataclass(frozen=True)
class Sample:
    """One round of h2load; `rate` in requests per second."""

    rate: float
    latency: Latency
    succeeded: int


def parse_summary(text: str) -> Summary:
    """Read h2load's report. Raises ValueError when it has none."""
    rate = re.search(r"^finished in .*?, ([\d.]+) req/s", text, re.MULTILINE)
    counts = re.search(
        r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text, re.MULTILINE
    )
    statuses = re.search(r"^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text, re.MULTILINE)
    if rate is None or counts is None or statuses is None:
        raise ValueError("not a report of h2load")
    succeeded, *lost = map(int, counts.groups())
    return Summary(float(rate[1]), succeeded, sum(lost) + sum(map(int, statuses.groups())))


def parse_log(lines: Iterable[str]) -> list[float]:
    """The seconds that each request took, from h2load's --log-file (start, status, microseconds)."""
    return [int(line.split("\t")[2]) / 1e6 for line in lines if line.strip()]


def latency_of(seconds: Sequence[float]) -> Latency:
    """Median, p99 and p99.9 (nearest rank). Raises ValueError for none."""
    if not seconds:
        raise ValueError("no call was timed")
    ordered = sorted(seconds)
    return Latency(_rank(ordered, 500), _rank(ordered, 990), _rank(ordered, 999))


def _rank(ordered: Sequence[float], permille: int) -> float:
    return ordered[-(-len(ordered) * permille // 1000) - 1]


class OpenLoop(NamedTuple):
    """Calls that began when they were due. `latency` counts from then; `late` is the p99 of how much later they were
    sent, in seconds."""

    latency: Latency
    late: float
    calls: int


def parse_open_loop(lines: Iterable[str]) -> OpenLoop:
    """Read what upstream/open_loop.cc prints: microseconds from due to answered, and from due to sent."""
    pairs = [line.split() for line in lines if line.strip()]
    latency = latency_of([int(answered) / 1e6 for answered, _ in pairs])
    return OpenLoop(latency, latency_of([int(sent) / 1e6 for _, sent in pairs]).p99, len(pairs))


@dataclass(frozen=True)
class Loader:
    """Runs load generators on `core` with `folder` for their files."""

    tools: Tools
    core: str | None
    folder: Path

    def h2load(
        self, port: int, body: Path, scenario: Scenario, seconds: float, warm_up: float
    ) -> Sample | None:
        """One round. Raises BenchError when a request was lost; None when it was too short to tell anything.

        Calls under way at its end are cut off, so most of them must have been answered before.
        """
        streams = scenario.concurrency // scenario.connections
        log = self.folder / "h2load.log"
        log.unlink(missing_ok=True)  # h2load appends
        command = [
            *(self.tools.h2load, "--threads=1", f"--clients={scenario.connections}"),
            *(f"--max-concurrent-streams={streams}", f"--data={body}", f"--log-file={log}"),
            *(f"--duration={seconds * 1000:.0f}ms", f"--warm-up-time={warm_up * 1000:.0f}ms"),
            *("--header=content-type: application/grpc", "--header=te: trailers"),
            f"http://127.0.0.1:{port}{PREDICT}",
        ]
        report = self._run(command, _PATIENCE + seconds + warm_up)
        try:
            summary = parse_summary(report)
        except ValueError as error:
            raise BenchError(f"{error}:\n{report[-1000:]}") from error
        if summary.lost:
            raise BenchError(f"h2load lost {summary.lost} requests, {summary.succeeded} succeeded")
        if summary.succeeded < _WAVES * scenario.concurrency:
            return None
        with log.open() as lines:
            return Sample(summary.rate, latency_of(parse_log(lines)), summary.succeeded)

    def cpp(
        self, port: int, requests: Path, seconds: float, concurrency: int = 1, code: int = 0
    ) -> list[float]:
        """Seconds of each call of the C++ client, each of which must be answered with the status `code`."""
        client = [str(self.tools.client)]
        return self._client(client, port, requests, seconds, str(concurrency), str(code))

    def open_loop(
        self, port: int, exchange: tuple[Path, Path], rate: float, warm_up: float, seconds: float
    ) -> OpenLoop:
        """Calls at so many a second, whatever becomes of them; `exchange`: a framed request and its answer."""
        command = [
            *(str(self.tools.open_loop), f"127.0.0.1:{port}", *map(str, exchange)),
            *(f"{rate:g}", f"{warm_up:g}", f"{seconds:g}", str(_OPEN_LOOP_CONNECTIONS)),
        ]
        return parse_open_loop(self._run(command, _PATIENCE + seconds).splitlines())

    def python(self, port: int, requests: Path, seconds: float) -> list[float]:
        """Seconds of each call of the Python client, one at a time."""
        script = Path(__file__).parent / "python_client.py"
        return self._client([sys.executable, str(script)], port, requests, seconds)

    def _client(
        self, client: list[str], port: int, requests: Path, seconds: float, *more: str
    ) -> list[float]:
        command = [*client, f"127.0.0.1:{port}", str(requests), f"{seconds:g}", *more]
        return [int(line) / 1e6 for line in self._run(command, _PATIENCE + seconds).split()]

    def _run(self, command: list[str], patience: float) -> str:
        try:
            done = subprocess.run(
                on_core(self.core, command), capture_output=True, text=True, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{Path(command[0]).name} did not end within {patience:.0f} s") from None
        if done.returncode:
            raise BenchError(f"{Path(command[0]).name}: {done.stderr.strip()[-500:]}")
        return done.stdout
