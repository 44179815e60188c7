"""
Traces of calls, by OpenTelemetry: a span for each call, and in it one for what the server is asked.

Law: says of a call what the log does, and of its metadata no more than the id and what the client says it is: neither
values nor texts of a status. What a client sends decides whether its call is traced and costs no line in the log. Spans
leave by a thread of the SDK's, from a queue that is bounded; a collector that is not there costs spans, and one line
when that begins and when it ends.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.semconv._incubating.attributes.rpc_attributes import (
    RPC_METHOD,
    RPC_METHOD_ORIGINAL,
    RPC_RESPONSE_STATUS_CODE,
    RPC_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.core.explain import printable
from proxy.observe.catalogue import KNOWN_METHODS, status_name
from proxy.observe.outcome import Outcome

MODEL: Final = "tfs_proxy.model"
VERSION: Final = "tfs_proxy.version"
SIGNATURE: Final = "tfs_proxy.signature"
REASON: Final = "tfs_proxy.reason"
"""The first reason of a refusal, or what an error of the server means."""
WARNINGS: Final = "tfs_proxy.warnings"
WOULD_REFUSE: Final = "tfs_proxy.would_refuse"
REQUEST_ID: Final = "tfs_proxy.request_id"

FLUSH_SECONDS: Final = 3.0
"""How long a proxy that stops waits for its last spans to be taken."""

_UNKNOWN: Final = "_OTHER"
_NAME_LENGTH: Final = 200
_LONGEST_PARENT: Final = 256
_SPOKEN_BY: Final = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")
"""The loggers of what exports, which say again and again that it cannot."""


_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""The codes that are an error of whoever serves, and not of its client (semantic conventions for gRPC)."""

Attributes = dict[str, str | int | Sequence[str]]


class CallTrace:
    """One call; see `proxy.observe.outcome.Trace`."""

    __slots__ = ("_began", "_call", "_question", "_told", "_tracing", "sampled", "trace_id")

    def __init__(self, tracing: "Tracing", call: Span, told: Attributes, began: int) -> None:
        self._tracing = tracing
        self._call = call
        self._told = told
        self._began = began
        self._question: Span | None = None
        context = call.get_span_context()
        self.trace_id = format_trace_id(context.trace_id) if context.is_valid else ""
        self.sampled = context.is_valid and context.trace_flags.sampled

    def forwarded(self) -> str:
        """Begin the span of what the server is asked, which is one however often it is asked."""
        if self._question is None and self._call.is_recording():
            self._question = self._tracing.question(self._call, self._told)
        return _traceparent((self._question or self._call).get_span_context())

    def end(self, outcome: Outcome) -> None:
        """End both spans with the call."""
        when = self._began + int(outcome.seconds * 1e9)
        code = status_name(outcome.code)
        if self._question is not None:
            # A question whose call was refused meanwhile is taken back.
            asked = code if outcome.refusal is None else "CANCELLED"
            _end(self._question, asked, when, failed=asked != "OK")
        if self._call.is_recording():
            self._call.set_attributes(_attributes(outcome))
            _end(self._call, code, when, failed=code in _FAULTS)


class Tracing:
    """Traces calls (a `Tracer`) and hears of their end (an `EndObserver`)."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter, target: str) -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("tfs-proxy")
        self._propagator = TraceContextTextMapPropagator()
        self._server = _server(target)

    def begin(self, method: str, traceparent: str) -> CallTrace:
        """A call has arrived."""
        name = method.removeprefix("/")
        told: Attributes = {RPC_SYSTEM_NAME: "grpc", RPC_METHOD: name}
        if method not in KNOWN_METHODS:
            told |= {RPC_METHOD: _UNKNOWN, RPC_METHOD_ORIGINAL: _cut(name)}
        carrier = {"traceparent": traceparent} if 0 < len(traceparent) <= _LONGEST_PARENT else {}
        parent = self._propagator.extract(carrier)
        began = time.time_ns()
        call = self._tracer.start_span(_name(told), parent, SpanKind.SERVER, told, start_time=began)
        return CallTrace(self, call, told, began)

    def question(self, call: Span, told: Attributes) -> Span:
        """Begin the span of what the server is asked in a call."""
        parent = set_span_in_context(call)
        return self._tracer.start_span(_name(told), parent, SpanKind.CLIENT, {**told, **self._server})

    def call_ended(self, outcome: Outcome) -> None:
        """End what was begun."""
        if isinstance(outcome.trace, CallTrace):
            outcome.trace.end(outcome)

    def close(self) -> None:
        """Send what there is still, for as long as FLUSH_SECONDS."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)
        if ending.is_alive():
            # What is under way fails now, and so does what waits.
            self._exporter.shutdown()
            ending.join(1.0)


def open_tracing(
    version: str, target: str, endpoint: str | None, sample: float | None, lost: Callable[[str | None], None]
) -> Tracing:
    """Trace calls to the server at `target`.

    Where `endpoint` or `sample` is None, the variables OTEL_… say, or their defaults. `lost` is told why spans are
    lost, or None once they are not any more. Raises ValueError for a variable that cannot be used.
    """
    silent = _Silent()
    for name in _SPOKEN_BY:
        logging.getLogger(name).addFilter(silent)
    own = {
        "service.name": "tfs-proxy",
        "service.version": version,
        "service.instance.id": str(uuid.uuid4()),
    }
    try:
        provider = TracerProvider(
            sampler=None if sample is None else ParentBased(TraceIdRatioBased(sample)),
            resource=Resource.create({**own, **OTELResourceDetector().detect().attributes}),
            shutdown_on_exit=False,
        )
        exporter = _Exporter(OTLPSpanExporter(endpoint=endpoint), silent, lost)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except Exception as error:  # of many kinds, as are the variables
        raise ValueError(f"traces cannot be set up by the variables OTEL_…: {error}") from error
    return Tracing(provider, exporter, target)


class _Silent(logging.Filter):
    """Keeps the last line of those who export instead of letting them all through."""

    said = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.said = record.getMessage()
        return False


class _Exporter(SpanExporter):
    """Tells when spans begin to be lost, and when they get through again."""

    def __init__(self, exporter: SpanExporter, silent: _Silent, lost: Callable[[str | None], None]) -> None:
        self._exporter = exporter
        self._silent = silent
        self._lost = lost
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing is not self._failing:
            self._failing = failing
            self._lost(self._silent.said if failing else None)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _end(span: Span, code: str, when: int, *, failed: bool) -> None:
    if not span.is_recording():
        return
    span.set_attribute(RPC_RESPONSE_STATUS_CODE, code)
    if failed:
        span.set_attribute(ERROR_TYPE, code)
        span.set_status(Status(StatusCode.ERROR))
    span.end(when)


def _attributes(outcome: Outcome) -> Attributes:
    """What is known of a call, as far as there is something."""
    address, port = _peer(outcome.peer)
    found = outcome.refusal.violations if outcome.refusal is not None else ()
    reason = found[0].reason.value if found else outcome.diagnosis.value if outcome.diagnosis else ""
    asked = outcome.request.key if outcome.request is not None else None
    told: dict[str, Any] = {
        MODEL: _cut(outcome.model or (asked.model if asked is not None else "")),
        VERSION: outcome.version,
        SIGNATURE: _cut(outcome.signature),
        REASON: reason,
        WARNINGS: sorted({each.reason.value for each in outcome.warnings}),
        WOULD_REFUSE: sorted({each.reason.value for each in outcome.would_refuse}),
        REQUEST_ID: outcome.request_id,
        USER_AGENT_ORIGINAL: outcome.user_agent,
        NETWORK_PEER_ADDRESS: address,
        NETWORK_PEER_PORT: port,
    }
    return {key: value for key, value in told.items() if value not in (None, "", [])}


def _name(told: Attributes) -> str:
    """What a span is called: its method, or where that is anybody's invention the system."""
    return str(told[RPC_SYSTEM_NAME] if told[RPC_METHOD] == _UNKNOWN else told[RPC_METHOD])


def _cut(name: str) -> str:
    return printable(name[:_NAME_LENGTH])


def _peer(peer: str) -> tuple[str, int | None]:
    """Address and port in `ipv4:192.0.2.1:5` or `ipv6:[::1]:5`; nothing of a Unix socket."""
    kind, _, rest = peer.partition(":")
    address, _, port = rest.rpartition(":")
    if kind not in {"ipv4", "ipv6"} or not port.isdigit():
        return "", None
    return address.removeprefix("%5B").removesuffix("%5D").strip("[]"), int(port)


def _server(target: str) -> Attributes:
    """Who is asked, as the target says: a host and its port, or a socket."""
    address = target.removeprefix("dns:").lstrip("/") if target.startswith("dns:") else target
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        return {SERVER_ADDRESS: host.strip("[]"), SERVER_PORT: int(port)}
    return {SERVER_ADDRESS: address.removeprefix("unix:")}


def _traceparent(context: SpanContext) -> str:
    if not context.is_valid:
        return ""
    trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"
