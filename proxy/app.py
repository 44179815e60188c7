"""The composition root and the life of the process: build → bind → ready → drain → stop, in that order.

Law: puts the floors together and starts and stops them; knows no rule, no message and no flag.
"""

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import structlog
from prometheus_client import CollectorRegistry

from proxy.build_info import build
from proxy.capture.files import ONLY, RotatingFolder, Sink, Turn
from proxy.capture.outputs import OutputWatch
from proxy.capture.recorder import Recorder
from proxy.config import MEANINGS, Settings, plain
from proxy.config.again import Change, Effective, read_again
from proxy.core import freshness
from proxy.diagnosis.reach import Reach
from proxy.diagnosis.transport import diagnose_reach
from proxy.edge.admission import BOUNDS
from proxy.edge.descriptors import raise_limit
from proxy.edge.explainer import Explainer
from proxy.edge.interface import Usage
from proxy.edge.listening import ALONE, Place
from proxy.edge.local import Health, reflection_handlers
from proxy.edge.readiness import Readiness
from proxy.edges import Parts, adoption, open_carrier, upstream_tls
from proxy.gate import Gate, Judge
from proxy.gate.gate import require_means
from proxy.life import (
    Addresses,
    Ends,
    Signals,
    StartError,
    admin_port,
    admin_renewal,
    collect_from_here,
    drain_seconds,
    loop_factory,
    serving_as,
    tell_draining,
    tell_serving,
    tell_stopped,
)
from proxy.memory import keep_giving_back
from proxy.observe import certificates
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.status import DOWN, UNKNOWN, UP, Upstream
from proxy.observe.admin.views import ModelListing, Setting, Sources, shown_settings
from proxy.observe.drifts import Drifts
from proxy.observe.fanout import Fanout
from proxy.observe.history import History
from proxy.observe.levels import set_level
from proxy.observe.log import CallLog
from proxy.observe.metrics import Metrics
from proxy.observe.outcome import EndObserver, Tracer
from proxy.observe.problem import stamp
from proxy.observe.problems import Problems
from proxy.observe.refusals import RecentRefusals
from proxy.observe.reloads import Reloads
from proxy.observe.suspects import Suspects
from proxy.reloading import Reloading
from proxy.trial import Trials
from proxy.upstream.models import ModelWatch
from proxy.upstream.probe import probe
from proxy.upstream.reach import ReachWatch
from proxy.upstream.signatures import SignatureCache

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


class Admin(Protocol):
    """What operators, or whoever speaks for several proxies, ask about this one."""

    async def start(self) -> int:
        """Bind, and return the port (0: it has none). Raises OSError."""

    async def stop(self) -> None:
        """Answer no more."""


class Tracing(Tracer, EndObserver, Protocol):
    """Who traces calls and sends what became of them to a collector."""

    def close(self) -> None:
        """Send what there is still, in a time that is bounded."""


@dataclass(frozen=True, slots=True)
class Station:
    """How a proxy stands: by itself, or as one of several whose supervisor gives it its place and speaks for it."""

    ends: Callable[[], Ends] = Signals
    place: Place = ALONE
    turn: Turn = ONLY
    """Which of the files of a capture it may write."""
    admin: Callable[[CollectorRegistry, Sources], Admin] | None = None
    """None: the admin port of the settings."""
    speaks: bool = True
    """Whether the log says here that it serves, drains and has stopped, and the files are looked at from here."""
    read: Callable[[Effective], Change] = read_again
    """How the settings are read anew."""


_SWITCH_SECONDS: Final = 0.0005
"""How long a thread that reads a long message keeps the interpreter from the event loop, each time that it wants it."""

_CERTIFICATE_FILES: Final = ("listen_cert", "listen_client_ca", "admin_cert", "upstream_ca", "upstream_cert")
"""The settings that name files with certificates, which expire."""

_COLLECT_EVERY: Final = 10_000
"""New objects after which the garbage collector looks through them. A call leaves nothing to it; at Python's own 700
it would look through those under way again and again, a tenth of the time with 64 of them (measured, native edge)."""


def run(
    running: Effective,
    announce: Callable[[Addresses], None] = lambda _: None,
    sink: Sink | None = None,
    station: Station = Station(),
) -> bool:
    """Serve until SIGTERM or SIGINT; False when a second one cut the calls under way short.

    `announce` is called once the ports are open. `sink` takes
    the recorded requests, instead of the folder in the settings. Raises StartError.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(_COLLECT_EVERY)
    raise_limit()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_live(running, announce, sink, station))


async def _live(
    running: Effective,
    announce: Callable[[Addresses], None],
    sink: Sink | None,
    station: Station,
) -> bool:
    ends, settings = station.ends(), running.settings
    try:
        if sink is None and settings.capture is not None:
            sink = RotatingFolder(settings.capture, settings.capture_max_bytes, station.turn)
        proxy = Proxy(settings, running.origins, sink, station)
        addresses = await proxy.bind()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        raise StartError(str(error)) from error
    await proxy.ready()
    if station.speaks:
        tell_serving(settings, addresses, captures=sink is not None)
    announce(addresses)
    reloading = Reloading(running, proxy.take, proxy.reloads, station.read)
    keeping = asyncio.create_task(
        reloading.keep(ends.again) if station.speaks else reloading.follow(ends.again), name="settings"
    )
    collect_from_here()
    await ends.first.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    if station.speaks:
        tell_draining(reloading.running.settings, ends)
    await proxy.drain(ends.second, drain_seconds(reloading.running.settings, ends))
    await proxy.stop(ends.second)
    if station.speaks:
        tell_stopped()
    return not ends.second.is_set()


class Proxy:
    """One proxy. Construction builds it; the other methods are called once each, in the order they stand in."""

    def __init__(
        self,
        settings: Settings,
        origins: Mapping[str, str],
        sink: Sink | None = None,
        station: Station = Station(),
    ) -> None:
        self._settings = settings
        self._origins = origins
        self._station = station
        self._place = station.place._replace(shared=station.place.shared or settings.reuse_port)

        self._recorder = (
            Recorder(sink, self._recording_failed, self._recording_paused, settings.capture_model)
            if sink is not None
            else None
        )
        self._call_log = CallLog(access_log=settings.access_log)
        self._tracing = self._open_tracing()
        self._outputs = OutputWatch(self._call_log.output_found) if settings.output_sample else None
        self._suspects = Suspects()
        self.reloads = Reloads(speaks=station.speaks)
        self._refusals = RecentRefusals(settings.refusals)
        self._problems = Problems()
        self._drifts = Drifts()
        self._metrics = Metrics(
            build(),
            signature_age=self._signature_age,
            upstream_deaths=lambda: self._suspects.deaths,
            captured=lambda: self._recorder.counts if self._recorder is not None else {},
            capture_paused=lambda: self._recorder.paused if self._recorder is not None else None,
            recent_refusals=self._refusals.recent,
            certificate_expiries=_expiries(settings),
            reloads=self.reloads,
            outputs_checked=lambda: self._outputs.counts if self._outputs is not None else {},
            output_findings=lambda: self._outputs.findings if self._outputs is not None else {},
            bounds=BOUNDS,
            usage=self._usage,
            backends=lambda: Counter(each.state for each in self._way.backends()),
        )
        self._history = History(self._metrics.families)
        self._following: list[asyncio.Task[None]] = []
        self._health = Health()
        self._readiness = Readiness(self._health, settings.upstream, settings.model)
        self._observer = Fanout(
            observers=(self._metrics,),
            ends=(
                *(self._call_log, self._refusals, self._problems, self._suspects),
                *((self._tracing,) if self._tracing is not None else ()),
                *((self._recorder,) if self._recorder is not None else ()),
                *((self._outputs,) if self._outputs is not None else ()),
            ),
            listeners=(self._metrics, self._call_log, self._drifts, self._readiness),
            failed=self._observer_failed,
        )

        self._up: bool | None = None
        self._up_since: str | None = None
        self._carrier = open_carrier(settings, self._upstream_changed)
        self._way = self._carrier.way
        self._signatures = SignatureCache(
            self._way,
            configured=(*settings.model, *settings.models),
            listener=self._observer,
            limits=freshness.Limits(refresh_after=settings.refresh_seconds),
        )
        self._models = ModelWatch(
            self._way,
            self._signatures,
            configured=settings.model,
            listener=self._observer,
            interval=settings.poll_seconds,
        )
        self._plain_gate = Gate(self._signatures, settings.policies)
        self._gate = self._sampling_gate()
        self._reach = ReachWatch(self._probe, self._reach_found)
        self._explainer = None
        if settings.diagnosis:
            self._explainer = Explainer(
                settings.upstream,
                self._gate,
                self._signatures,
                self._models,
                self._reach,
                self._observer_failed,
            )

    def _open_tracing(self) -> Tracing | None:
        settings = self._settings
        if not settings.traces:
            return None
        try:
            from proxy.observe.tracing import open_tracing  # an extra, and only who traces pays for it
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"traces need OpenTelemetry ({error}): pip install 'tfs-proxy[tracing]'"
            ) from error
        return open_tracing(
            build()[0],
            settings.upstream,
            settings.otlp_endpoint,
            settings.trace_sample,
            self._call_log.traces_lost,
        )

    def _sampling_gate(self) -> Judge:
        settings, gate = self._settings, self._plain_gate
        if self._recorder is None and self._outputs is None:
            return gate
        from proxy.capture.sampling import SamplingGate  # only who samples pays for it

        return SamplingGate(
            gate,
            share=settings.capture_sample if self._recorder is not None else 0.0,
            models=settings.capture_model,
            outputs=settings.output_sample,
        )

    async def bind(self) -> Addresses:
        """Open both ports; nothing is answered on the gRPC port yet. Raises OSError or ValueError."""
        settings = self._settings
        self._edge = self._carrier.bind(
            settings,
            Parts(
                place=self._place,
                gate=self._gate,
                explainer=self._explainer,
                observer=self._observer,
                version_seen=self._signatures.observe_version,
                local=self._health.handlers() | (reflection_handlers() if settings.reflection else {}),
                answers=self._health.answers(),
                bound_hit=self._bound_hit,
                tracer=self._tracing,
            ),
        )
        sources = Sources(
            self._readiness.checks,
            self._listings,
            lambda: self._refusals,
            self._shown_settings,
            lambda: self._suspects,
            serving=serving_as(settings, self._edge.address),
            upstreams=self._upstreams,
            families=self._metrics.families,
            problems=self._problems,
            history=self._history,
            drifts=lambda: self._drifts,
            attempt=Trials(self._gate, self._way, may_send=settings.try_send).attempt,
            try_send=settings.try_send,
            set_log_level=_set_level,
        )
        make_admin = self._station.admin or partial(admin_port, settings)
        self._admin = make_admin(self._metrics.registry, sources)
        host, _, _ = settings.admin_listen.rpartition(":")
        return Addresses(self._edge.address, f"{host}:{await self._admin.start()}")

    async def ready(self) -> None:
        """Accept calls and begin to follow the server."""
        if self._station.admin is None:
            # Of several, their supervisor keeps it.
            self._following.append(asyncio.create_task(self._history.follow(), name="history"))
        await self._readiness.start(self._way, self._models)
        await self._way.start()
        self._reach.start()
        await self._models.start()
        await self._edge.start()
        self._following.append(asyncio.create_task(keep_giving_back(self._edge), name="memory"))

    async def drain(self, hurry: asyncio.Event, seconds: float) -> None:
        """Be unready for everyone who watches, and go on serving until they have noticed."""
        await self._readiness.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await hurry.wait()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Accept nothing new, let the calls under way end within the grace, then let go of everything."""
        self._health.close()
        ending = asyncio.create_task(self._edge.stop(self._settings.grace_seconds))
        hurrying = asyncio.create_task(hurry.wait())
        await asyncio.wait({ending, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        if hurry.is_set():
            await self._edge.stop(0)
        hurrying.cancel()
        await asyncio.gather(ending, hurrying, return_exceptions=True)
        await self._models.stop()
        await self._reach.stop()
        await self._signatures.stop()
        await self._way.stop()
        for following in self._following:
            following.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._admin.stop()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)
        if self._outputs is not None:
            await asyncio.to_thread(self._outputs.close)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._call_log.close()

    async def take(self, change: Change) -> None:
        """Do from now on as the settings say that were read anew. All that can fail comes first: then it raises
        ValueError, OSError or ModuleNotFoundError, and everything is as before.
        """
        settings, before = change.now.settings, self._settings
        policies = settings.policies
        require_means(policies)
        renew_files = await asyncio.to_thread(self._renewals, settings)
        for renew in renew_files:
            renew()
        if policies != before.policies:
            self._plain_gate.adopt(policies)
        self._call_log.adopt(access_log=settings.access_log)
        if "log_level" in change.changed:
            set_level(settings.log_level)
        self._settings, self._origins = settings, change.now.origins

    def _renewals(self, settings: Settings) -> Sequence[Callable[[], None]]:
        """What has each part use what the files hold now."""
        renewals: list[Callable[[], None]] = [
            partial(self._metrics.certificates_read, _expiries(settings)),
            adoption(self._edge, self._carrier, settings, traced=self._tracing is not None),
            self._carrier.renewal(settings),
        ]
        if isinstance(self._admin, AdminServer):
            renewals.append(admin_renewal(settings, self._admin))
        return renewals

    # === what one part needs to know of another ===

    def _upstream_changed(self, up: bool) -> None:
        if up:
            # Another server, or the same one after a restart: nothing it said before need hold, failures least.
            self._signatures.invalidate()
            self._models.wake()
        if up is not self._up:
            self._up, self._up_since = up, stamp(datetime.now(UTC))
            self._reach.changed(up)
            self._observer.upstream_changed(up)

    async def _probe(self) -> Reach:
        settings = self._settings
        return await probe(settings.upstream, upstream_tls(settings), obeys_proxy=settings.use_http_proxy)

    def _reach_found(self, reach: Reach) -> None:
        why = diagnose_reach(reach)
        if why is not None:
            self._readiness.out_of_reach(why.sentence)
            self._call_log.upstream_out_of_reach(why.reason.value, f"{why.sentence}. {why.remedy}")

    def _bound_hit(self, bound: str) -> None:
        self._metrics.bound_hit(bound)
        self._call_log.bound_hit(bound)

    def _usage(self) -> Usage | None:
        edge = getattr(self, "_edge", None)
        return None if edge is None else edge.usage()

    def _recording_failed(self, error: Exception) -> None:
        _log.error("capture_ended", error=str(error))

    def _recording_paused(self, error: OSError | None) -> None:
        if error is not None:
            _log.error("capture_paused", error=str(error))
        else:
            _log.info("capture_resumed")

    def _observer_failed(self, observer: object, error: Exception) -> None:
        self._metrics.observer_failed()
        self._call_log.observer_failed(observer, error)

    def _signature_age(self) -> float | None:
        return max((age for _, _, age in self._signatures.ages()), default=None)

    def _listings(self) -> Iterable[ModelListing]:
        servables: dict[str, dict[int, Any]] = {}
        for key, servable, _ in self._signatures.ages():
            servables.setdefault(key.model, {})[servable.version] = servable
        states = {state.model: state for state in self._models.models()}
        for name in sorted({*states, *servables}):
            versions = states[name].versions if name in states else None
            mode = self._settings.policies.of(name).mode.value
            yield ModelListing(name, versions or (), tuple(servables.get(name, {}).values()), mode)

    def _upstreams(self) -> Iterable[Upstream]:
        state = {True: UP, False: DOWN, None: UNKNOWN}[self._way.up]
        checks = self._readiness.checks()
        why = next((check.text for check in checks if check.name == "upstream" and not check.ok), "")
        backends = self._way.backends()
        return [
            Upstream(self._settings.upstream, state, self._up_since, why),
            # Of a name with one address there is nothing more to tell.
            *(
                Upstream(each.address, each.state, stamp(datetime.fromtimestamp(each.since, UTC)))
                for each in backends
                if len(backends) > 1
            ),
        ]

    def _shown_settings(self) -> Iterable[Setting]:
        return shown_settings(plain(self._settings), self._origins, MEANINGS)


async def _set_level(name: str) -> None:
    set_level(name)


def _expiries(settings: Settings) -> Mapping[str, float]:
    return certificates.expiries({use: getattr(settings, use) for use in _CERTIFICATE_FILES})
