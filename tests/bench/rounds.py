"""The run: every contestant up at once, rounds interleaved, each round checked before and after.

Law: all contestants get the same scenarios on the same machine within minutes, so that ratios hold although
the machine drifts. A round whose calls were not all answered by the server is a failure with a reason and
never a number.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.contestants import Contestant, Site
from tests.bench.installation import Tools
from tests.bench.load import Loader, latency_of
from tests.bench.payloads import Files, Payload
from tests.bench.processes import BenchError, Placement, Service, free_port, running

H2LOAD, CPP, PYTHON = "h2load", "C++ client", "Python client"

TIMES = "×"  # noqa: RUF001

_INVALID_ARGUMENT = "status 3:"


@dataclass(frozen=True)
class Scenario:
    """`concurrency` calls at a time of `payload`, made by `load`; the clients make one at a time."""

    load: str
    payload: Payload
    concurrency: int = 1

    @property
    def title(self) -> str:
        many = f" {TIMES} {self.concurrency}" if self.load == H2LOAD else f", {self.load}"
        return f"{self.payload.title}{many}"


@dataclass(frozen=True)
class Round:
    """Times in seconds; `cpu` and `peak` are the contestant's: seconds per 1 000 calls, bytes. None: no proxy."""

    rate: float
    median: float
    p99: float
    cpu: float | None
    peak: int | None


@dataclass
class Result:
    """What one contestant did in one scenario. `failure` is why there are no further rounds."""

    contestant: Contestant
    scenario: Scenario
    rounds: list[Round] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Upstream:
    """The server: where it listens, and how many calls of Predict it has answered."""

    port: int
    counter: Path

    def answered(self) -> int:
        """Calls so far."""
        return int(struct.unpack("<Q", self.counter.read_bytes())[0])


@dataclass(frozen=True)
class Bench:
    """What stays the same in a run. `say` tells of progress."""

    tools: Tools
    files: Files
    folder: Path
    placement: Placement
    seconds: float
    warm_up: float
    say: Callable[[str], None]

    @property
    def loader(self) -> Loader:
        """The load generators."""
        return Loader(self.tools, self.placement.rest, self.folder)

    @contextlib.contextmanager
    def upstream(self, name: str = "upstream", delay_ms: int = 0) -> Iterator[Upstream]:
        """Run a server that answers each Predict after `delay_ms`."""
        port, counter = free_port(), self.folder / f"{name}.counter"
        address = f"127.0.0.1:{port}"
        command = [str(self.tools.server), address, str(self.files.answers), str(counter), str(delay_ms)]
        with running([command], [port], self.placement.rest, self.folder / f"{name}.log"):
            yield Upstream(port, counter)

    def take_part(self, contestant: Contestant, upstream: Upstream, stack: contextlib.ExitStack) -> "Entrant":
        """Start a contestant, to be stopped by `stack`. Raises BenchError when it does not come up."""
        if contestant.launch is None:
            return Entrant(contestant, upstream, upstream.port, None)
        folder = self.folder / contestant.name
        folder.mkdir(exist_ok=True)
        site = Site(upstream.port, free_port(), folder, self.tools, self.files)
        launch = contestant.launch(site)
        service = stack.enter_context(
            running(launch.commands, launch.ports, self.placement.proxy, folder / "log")
        )
        return Entrant(contestant, upstream, site.listen, service)

    def interleaved(
        self, contestants: Sequence[Contestant], scenarios: Sequence[Scenario], rounds: int
    ) -> list[Result]:
        """All rounds of all scenarios: in each, everyone is started afresh and has every scenario in turn.

        The first one is another in each round. Scenarios begin with the lightest, because processes keep
        memory that they have once had.
        """
        results = [Result(each, scenario) for scenario in scenarios for each in contestants]
        ascending = sorted(scenarios, key=self._bytes_in_flight)
        for number in range(rounds):
            with contextlib.ExitStack() as stack:
                self.say(f"round {number + 1} of {rounds}: starting everyone")
                upstream = stack.enter_context(self.upstream())
                entrants = self._start(results, upstream, stack)
                for scenario in ascending:
                    self.say(f"round {number + 1} of {rounds}: {scenario.title}")
                    own = [result for result in results if result.scenario is scenario]
                    first = number % len(own)
                    for result in own[first:] + own[:first]:
                        if not result.failure:
                            self._add_round(result, entrants[result.contestant.name])
        return results

    def _bytes_in_flight(self, scenario: Scenario) -> int:
        return self.files.body(scenario.payload).stat().st_size * scenario.concurrency

    def _start(
        self, results: Sequence[Result], upstream: Upstream, stack: contextlib.ExitStack
    ) -> dict[str, "Entrant"]:
        """Start everyone who has not failed everywhere, and see that each judges as it is said to."""
        entrants = {}
        for each in dict.fromkeys(result.contestant for result in results):
            own = [result for result in results if result.contestant is each and not result.failure]
            try:
                if own:
                    entrants[each.name] = self.take_part(each, upstream, stack)
                    self._check_judgement(entrants[each.name])
            except BenchError as error:
                self.say(f"  {each.title} fails: {error}")
                for result in own:
                    result.failure = str(error)
        return entrants

    def slow_server(
        self, contestants: Sequence[Contestant], scenario: Scenario, delay_ms: int
    ) -> list[Result]:
        """One round of `scenario` before a server that takes its time, each contestant freshly started."""
        results = [Result(each, scenario) for each in contestants if each.launch is not None]
        with self.upstream("slow", delay_ms) as upstream:
            self.say(f"{scenario.title}, {delay_ms} ms in the server")
            for result in results:
                with contextlib.ExitStack() as stack:
                    try:
                        entrant = self.take_part(result.contestant, upstream, stack)
                    except BenchError as error:
                        result.failure = str(error)
                        self.say(f"  {result.contestant.title} fails: {error}")
                    else:
                        self._add_round(result, entrant)
        return results

    def _add_round(self, result: Result, entrant: "Entrant") -> None:
        try:
            measured = self._measure(result.scenario, entrant)
        except BenchError as error:
            result.failure = str(error)
            self.say(f"  {result.contestant.title} fails: {error}")
            return
        result.rounds.append(measured)
        peak = "" if measured.peak is None else f", peak {measured.peak / 1e6:.0f} MB"
        self.say(
            f"  {result.contestant.title:28} {measured.rate:9.0f}/s, "
            f"median {measured.median * 1e3:.2f} ms, p99 {measured.p99 * 1e3:.2f} ms{peak}"
        )

    def _measure(self, scenario: Scenario, entrant: "Entrant") -> Round:
        """A round, repeated three and nine times longer if the first is too short to tell."""
        for factor in (1, 3, 9):
            found = self._attempt(scenario, entrant, self.seconds * factor)
            if found is not None:
                return found
        raise BenchError(f"too few answers in {self.seconds * factor:g} s")

    def _attempt(self, scenario: Scenario, entrant: "Entrant", seconds: float) -> Round | None:
        requests = self.files.requests(scenario.payload)
        # Every model once, each answer compared: what follows is the load that was meant, on warm caches.
        self.loader.cpp(entrant.port, requests, 0)
        service = entrant.service
        if service is not None:
            service.check()
            service.reset_peak()
        cpu = service.cpu_seconds() if service else 0.0
        answered = entrant.upstream.answered()
        if scenario.load == H2LOAD:
            body = self.files.body(scenario.payload)
            sample = self.loader.h2load(entrant.port, body, scenario.concurrency, seconds, self.warm_up)
            if sample is None:
                return None
            rate, latency, succeeded = sample.rate, sample.latency, sample.succeeded
        else:
            client = self.loader.cpp if scenario.load == CPP else self.loader.python
            times = client(entrant.port, requests, seconds)
            rate, latency, succeeded = len(times) / sum(times), latency_of(times), len(times)
        answered = entrant.upstream.answered() - answered
        if answered < succeeded:
            raise BenchError(f"{succeeded} requests were answered, but only {answered} by the server")
        if service is None:
            return Round(rate, latency.median, latency.p99, None, None)
        service.check()
        cpu = (service.cpu_seconds() - cpu) / answered * 1000
        return Round(rate, latency.median, latency.p99, cpu, service.peak_bytes())

    def _check_judgement(self, entrant: "Entrant") -> None:
        """Whoever judges must refuse a wrong dtype, and whoever does not must let it through."""
        told = "it passed"
        try:
            self.loader.cpp(entrant.port, self.files.wrong_requests, 0)
        except BenchError as error:
            told = str(error)
        if entrant.contestant.judges != (_INVALID_ARGUMENT in told):
            raise BenchError(f"a request with a wrong dtype: {told}")


@dataclass(frozen=True)
class Entrant:
    """A contestant that is up: where to call it, and its processes (None: no proxy)."""

    contestant: Contestant
    upstream: Upstream
    port: int
    service: Service | None
