"""Every metric, declared once: name, kind, labels, buckets, help.

Law: declarations only, among them what a metric of several workers is together (`together`); docs, alert rules and the dashboard are held against this table by tests. Names follow
the Prometheus conventions (base units, `_total`); the `grpc_server_*` ones are go-grpc-prometheus's, which
the world's dashboards query, and with them its spelling of status codes (`InvalidArgument`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar

from proxy.observe.series import Example, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
OVERHEAD_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
BYTES = tuple(float(1 << exponent) for exponent in range(8, 31, 2))
BATCH = tuple(float(1 << exponent) for exponent in range(11))

CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
"""The status codes by number, as Go spells them (`google.golang.org/grpc/codes`, `Code.String`)."""


def code_name(code: int) -> str:
    """A code beyond the seventeen is `Unknown`, as gRPC clients read it."""
    return CODES[code] if 0 <= code < len(CODES) else "Unknown"


_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def status_name(code: int) -> str:
    """The same as the specification of gRPC writes it: INVALID_ARGUMENT."""
    name = code_name(code)
    return {"OK": "OK", "Canceled": "CANCELLED"}.get(name) or _CAPITAL.sub("_", name).upper()


KNOWN_METHODS = {
    "/tensorflow.serving.PredictionService/Predict": "unary",
    "/tensorflow.serving.PredictionService/Classify": "unary",
    "/tensorflow.serving.PredictionService/Regress": "unary",
    "/tensorflow.serving.PredictionService/MultiInference": "unary",
    "/tensorflow.serving.PredictionService/GetModelMetadata": "unary",
    "/tensorflow.serving.ModelService/GetModelStatus": "unary",
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest": "unary",
    "/tensorflow.serving.SessionService/SessionRun": "unary",
    "/grpc.health.v1.Health/Check": "unary",
    "/grpc.health.v1.Health/List": "unary",
    "/grpc.health.v1.Health/Watch": "server_stream",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "bidi_stream",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "bidi_stream",
}
"""The methods that are labels, with the kind of stream their services declare; all others are `_other`."""


Together = Literal["sum", "max", "min", "first"]
"""What the same series of several workers becomes: a number, or that of the first worker that has it."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric. `name` is the family's as scraped, a counter's with its `_total`.

    `together` is what several workers come to: counters and histograms are always sums.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    together: Together = "sum"

    def family(self, samples: Iterable[tuple[tuple[str, ...], float | Histogram]] = ()) -> Metric:
        """The scraped form of label values and numbers."""
        if self.kind == "histogram":
            histogram = HistogramMetricFamily(self.name, self.help, labels=self.labels)
            for labels, value in samples:
                assert isinstance(value, Histogram)
                histogram.add_metric(labels, _cumulative(value), value.sum)
            return histogram
        family = (CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily)(
            self.name, self.help, labels=self.labels
        )
        for labels, value in samples:
            assert not isinstance(value, Histogram)
            family.add_metric(labels, value)
        return family


def _cumulative(histogram: Histogram) -> list[Any]:
    bounds = [*map(repr, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    if not histogram.examples:
        return buckets
    return [(*bucket, _exemplar(histogram.examples.get(at))) for at, bucket in enumerate(buckets)]


def _exemplar(example: Example | None) -> Exemplar | None:
    if example is None:
        return None
    return Exemplar({"trace_id": example.trace_id}, example.value, example.when)


_PREFIX = "tfs_proxy_"
_GRPC = ("grpc_type", "grpc_service", "grpc_method")
_FINDING = ("model", "signature", "reason")

METRICS: dict[str, Declared] = {
    declared.name: declared
    for declared in (
        Declared(
            _PREFIX + "requests_total",
            "counter",
            "Calls that are over, by status code (OK, InvalidArgument, ...). "
            "Names the upstream has not confirmed are _other.",
            ("method", "model", "signature", "version", "code"),
        ),
        Declared(
            _PREFIX + "refusals_total",
            "counter",
            "Calls that the proxy refused, each under its first violation's reason.",
            _FINDING,
        ),
        Declared(
            _PREFIX + "violations_total",
            "counter",
            "What was wrong with calls that were refused, or that mode observe let pass: every violation under its "
            "own reason, so a call with three counts three times.",
            _FINDING,
        ),
        Declared(
            _PREFIX + "recent_refusals",
            "gauge",
            "Refusals of the last five minutes, as far as /api/refusals remembers them.",
        ),
        Declared(
            _PREFIX + "recent_refusals_largest_client",
            "gauge",
            "Those of them that came from the address with the most; /api/refusals tells which it is.",
            together="max",
        ),
        Declared(
            _PREFIX + "warnings_total",
            "counter",
            "Warnings on calls that were forwarded; a call counts under each of its reasons.",
            _FINDING,
        ),
        Declared(
            _PREFIX + "would_refuse_total",
            "counter",
            "Calls that mode observe forwarded and enforce would have refused, by first violation's reason.",
            _FINDING,
        ),
        Declared(
            _PREFIX + "upstream_errors_total",
            "counter",
            "Errors of the upstream, or of the way to it, that the proxy could explain, by what they mean.",
            ("model", "reason"),
        ),
        Declared(
            _PREFIX + "upstream_deaths_total",
            "counter",
            "Times that the connection to the upstream was lost with calls in flight: it died, or a hop cut it.",
        ),
        Declared(
            _PREFIX + "captured_total",
            "counter",
            "What --capture has recorded: request, refusal; dropped: either, because the disk was slow or failed.",
            ("result",),
        ),
        Declared(
            _PREFIX + "capture_paused",
            "gauge",
            "1 while --capture records nothing because its files cannot be written, else 0; none without --capture.",
            together="max",
        ),
        Declared(
            _PREFIX + "outputs_checked_total",
            "counter",
            "Answers that --output-sample has chosen: checked; unreadable; dropped: too many at a time, too large "
            "or compressed.",
            ("result",),
        ),
        Declared(
            _PREFIX + "output_findings_total",
            "counter",
            "Checked answers with something wrong: not_finite (NaN or infinity), identical (as the answers to other "
            "inputs before it).",
            ("model", "signature", "kind"),
        ),
        Declared(
            _PREFIX + "request_seconds",
            "histogram",
            "Time from the arrival of a call to its end.",
            ("method", "model"),
            SECONDS,
        ),
        Declared(
            _PREFIX + "upstream_seconds",
            "histogram",
            "Part of a call spent waiting for the upstream; calls that never reached it are not counted.",
            ("method", "model"),
            SECONDS,
        ),
        Declared(
            _PREFIX + "overhead_seconds",
            "histogram",
            "The proxy's own share of a call: its time less the wait for the upstream; what ends UNAVAILABLE without having "
            "reached it has waited for it alone, and is not counted.",
            (),
            OVERHEAD_SECONDS,
        ),
        Declared(
            _PREFIX + "value_check_seconds",
            "histogram",
            "What looking at the values of a request took, where a policy asks for it; part of the overhead.",
            ("model",),
            OVERHEAD_SECONDS,
        ),
        Declared(_PREFIX + "request_bytes", "histogram", "Size of a call's request messages.", (), BYTES),
        Declared(_PREFIX + "response_bytes", "histogram", "Size of a call's response messages.", (), BYTES),
        Declared(_PREFIX + "batch_size", "histogram", "Examples per judged request.", ("model",), BATCH),
        Declared(_PREFIX + "in_flight", "gauge", "Calls that have started and not ended."),
        Declared(
            _PREFIX + "connections", "gauge", "Connections of clients, those in their TLS handshake too."
        ),
        Declared(
            _PREFIX + "connections_limit", "gauge", "How many there may be at a time; below 0: any number."
        ),
        Declared(
            _PREFIX + "inflight_bytes",
            "gauge",
            "Bytes of requests and responses that wait: for judgement, for the server, for a client that does not read.",
        ),
        Declared(
            _PREFIX + "inflight_bytes_limit", "gauge", "How many there may be at a time; below 0: any number."
        ),
        Declared(
            _PREFIX + "upstream_calls",
            "gauge",
            "Calls at the upstream, as --adaptive counts them; none without it.",
        ),
        Declared(
            _PREFIX + "upstream_calls_limit",
            "gauge",
            "How many there may be at a time: lowered while the upstream answers RESOURCE_EXHAUSTED or too late.",
        ),
        Declared(
            _PREFIX + "bound_hits_total",
            "counter",
            "Times that a client ran into a bound: inflight_bytes, calls, local_calls (health and reflection), "
            "connections, connections_of_a_peer, stalled, unfinished_head, unread, metadata, client_rate, model_calls, upstream_calls.",
            ("bound",),
        ),
        Declared(
            _PREFIX + "upstream_up",
            "gauge",
            "1 while the upstream can be reached (by every worker), else 0.",
            together="min",
        ),
        Declared(
            _PREFIX + "upstream_backends",
            "gauge",
            "Servers behind the upstream's name by state: serving, trial (single calls, to see whether it is well again), "
            "ejected (it failed too many calls in a row), unreachable. Native edge; of several workers the most.",
            ("state",),
            together="max",
        ),
        Declared(
            _PREFIX + "model_version_state",
            "gauge",
            "1 for the state that GetModelStatus reports of a version, 0 for the others. "
            "FAILED is END with an error: loading has failed.",
            ("model", "version", "state"),
            together="first",
        ),
        Declared(
            _PREFIX + "signature_fetches_total",
            "counter",
            "Questions for signatures by result: ok, absent (no such servable), unavailable, error.",
            ("result",),
        ),
        Declared(
            _PREFIX + "signature_age_seconds",
            "gauge",
            "Age of the oldest signature that requests are judged by.",
            together="max",
        ),
        Declared(
            _PREFIX + "signature_drift_total",
            "counter",
            "Version changes that altered a signature; breaking: requests right before are wrong after.",
            ("model", "kind"),
        ),
        Declared(
            _PREFIX + "judge_failures_total",
            "counter",
            "Requests forwarded unjudged: the server keeps its metadata to itself, or judgement has a fault.",
        ),
        Declared(
            _PREFIX + "observer_failures_total",
            "counter",
            "Faults in metrics, logs or the refusal ring; traffic is not affected.",
        ),
        Declared(
            _PREFIX + "certificate_expiry_timestamp_seconds",
            "gauge",
            "Unix time at which the first certificate of a TLS file expires, by the setting that names the file: "
            "listen_cert, listen_client_ca, admin_cert, upstream_ca, upstream_cert.",
            ("use",),
            together="min",
        ),
        Declared(
            _PREFIX + "config_reloads_total",
            "counter",
            "Times that settings, policies, certificates and tokens were read anew while the proxy ran, by result: ok, "
            "failed (what was read cannot be used, and everything is as before).",
            ("result",),
        ),
        Declared(
            _PREFIX + "config_last_reload_successful",
            "gauge",
            "1 while the settings in effect are those that were read last, 0 while those cannot be used.",
            together="min",
        ),
        Declared(
            _PREFIX + "config_last_reload_success_timestamp_seconds",
            "gauge",
            "Unix time at which the settings in effect were read.",
            together="max",
        ),
        Declared(
            _PREFIX + "build_info",
            "gauge",
            "Always 1; the versions are in the labels, and whether the hot path is compiled or interpreted.",
            ("version", "python", "hot_path"),
            together="first",
        ),
        Declared(
            _PREFIX + "workers",
            "gauge",
            "Workers of --workers by state: starting, serving, silent (does not answer its supervisor), waiting (ended, "
            "and not started again yet), ended; none with one worker.",
            ("state",),
        ),
        Declared(
            _PREFIX + "worker_restarts_total",
            "counter",
            "Workers that were started again because the one before had ended; none with one worker.",
            ("worker",),
        ),
        Declared(
            _PREFIX + "worker_connections",
            "gauge",
            "Connections of clients of each worker that answers; none with one worker.",
            ("worker",),
        ),
        Declared(
            _PREFIX + "worker_in_flight",
            "gauge",
            "Calls under way of each worker that answers; none with one worker.",
            ("worker",),
        ),
        Declared("grpc_server_started_total", "counter", "Calls started on the listen port.", _GRPC),
        Declared(
            "grpc_server_handled_total",
            "counter",
            "Calls completed on the listen port, whatever their outcome.",
            (*_GRPC, "grpc_code"),
        ),
        Declared(
            "grpc_server_msg_received_total",
            "counter",
            "Messages received, counted when their call ends.",
            _GRPC,
        ),
        Declared(
            "grpc_server_msg_sent_total", "counter", "Messages sent, counted when their call ends.", _GRPC
        ),
        Declared(
            "grpc_server_handling_seconds",
            "histogram",
            "Time from the arrival of a call to its end.",
            _GRPC,
            SECONDS,
        ),
    )
}
"""Every metric by name, in the order of the scrape."""

FOREIGN: dict[str, Together] = {
    "process_virtual_memory_bytes": "sum",
    "process_resident_memory_bytes": "sum",
    "process_start_time_seconds": "min",
    "process_open_fds": "sum",
    "process_max_fds": "sum",
    "python_info": "first",
}
"""The gauges that prometheus_client tells of a process, and what those of several are together."""
