"""The run: every contestant up at once, rounds interleaved, each round checked before and after.

Law: all contestants get the same scenarios on the same machine within minutes, so that ratios hold although
the machine drifts. A round whose calls were not all answered by who had to answer them is a failure with a reason
and never a number.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.contestants import Contestant
from tests.bench.entrants import Entrant, Stage
from tests.bench.load import OpenLoop, latency_of
from tests.bench.payloads import Payload
from tests.bench.processes import BenchError, Service
from tests.bench.scenarios import CORE, CPP, H2LOAD, OPEN_LOOPS, Scenario, takes_part

_INVALID_ARGUMENT = 3
HEAVY = 64_000_000
"""Octets on their way at a time from which a round is longer at once, since it would be too short to tell anything."""
OPEN_LOOP_FACTOR = 3
"""How many times longer an open loop is than another round: one call in a thousand must be several."""
OPEN_LOOP_CONTESTANTS = ("direct", "compiled", "native", "envoy", "nginx", "haproxy")


@dataclass(frozen=True)
class Round:
    """Times in seconds. The contestant's are `cpu`, seconds per 1 000 calls, `busy`, the share of the CPU time that it
    could have had, and `peak`, bytes. None: no proxy."""

    rate: float
    median: float
    p99: float
    cpu: float | None = None
    busy: float | None = None
    peak: int | None = None


@dataclass
class Result:
    """What one contestant did in one scenario. `failure` is why there are no further rounds."""

    contestant: Contestant
    scenario: Scenario
    rounds: list[Round] = field(default_factory=list)
    failure: str = ""
    factor: int = 1
    """How many times longer than asked for a round must be to tell anything."""


@dataclass
class OpenLoopResult:
    """What one contestant did at a rate of its own capacity (`own`) or at one that all had; `rates` of each round."""

    contestant: Contestant
    payload: Payload
    own: bool
    rates: list[float] = field(default_factory=list)
    rounds: list[OpenLoop] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Bench:
    """What stays the same in a run. `say` tells of progress."""

    stage: Stage
    seconds: float
    warm_up: float
    say: Callable[[str], None]

    def interleaved(
        self,
        contestants: Sequence[Contestant],
        scenarios: Sequence[Scenario],
        rounds: int,
        *,
        open_loop: bool,
    ) -> tuple[list[Result], list[OpenLoopResult]]:
        """All rounds of all scenarios: in each, everyone is started afresh and has every scenario in turn.

        The first one is another in each round. Scenarios begin with the lightest, because processes keep
        memory that they have once had.
        """
        results = [
            Result(each, scenario)
            for scenario in scenarios
            for each in contestants
            if takes_part(each.name, scenario)
        ]
        opens = [
            OpenLoopResult(each, scenario.payload, own)
            for scenario in OPEN_LOOPS
            if open_loop and scenario in scenarios
            for own in (True, False)
            for each in contestants
            if each.name in OPEN_LOOP_CONTESTANTS and not (own and each.launch is None)
        ]
        for number in range(rounds):
            with contextlib.ExitStack() as stack:
                self.say(f"round {number + 1} of {rounds}: starting everyone")
                entrants = self._start(results, opens, stack)
                for scenario in sorted(scenarios, key=lambda one: one.bytes_in_flight):
                    self.say(f"round {number + 1} of {rounds}: {scenario.title}, {scenario.setting.title}")
                    own = [result for result in results if result.scenario is scenario]
                    first = number % len(own) if own else 0
                    for result in own[first:] + own[:first]:
                        if not result.failure:
                            self._add_round(result, entrants[result.contestant.name])
                for each in opens:
                    if not each.failure and each.contestant.name in entrants:
                        self._add_open_loop(each, results, entrants[each.contestant.name])
        return results, opens

    def _start(
        self, results: Sequence[Result], opens: Sequence[OpenLoopResult], stack: contextlib.ExitStack
    ) -> dict[str, Entrant]:
        """Start everyone who has not failed everywhere, and see that each judges as it is said to."""
        upstream = stack.enter_context(self.stage.upstream())
        entrants = {}
        every = [*results, *opens]
        for each in dict.fromkeys(result.contestant for result in every):
            own = [result for result in every if result.contestant is each and not result.failure]
            try:
                if own:
                    entrants[each.name] = self.stage.take_part(each, upstream, stack)
                    self.stage.check_judgement(entrants[each.name], CORE)
            except BenchError as error:
                self.say(f"  {each.title} fails: {error}")
                for result in own:
                    result.failure = str(error)
        return entrants

    def slow_server(
        self, contestants: Sequence[Contestant], scenario: Scenario, delay_ms: int
    ) -> list[Result]:
        """One round of `scenario` before a server that takes its time, each contestant freshly started."""
        # Long enough for each call to be answered several times.
        factor = math.ceil(5 * delay_ms / 1000 / self.seconds)
        results = [
            Result(each, scenario, factor=factor)
            for each in contestants
            if each.launch is not None and each.workers == 1
        ]
        with self.stage.upstream("slow", delay_ms) as upstream:
            self.say(f"{scenario.title}, {delay_ms} ms in the server")
            for result in results:
                with contextlib.ExitStack() as stack:
                    try:
                        entrant = self.stage.take_part(result.contestant, upstream, stack)
                    except BenchError as error:
                        result.failure = str(error)
                        self.say(f"  {result.contestant.title} fails: {error}")
                    else:
                        self._add_round(result, entrant)
        return results

    def _add_round(self, result: Result, entrant: Entrant) -> None:
        try:
            measured = self._measure(result, entrant)
        except BenchError as error:
            result.failure = str(error)
            self.say(f"  {result.contestant.title} fails: {error}")
            return
        result.rounds.append(measured)
        peak = "" if measured.peak is None else f", peak {measured.peak / 1e6:.0f} MB"
        busy = "" if measured.busy is None else f", busy {measured.busy:.0%}"
        self.say(
            f"  {result.contestant.title:31} {measured.rate:9.0f}/s, "
            f"median {measured.median * 1e3:.2f} ms, p99 {measured.p99 * 1e3:.2f} ms{busy}{peak}"
        )

    def _measure(self, result: Result, entrant: Entrant) -> Round:
        """A round, repeated three and nine times longer if the first is too short to tell."""
        if result.scenario.bytes_in_flight >= HEAVY:
            result.factor = max(result.factor, 3)
        while True:
            found = self._attempt(result.scenario, entrant, self.seconds * result.factor)
            if found is not None:
                return found
            if result.factor >= 9:
                raise BenchError(f"too few answers in {self.seconds * result.factor:g} s")
            result.factor *= 3

    def _attempt(self, scenario: Scenario, entrant: Entrant, seconds: float) -> Round | None:
        stage, payload = self.stage, scenario.payload
        requests = stage.files.requests(payload)
        loader, code = stage.loader(scenario.setting), _INVALID_ARGUMENT if payload.wrong else 0
        stage.arrange(entrant, scenario.setting)
        # Every model once, each answer compared: what follows is the load that was meant, on warm caches.
        loader.cpp(entrant.port, requests, 0, code=code)
        if entrant.service is not None:
            entrant.service.reset_peak()
        with stage.limited(entrant, scenario.setting):
            before = _Reading.of(entrant)
            if scenario.load == H2LOAD:
                body = stage.files.body(payload)
                sample = loader.h2load(entrant.port, body, scenario, seconds, self.warm_up)
                if sample is None:
                    return None
                rate, latency, succeeded = sample.rate, sample.latency, sample.succeeded
                elapsed = seconds + self.warm_up
            else:
                many = scenario.concurrency
                times = (
                    loader.cpp(entrant.port, requests, seconds, many, code)
                    if scenario.load == CPP
                    else loader.python(entrant.port, requests, seconds)
                )
                elapsed = sum(times) / many  # each call is followed by the next at once
                rate, latency, succeeded = len(times) / elapsed, latency_of(times), len(times)
            after = _Reading.of(entrant)
        answered = after.answered - before.answered
        if payload.wrong and entrant.contestant.judges:
            if answered:
                raise BenchError(f"{answered} requests with a wrong dtype were passed")
            answered = succeeded
        elif answered < succeeded:
            raise BenchError(f"{succeeded} requests were answered, but only {answered} by the server")
        if entrant.service is None:
            return Round(rate, latency.median, latency.p99)
        entrant.service.check()
        cpu, allowed = after.cpu - before.cpu, entrant.contestant.workers * (scenario.setting.share or 1)
        busy = cpu / elapsed / allowed
        peak = entrant.service.peak_bytes()
        return Round(rate, latency.median, latency.p99, cpu / answered * 1000, busy, peak)

    def _add_open_loop(self, result: OpenLoopResult, results: Sequence[Result], entrant: Entrant) -> None:
        """A round at half of the capacity that was measured in this run: the contestant's own, or Envoy's."""
        name = result.contestant.name if result.own else "envoy"
        rates = next(
            (
                [one.rate for one in each.rounds]
                for each in results
                if each.contestant.name == name
                and each.scenario in OPEN_LOOPS
                and each.scenario.payload is result.payload
            ),
            [],
        )
        if not rates:
            result.failure = f"{name} has no capacity that was measured"
            return
        self.stage.arrange(entrant, CORE)
        files, payload = self.stage.files, result.payload
        rate = median(rates) / 2
        exchange = (files.body(payload), files.answer(payload))
        try:
            found = self.stage.loader(CORE).open_loop(
                entrant.port, exchange, rate, self.warm_up, self.seconds * OPEN_LOOP_FACTOR
            )
        except (BenchError, ValueError) as error:
            result.failure = str(error)
            self.say(f"  {result.contestant.title} fails: {error}")
            return
        result.rates.append(rate)
        result.rounds.append(found)
        p50, _, p999 = (each * 1e3 for each in found.latency)
        self.say(
            f"  {result.contestant.title:31} {rate:9.0f}/s, open loop, {payload.title}: "
            f"median {p50:.2f} ms, p99.9 {p999:.2f} ms, sent {found.late * 1e3:.2f} ms late"
        )


@dataclass(frozen=True)
class _Reading:
    """What the meters show at a time: the contestant's seconds of CPU, and the calls that the server has answered."""

    cpu: float
    answered: int

    @classmethod
    def of(cls, entrant: Entrant) -> "_Reading":
        service: Service | None = entrant.service
        if service is not None:
            service.check()
        return cls(service.cpu_seconds() if service else 0.0, entrant.upstream.answered())
