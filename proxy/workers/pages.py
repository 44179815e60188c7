"""What the one admin port shows of several workers: each part is asked of all when a page wants it.

Law: asks, remembers the last answers and hands them to `merging` and `joining`; decides nothing itself. The counters
of a worker that does not answer are its last known ones, everything else of it is left out.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.observe.admin.status import Serving
from proxy.observe.admin.views import Check, ModelListing, Setting, Sources, WorkerListing
from proxy.observe.catalogue import METRICS
from proxy.observe.history import History
from proxy.observe.levels import set_level
from proxy.observe.metrics import reload_samples
from proxy.observe.problem import ALL, Filter, Problem
from proxy.observe.refusals import Refusal
from proxy.observe.reloads import Reloads
from proxy.observe.suspects import Death
from proxy.workers import joining
from proxy.workers.merging import Ledger, lasting, merge
from proxy.workers.post import Post
from proxy.workers.state import Family, family_of, metric_of
from proxy.workers.telling import ATTEMPT_SECONDS

_PARTS: Final = {
    "/": ("checks", "metrics", "upstreams", "problems", "models", "drifts", "suspects"),
    "/api/events": ("checks", "metrics", "upstreams", "problems"),
    "/api/problems": ("problems",),
    "/api/status": ("checks", "metrics", "upstreams"),
    "/readyz": ("checks",),
    "/metrics": ("metrics",),
    "/api/models": ("models", "metrics", "drifts", "problems"),
    "/api/refusals": ("refusals",),
    "/api/suspects": ("suspects",),
    "/api/workers": ("metrics",),
}
"""What is needed of each; one below another needs the same, and every view of the page what the first does."""


class Pages(Collector):
    """The sources and the registry of the admin port. `draining` is said of all as soon as it is set."""

    def __init__(
        self,
        posts: Sequence[Post],
        settings: Iterable[Setting],
        most_refusals: int,
        serving: Serving | None = None,
        reloads: Reloads | None = None,
        *,
        try_send: bool = False,
    ) -> None:
        self._posts = posts
        self._serving = serving or Serving()
        self._reloads = reloads
        self._try_send = try_send
        self.settings = tuple(settings)
        self._most_refusals = most_refusals
        self._told: dict[str, dict[int, Any]] = {}
        self._ledger = Ledger()
        self._own = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._own)
        PlatformCollector(registry=self._own)
        self._asking: asyncio.Task[None] | None = None
        self._asked_next: asyncio.Task[None] | None = None
        self.draining = False
        self.revision = 0
        self.history = History(self.families)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def sources(self) -> Sources:
        """What the admin port shows."""
        return Sources(
            self._checks,
            self._models,
            self._refusals,
            lambda: self.settings,
            self._deaths,
            self._workers,
            self.ask,
            serving=self._serving,
            upstreams=lambda: joining.upstreams(self._of("upstreams")),
            families=self.families,
            problems=self,
            history=self.history,
            drifts=lambda: joining.drifts(self._of("drifts")),
            attempt=self._attempt,
            try_send=self._try_send,
            set_log_level=self._set_log_level,
        )

    async def follow(self) -> None:
        """Keep the curves up to date until it is cancelled."""
        await self.history.follow(self.ask_metrics)

    async def ask(self, path: str) -> None:
        """Ask every worker for what this page needs."""
        parts = _PARTS.get(path) or _PARTS.get(path.rpartition("/")[0], ())
        await asyncio.gather(*(self._ask(part) for part in parts))

    async def _ask(self, part: str) -> None:
        if part == "metrics":
            await self.ask_metrics()
        else:
            self._told[part] = await self._answers(part)
            self.revision += 1

    async def ask_metrics(self) -> None:
        """Ask every worker for its numbers, and remember them.

        Of two answers the later one must be remembered, or a sum would fall: so one asking follows the other. Who comes
        meanwhile shares the next with all others: a worker that is silent lets each wait for two, however many come.
        """
        if self._asked_next is None:
            self._asked_next = asyncio.create_task(self._ask_after(self._asking))
        await asyncio.shield(self._asked_next)

    async def _ask_after(self, earlier: "asyncio.Task[None] | None") -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        self._asking, self._asked_next = self._asked_next, None
        self._told["metrics"] = await self._answers("metrics")

    async def _attempt(self, message: bytes, send: bool) -> Any:
        """What the first worker says of a request that answers: all judge alike."""
        for post in self._posts:
            told = await post.tell("send" if send else "judge", message, ATTEMPT_SECONDS)
            if told is not None:
                return told
        return None

    async def _set_log_level(self, name: str) -> None:
        # Here first: a worker that starts meanwhile begins with the supervisor's.
        set_level(name)
        await asyncio.gather(*(post.tell("log-level", name.encode()) for post in self._posts))

    def bury(self, metrics: Sequence[Family]) -> None:
        """A worker has ended whose last known metrics are these."""
        self._ledger.bury(metrics)

    async def _answers(self, part: str) -> dict[int, Any]:
        answers = await asyncio.gather(*(post.ask(part) for post in self._posts))
        return {
            post.number: answer
            for post, answer in zip(self._posts, answers, strict=True)
            if answer is not None
        }

    # === what the admin port shows ===

    def _checks(self) -> list[Check]:
        states = {post.number: post.state for post in self._posts}
        checks = joining.checks(states, self._told.get("checks", {}))
        if not self.draining:
            return checks
        return [Check("serving", False, "draining"), *(check for check in checks if check.name != "serving")]

    def _models(self) -> list[ModelListing]:
        return joining.models(self._of("models"))

    def _refusals(self) -> list[Refusal]:
        return joining.refusals(self._of("refusals"), self._most_refusals)

    def select(self, asked: Filter = ALL) -> list[Problem]:
        """The problems of all that are asked for, those seen last first."""
        return joining.JoinedProblems(self._of("problems")).select(asked)

    def get(self, problem: str) -> Problem | None:
        """The problem of this id."""
        return joining.JoinedProblems(self._of("problems")).get(problem)

    def _deaths(self) -> list[Death]:
        return joining.deaths(self._of("suspects"))

    def _workers(self) -> list[WorkerListing]:
        return [
            WorkerListing(
                post.number,
                post.state,
                post.pid,
                post.started_again,
                self._now(post, "tfs_proxy_connections"),
                self._now(post, "tfs_proxy_in_flight"),
            )
            for post in self._posts
        ]

    def _now(self, post: Post, gauge: str) -> int | None:
        """A gauge without labels of a worker that has just told it."""
        if post.number not in self._told.get("metrics", {}):
            return None
        return next(
            (int(each.value) for family in post.metrics if family.name == gauge for each in family.samples),
            None,
        )

    def _of(self, part: str) -> list[Any]:
        return list(self._told.get(part, {}).values())

    def describe(self) -> Iterator[Metric]:
        """Every family without samples, so that `/metrics?name[]=...` finds them."""
        yield from (declared.family() for declared in METRICS.values())
        yield from (Metric(each.name, each.documentation, each.type) for each in self._own.collect())

    def families(self, names: Collection[str]) -> list[Metric]:
        """The families of these names of all workers together."""
        declared = {METRICS[name].family().name for name in names if name in METRICS}
        return [metric for metric in self.collect() if metric.name in declared]

    def collect(self) -> Iterator[Metric]:
        """Every family of all workers together."""
        answered = self._told.get("metrics", {})
        # What its post remembers, and not the answer: a worker that has ended since is buried, and not counted twice.
        living = [post.metrics if post.number in answered else lasting(post.metrics) for post in self._posts]
        kept = self._ledger.kept([post.metrics for post in self._posts], time.monotonic())
        return map(metric_of, merge((*living, kept, self._supervision())))

    def _supervision(self) -> list[Family]:
        states = [post.state for post in self._posts]
        workers = self._workers()
        restarts = [((str(each.worker),), each.started_again) for each in workers]
        connections = [
            ((str(each.worker),), each.connections) for each in workers if each.connections is not None
        ]
        in_flight = [((str(each.worker),), each.in_flight) for each in workers if each.in_flight is not None]
        told = reload_samples(self._reloads)
        return [
            *(family_of(METRICS[name].family(samples)) for name, samples in told.items()),
            *map(family_of, self._own.collect()),
            family_of(
                METRICS["tfs_proxy_workers"].family(
                    ((state,), states.count(state)) for state in joining.STATES
                )
            ),
            family_of(METRICS["tfs_proxy_worker_restarts_total"].family(restarts)),
            family_of(METRICS["tfs_proxy_worker_connections"].family(connections)),
            family_of(METRICS["tfs_proxy_worker_in_flight"].family(in_flight)),
        ]
