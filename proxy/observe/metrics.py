"""The metrics: what calls and events do to the numbers, and the numbers as a scrape sees them.

Law: names, labels and help stand in catalogue.py, bounds on labels in series.py; here is which number moves
when. A call costs one dictionary look-up and a handful of additions: prometheus_client's own instruments
take a lock each and walk their buckets in Python, which at eight instruments per call is felt in a proxy, so
its registry and exposition are used through a custom collector instead.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.core.availability import AVAILABLE, VersionStatus
from proxy.core.drift import Drift, DriftKind
from proxy.core.reasons import Code, Reason
from proxy.core.types import ModelKey
from proxy.observe.catalogue import (
    BATCH,
    BYTES,
    CODES,
    KNOWN_METHODS,
    METRICS,
    OVERHEAD_SECONDS,
    SECONDS,
)
from proxy.observe.outcome import Outcome
from proxy.observe.reloads import Reloads
from proxy.observe.series import OTHER, Example, Histogram, Limits, Vocabulary

STATES = ("START", "LOADING", AVAILABLE, "UNLOADING", "END", "FAILED")
FAILED = "FAILED"
_UNAVAILABLE: Final = int(Code.UNAVAILABLE)
BACKEND_STATES = ("serving", "trial", "ejected", "unreachable")
_FETCH_RESULTS = ("ok", "absent", "unavailable", "error")
_DRIFT_KINDS = (DriftKind.COMPATIBLE.value, DriftKind.BREAKING.value)
_STATE_VERSIONS = 8
_RETAIN_SECONDS = 600.0
_REMEMBERED = 8192
"""Names as calls tell them whose row is found at once. More than there are labels; a client that invents more of them
has all looked up anew, which costs a fold and changes no number."""

Labels = tuple[str, ...]


class Usage(Protocol):
    """What clients share and how much of it there is; a limit below zero is none."""

    @property
    def connections(self) -> int: ...
    @property
    def connections_limit(self) -> int: ...
    @property
    def inflight_bytes(self) -> int: ...
    @property
    def inflight_bytes_limit(self) -> int: ...
    @property
    def upstream_calls(self) -> int: ...
    @property
    def upstream_calls_limit(self) -> int: ...


Samples = Iterable[tuple[Labels, float | Histogram]]


class _Method:
    """What is counted per method; grpc_server_* needs no more."""

    __slots__ = ("handled", "labels", "name", "received", "seconds", "sent", "started")

    def __init__(self, full: str, grpc_type: str) -> None:
        service, _, self.name = full.strip("/").rpartition("/")
        self.labels = (grpc_type, service or OTHER, self.name)
        self.started = self.received = self.sent = 0
        self.handled = [0] * len(CODES)
        self.seconds = Histogram(SECONDS)


class _Timing:
    """The histograms of one method and model."""

    __slots__ = ("seconds", "upstream")

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self.upstream = Histogram(SECONDS)


class _Row:
    """One series of requests_total, and which histograms its calls move."""

    __slots__ = ("batch", "code", "count", "timing")

    def __init__(self, code: int, timing: _Timing, batch: Histogram) -> None:
        self.code, self.timing, self.batch = code, timing, batch
        self.count = 0


class Metrics(Collector):
    """Counts calls (an `Observer`) and what upstream/ tells its listener; `registry` is what /metrics shows.

    `build` is the versions of the package and of Python, and whether the hot path is "compiled" or "interpreted".
    `signature_age` tells the age in seconds of the oldest signature in use, None where there is none, and
    `upstream_deaths` how often the connection to the upstream was lost with calls in flight.
    `bounds` are what clients can run into, by name; `usage` tells how near some of them are.
    `backends` tells how many servers there are in which state.
    `captured` tells how many calls were recorded, by result, and `capture_paused` whether none can be (None: none is
    to be); `outputs_checked` is the same of answers that were looked at, and `output_findings` what was found, by
    model, signature and kind. `recent_refusals` tells how many there are and how many of one client, and
    `certificate_expiries` when the files in use expire, by their use; `reloads` how the settings were read anew.
    """

    def __init__(
        self,
        build: tuple[str, str, str],
        *,
        signature_age: Callable[[], float | None] = lambda: None,
        upstream_deaths: Callable[[], int] = lambda: 0,
        captured: Callable[[], Mapping[str, int]] = dict,
        capture_paused: Callable[[], bool | None] = lambda: None,
        recent_refusals: Callable[[], tuple[int, int]] = lambda: (0, 0),
        certificate_expiries: Mapping[str, float] | None = None,
        reloads: Reloads | None = None,
        outputs_checked: Callable[[], Mapping[str, int]] = dict,
        output_findings: Callable[[], Mapping[tuple[str, str, str], int]] = dict,
        bounds: Iterable[str] = (),
        usage: Callable[[], Usage | None] = lambda: None,
        backends: Callable[[], Mapping[str, int]] = dict,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build = build
        self._signature_age = signature_age
        self._upstream_deaths = upstream_deaths
        self._captured = captured
        self._capture_paused = capture_paused
        self._recent_refusals = recent_refusals
        self._certificate_expiries = certificate_expiries or {}
        self._reloads = reloads
        self._outputs_checked = outputs_checked
        self._output_findings = output_findings
        self._usage = usage
        self._backends = backends
        self._bound_hits: Counter[Labels] = Counter({(bound,): 0 for bound in bounds})
        self._limits = limits or Limits()
        self._vocabulary = Vocabulary(self._limits, clock, _RETAIN_SECONDS)
        self._methods = {full: _Method(full, kind) for full, kind in KNOWN_METHODS.items()}
        # What is not known is relayed, and a relay is a stream in both directions.
        self._other = _Method(OTHER, "bidi_stream")
        self._rows: dict[Labels, _Row] = {}
        self._rows_as_told: dict[tuple[object, ...], _Row] = {}
        self._timings: dict[Labels, _Timing] = {}
        self._batches: dict[str, Histogram] = {}
        self._refusals: Counter[Labels] = Counter({(OTHER, OTHER, reason.value): 0 for reason in Reason})
        self._violations: Counter[Labels] = Counter(self._refusals)
        self._warnings: Counter[Labels] = Counter()
        self._would_refuse: Counter[Labels] = Counter()
        self._upstream_errors: Counter[Labels] = Counter()
        self._overhead = Histogram(OVERHEAD_SECONDS)
        self._value_checks: dict[str, Histogram] = {}
        self._request_bytes = Histogram(BYTES)
        self._response_bytes = Histogram(BYTES)
        self._in_flight = 0
        self._judge_failures = 0
        self._observer_failures = 0
        self._up = False
        self._fetches: Counter[str] = Counter(dict.fromkeys(_FETCH_RESULTS, 0))
        self._drifts: Counter[Labels] = Counter()
        self._states: dict[str, dict[int, str]] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    # === calls ===

    def call_started(self, method: str, grpc_type: str) -> None:  # noqa: ARG002
        """Count an arrival. A known method keeps the type its service declares, however it is relayed."""
        self._in_flight += 1
        (self._methods.get(method) or self._other).started += 1

    def call_ended(self, outcome: Outcome) -> None:
        """Count everything about a call that is over."""
        self._in_flight -= 1
        signature = outcome.signature
        if outcome.refusal is not None or outcome.warnings or outcome.would_refuse:
            signature = self._count_findings(outcome)
        if outcome.diagnosis is not None:
            self._count_error(outcome, outcome.diagnosis)
        if outcome.judge_failed:
            self._judge_failures += 1
        if outcome.value_seconds is not None:
            model, _, _ = self._vocabulary.fold(outcome.model, "", None)
            self._value_checks.setdefault(model, Histogram(OVERHEAD_SECONDS)).observe(outcome.value_seconds)
        told = (outcome.method, outcome.model, signature, outcome.version, outcome.code)
        row = self._rows_as_told.get(told) or self._row(outcome, signature)
        row.count += 1
        method, timing = self._methods.get(outcome.method) or self._other, row.timing
        method.handled[row.code] += 1
        method.received += outcome.messages_received
        method.sent += outcome.messages_sent
        seconds = outcome.seconds
        method.seconds.observe(seconds)
        timing.seconds.observe(seconds)
        if outcome.upstream_seconds is not None:
            timing.upstream.observe(outcome.upstream_seconds)
            self._overhead.observe(max(seconds - outcome.upstream_seconds, 0.0))
        elif outcome.code != _UNAVAILABLE:
            self._overhead.observe(seconds)
        if outcome.trace is not None and outcome.trace.sampled:
            _remember(timing, outcome, outcome.trace.trace_id)
        self._request_bytes.observe(outcome.request_bytes)
        self._response_bytes.observe(outcome.response_bytes)
        if outcome.batch_size is not None:
            row.batch.observe(outcome.batch_size)

    def observer_failed(self) -> None:
        """Count a fault in observation itself."""
        self._observer_failures += 1

    def certificates_read(self, expiries: Mapping[str, float]) -> None:
        """Show from now on when other files expire."""
        self._certificate_expiries = expiries

    def bound_hit(self, bound: str) -> None:
        """Count that a client ran into a bound."""
        self._bound_hits[(bound,)] += 1

    def _count_error(self, outcome: Outcome, reason: Reason) -> None:
        model, _, _ = self._vocabulary.fold(outcome.model, "", None)
        labels: Labels = (model, reason.value)
        if labels not in self._upstream_errors and len(self._upstream_errors) >= self._limits.rows:
            labels = (OTHER, reason.value)
        self._upstream_errors[labels] += 1

    def _count_findings(self, outcome: Outcome) -> str:
        """Count refusal and warnings; returns the signature's name as far as it may be trusted.

        The name in a request for a signature that the model does not have is the client's invention.
        """
        refused = outcome.refusal.violations if outcome.refusal is not None else ()
        findings = (*refused, *outcome.would_refuse, *outcome.warnings)
        invented = any(violation.reason is Reason.SIGNATURE_NOT_FOUND for violation in findings)
        trusted = "" if invented else outcome.signature
        model, signature, _ = self._vocabulary.fold(outcome.model, trusted, None)
        every = Counter(each.reason for each in (*refused, *outcome.would_refuse))
        for counter, reasons in (
            (self._refusals, {each.reason: 1 for each in refused[:1]}),
            (self._would_refuse, {each.reason: 1 for each in outcome.would_refuse[:1]}),
            (self._violations, every),
            (self._warnings, {each.reason: 1 for each in outcome.warnings}),
        ):
            for reason, count in reasons.items():
                labels: Labels = (model, signature, reason.value)
                if labels not in counter and len(counter) >= self._limits.rows:
                    labels = (OTHER, OTHER, reason.value)
                counter[labels] += count
        return trusted

    def _row(self, outcome: Outcome, signature: str) -> _Row:
        """The series of a call whose names are new, or are no labels."""
        self._drop_expired()
        method = self._methods.get(outcome.method)
        name = method.name if method is not None else OTHER
        code = outcome.code if 0 <= outcome.code < len(CODES) else CODES.index("Unknown")
        folded = self._vocabulary.fold(outcome.model, signature, outcome.version)
        labels: Labels = (name, *folded, CODES[code])
        if labels not in self._rows and len(self._rows) >= self._limits.rows:
            folded = (OTHER, OTHER, OTHER)
            labels = (name, *folded, CODES[code])
        row = self._rows.get(labels)
        if row is None:
            model = folded[0]
            batch = self._batches.setdefault(model, Histogram(BATCH))
            row = self._rows[labels] = _Row(code, self._timing(name, model), batch)
        if method is not None:
            if len(self._rows_as_told) >= _REMEMBERED:
                self._rows_as_told.clear()
            self._rows_as_told[outcome.method, outcome.model, signature, outcome.version, outcome.code] = row
        return row

    def _timing(self, method: str, model: str) -> _Timing:
        key: Labels = (method, model)
        if key not in self._timings and len(self._timings) >= self._limits.timings:
            key = (method, OTHER)
        return self._timings.setdefault(key, _Timing())

    # === events: what upstream/ tells its listener ===

    def upstream_changed(self, up: bool) -> None:
        """Show whether the upstream can be reached."""
        self._up = up

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None:
        """Show the newest versions' states; what is unloaded loses its series after a while."""
        self._drop_expired()
        if not versions:
            self._states.pop(model, None)
            self._vocabulary.retain(model, None)
        elif self._vocabulary.admit(model):
            newest = sorted(versions, key=lambda status: status.version)[-_STATE_VERSIONS:]
            self._states[model] = {status.version: _state(status) for status in newest}
            loaded = {str(status.version) for status in versions if status.state != "END"}
            self._vocabulary.retain(model, loaded)

    def signature_fetched(self, key: ModelKey, result: str, seconds: float) -> None:  # noqa: ARG002
        """Count a question for signatures by how it ended."""
        self._drop_expired()
        self._fetches[result] += 1

    def signature_drifted(self, drift: Drift) -> None:
        """Count a version change that altered a signature."""
        if drift.kind is not DriftKind.UNCHANGED:
            model = drift.model if self._vocabulary.admit(drift.model) else OTHER
            self._drifts[model, drift.kind.value] += 1

    def _drop_expired(self) -> None:
        for model, version in self._vocabulary.expired():
            self._rows_as_told.clear()
            if version is not None:
                _drop(self._rows, {1: model, 3: version})
                continue
            self._batches.pop(model, None)
            self._value_checks.pop(model, None)
            _drop(self._rows, {1: model})
            _drop(self._timings, {1: model})
            for counter in (
                *(self._refusals, self._violations, self._warnings, self._would_refuse),
                *(self._upstream_errors, self._drifts),
            ):
                _drop(counter, {0: model})

    # === the scrape ===

    def describe(self) -> Iterator[Metric]:
        """Every family without samples, so that `/metrics?name[]=...` finds them."""
        return (declared.family() for declared in METRICS.values())

    def collect(self) -> Iterator[Metric]:
        """Every family as it is now, complete before the next call can change it."""
        return iter(self.families(METRICS))

    def families(self, names: Iterable[str]) -> list[Metric]:
        """The families of these names as they are now; names that are none are passed over."""
        samples = self._samples()
        return [METRICS[name].family(samples[name]) for name in names if name in METRICS]

    def _samples(self) -> dict[str, Samples]:
        methods = (*self._methods.values(), self._other)
        age = self._signature_age()
        paused = self._capture_paused()
        recent, of_one_client = self._recent_refusals()
        return {
            "tfs_proxy_requests_total": ((labels, row.count) for labels, row in self._rows.items()),
            "tfs_proxy_refusals_total": self._refusals.items(),
            "tfs_proxy_violations_total": self._violations.items(),
            "tfs_proxy_recent_refusals": [((), recent)],
            "tfs_proxy_recent_refusals_largest_client": [((), of_one_client)],
            "tfs_proxy_warnings_total": self._warnings.items(),
            "tfs_proxy_would_refuse_total": self._would_refuse.items(),
            "tfs_proxy_upstream_errors_total": self._upstream_errors.items(),
            "tfs_proxy_upstream_deaths_total": [((), self._upstream_deaths())],
            "tfs_proxy_captured_total": [((result,), count) for result, count in self._captured().items()],
            "tfs_proxy_capture_paused": [] if paused is None else [((), paused)],
            "tfs_proxy_outputs_checked_total": [
                ((result,), n) for result, n in self._outputs_checked().items()
            ],
            "tfs_proxy_output_findings_total": self._output_findings().items(),
            "tfs_proxy_request_seconds": ((key, timing.seconds) for key, timing in self._timings.items()),
            "tfs_proxy_upstream_seconds": ((key, timing.upstream) for key, timing in self._timings.items()),
            "tfs_proxy_overhead_seconds": [((), self._overhead)],
            "tfs_proxy_value_check_seconds": (((model,), took) for model, took in self._value_checks.items()),
            "tfs_proxy_request_bytes": [((), self._request_bytes)],
            "tfs_proxy_response_bytes": [((), self._response_bytes)],
            "tfs_proxy_batch_size": (((model,), batch) for model, batch in self._batches.items()),
            "tfs_proxy_in_flight": [((), self._in_flight)],
            **_usage_samples(self._usage()),
            "tfs_proxy_bound_hits_total": self._bound_hits.items(),
            "tfs_proxy_upstream_up": [((), self._up)],
            "tfs_proxy_upstream_backends": _backend_samples(self._backends()),
            "tfs_proxy_model_version_state": (
                ((model, str(version), state), state == current)
                for model, versions in self._states.items()
                for version, current in versions.items()
                for state in STATES
            ),
            "tfs_proxy_signature_fetches_total": (((result,), n) for result, n in self._fetches.items()),
            "tfs_proxy_signature_age_seconds": [] if age is None else [((), age)],
            # Zeros too, so that rate() sees the first drift.
            "tfs_proxy_signature_drift_total": (
                ((model, kind), self._drifts[model, kind])
                for model in (*self._vocabulary.models(), OTHER)
                for kind in _DRIFT_KINDS
            ),
            "tfs_proxy_judge_failures_total": [((), self._judge_failures)],
            "tfs_proxy_observer_failures_total": [((), self._observer_failures)],
            "tfs_proxy_certificate_expiry_timestamp_seconds": (
                ((use,), when) for use, when in self._certificate_expiries.items()
            ),
            **reload_samples(self._reloads),
            "tfs_proxy_build_info": [(self._build, 1)],
            # What a supervisor tells of several.
            "tfs_proxy_workers": [],
            "tfs_proxy_worker_restarts_total": [],
            "tfs_proxy_worker_connections": [],
            "tfs_proxy_worker_in_flight": [],
            "grpc_server_started_total": ((method.labels, method.started) for method in methods),
            "grpc_server_handled_total": (
                ((*method.labels, CODES[code]), count)
                for method in methods
                for code, count in enumerate(method.handled)
            ),
            "grpc_server_msg_received_total": ((method.labels, method.received) for method in methods),
            "grpc_server_msg_sent_total": ((method.labels, method.sent) for method in methods),
            "grpc_server_handling_seconds": ((method.labels, method.seconds) for method in methods),
        }


def reload_samples(reloads: Reloads | None) -> dict[str, Samples]:
    """How the settings were read anew; nothing of who reads none."""
    return {
        "tfs_proxy_config_reloads_total": []
        if reloads is None
        else [((result,), n) for result, n in reloads.counts.items()],
        "tfs_proxy_config_last_reload_successful": [] if reloads is None else [((), reloads.successful)],
        "tfs_proxy_config_last_reload_success_timestamp_seconds": []
        if reloads is None
        else [((), reloads.succeeded_at)],
    }


def _remember(timing: _Timing, outcome: Outcome, trace_id: str) -> None:
    """Leave a trace of a call beside the times that were just counted."""
    now = time.time()
    timing.seconds.remember(Example(trace_id, outcome.seconds, now))
    if outcome.upstream_seconds is not None:
        timing.upstream.remember(Example(trace_id, outcome.upstream_seconds, now))


def _usage_samples(usage: Usage | None) -> dict[str, Samples]:
    """How near the bounds are; nothing of what has no bound."""
    told = {
        "connections": None if usage is None else usage.connections,
        "connections_limit": None if usage is None else usage.connections_limit,
        "inflight_bytes": None if usage is None else usage.inflight_bytes,
        "inflight_bytes_limit": None if usage is None else usage.inflight_bytes_limit,
        "upstream_calls": None if usage is None else usage.upstream_calls,
        "upstream_calls_limit": None if usage is None else usage.upstream_calls_limit,
    }
    return {
        f"tfs_proxy_{name}": [] if value is None or value < 0 else [((), value)]
        for name, value in told.items()
    }


def _backend_samples(counts: Mapping[str, int]) -> Samples:
    """Servers by state; nothing where whoever carries the calls does not tell."""
    return [((state,), counts.get(state, 0)) for state in BACKEND_STATES] if counts else []


def _drop(table: MutableMapping[Labels, Any], gone: Mapping[int, str]) -> None:
    """Remove the series that have these label values at these places."""
    for labels in [labels for labels in table if all(labels[place] == name for place, name in gone.items())]:
        del table[labels]


def _state(status: VersionStatus) -> str:
    """The state as shown: TF Serving reports a failed load as END with an error."""
    if status.state == "END" and (status.error_code or status.error_message):
        return FAILED
    return status.state
