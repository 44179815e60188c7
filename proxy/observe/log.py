"""Logs: structlog's set-up, the names of the events, and a line for what an operator must know.

Law: one line per refusal, none per success unless asked, and no more than so many a second of each kind,
however many bad requests come: what is left out is counted in the next line. What clients can bring about is a
warning where it is news, the first of its kind in a minute, and else for information. Never tensor values, never
metadata values; a traceback carries no local variables, because they would be both. Whatever is not printable
is written as an escape, wherever it came from, so that no name can steer a terminal or forge a line.
"""

import io
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, TextIO

import structlog
from structlog.dev import RESET_ALL, YELLOW, Column, ConsoleRenderer, KeyValueColumnFormatter

from proxy.core.availability import VersionStatus
from proxy.core.drift import Drift, DriftKind
from proxy.core.explain import printable
from proxy.core.outputs import OutputFinding
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey
from proxy.core.verdict import Violation
from proxy.observe.catalogue import KNOWN_METHODS, code_name
from proxy.observe.log_handler import handler_for
from proxy.observe.outcome import Outcome
from proxy.observe.refusals import shapes_of
from proxy.observe.series import OTHER

CALL = "call"
REQUEST_REFUSED = "request_refused"
REQUEST_WARNED = "request_warned"
REQUEST_WOULD_BE_REFUSED = "request_would_be_refused"
UPSTREAM_ERROR = "upstream_error"
UPSTREAM_OUT_OF_REACH = "upstream_out_of_reach"
OUTPUT_SUSPECT = "output_suspect"
JUDGE_FAILED = "judge_failed"
OBSERVER_FAILED = "observer_failed"
LINES_SUPPRESSED = "lines_suppressed"
BOUND_HIT = "bound_hit"
UPSTREAM_UP = "upstream_up"
UPSTREAM_DOWN = "upstream_down"
MODEL_VERSIONS_CHANGED = "model_versions_changed"
SIGNATURE_DRIFT = "signature_drift"
SIGNATURE_FETCH_FAILED = "signature_fetch_failed"
TRACES_LOST = "traces_lost"
TRACES_RESUMED = "traces_resumed"
UNKNOWN_VARIABLE = "unknown_variable"

Format = Literal["auto", "json", "console"]

_NEWS_SECONDS = 60.0
_KINDS = 1000
_UNKNOWN_METHODS = 100
_NAME_LENGTH = 200
_PLAIN_COLUMNS = 120
_DIFFERENCES = 20
_BOUND_SECONDS = 60.0
_BOUNDS_RUNBOOK = "docs/runbook.md#tfsproxyboundhits"


def configure(
    log_format: Format = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    fields: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Send every log line of this process, other libraries' too, to `stream` (standard error by default).

    Each line has these `fields` too.

    `auto` is readable lines on a terminal and one JSON object per line elsewhere. `level` is a name of the
    standard library's (`debug`, `info`, `warning`, `error`).
    """
    stream = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    when = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if console and stream.isatty():
        when = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    shared: list[structlog.typing.Processor] = [
        lambda _logger, _method, line: {**fields, **line},
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        when,
    ]
    renderer: list[structlog.typing.Processor] = (
        [_Console(stream)]
        if console
        else [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            _what_first,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ]
    )
    handler = handler_for(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


_JUDGED = {
    REQUEST_REFUSED: "refused",
    REQUEST_WARNED: "warned about",
    REQUEST_WOULD_BE_REFUSED: "would refuse",
}
_ACCEPTS = " Model '"
"""How the last sentence of a refusal begins: the signature that the model accepts."""


class _Console:
    """Lines for people. One about a request is short, and ends where the terminal does: JSON tells the rest."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._others = _console(colors=stream.isatty())

    def __call__(
        self, logger: structlog.typing.WrappedLogger, method: str, line: structlog.typing.EventDict
    ) -> str:
        if line["event"] not in _JUDGED:
            return str(self._others(logger, method, line))
        begins = f"{line['timestamp']} {_JUDGED[line['event']]} "
        what = f"{_value(line['model'] or '-')} {','.join(line['reasons'])}"
        suppressed = f" ({line['suppressed']} more before)" if "suppressed" in line else ""
        text = _words(f"{suppressed}: {line['text'].partition(_ACCEPTS)[0]}")
        if not self._stream.isatty():
            return f"{begins}{what}{text}"
        room = _columns(self._stream) - len(begins)
        return f"{begins}{YELLOW}{_cut(what, room)}{RESET_ALL}{_cut(text, max(0, room - len(what)))}"


def _columns(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or _PLAIN_COLUMNS
    except (OSError, ValueError):
        return _PLAIN_COLUMNS


def _console(*, colors: bool) -> ConsoleRenderer:
    """The console renderer, in which every value of every line passes `printable` before colours are added."""
    console = ConsoleRenderer(colors=colors, exception_formatter=_traceback)
    columns = []
    for column in console.columns:
        formatter = column.formatter
        if isinstance(formatter, KeyValueColumnFormatter):
            formatter = replace(formatter, value_repr=_words if column.key else _value)
        columns.append(Column(column.key, formatter))
    console.columns = columns
    return console


def _words(value: object) -> str:
    return printable(str(value))


def _value(value: object) -> str:
    """A value behind `key=`: a word as it is, everything else as Python writes it."""
    if isinstance(value, str):
        value = str(value)
        if value.isprintable() and not set(value) & set(" =\"'"):
            return value
    return printable(repr(value))


def _traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """A traceback whose lines are indented: the message of an exception cannot pass for a line of the log."""
    written = io.StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    stream.writelines(f"\n    {printable(line)}" for line in written.getvalue().strip("\n").split("\n"))


def _what_first(
    _logger: structlog.typing.WrappedLogger, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """When, how bad and what at the beginning, for whoever reads the JSON with bare eyes."""
    return {key: line.pop(key) for key in ("timestamp", "level", "event")} | dict(line)


def unknown_variable(name: str, text: str) -> None:
    """A variable of the environment that is taken for a setting and is none."""
    structlog.get_logger("tfs-proxy").warning(UNKNOWN_VARIABLE, name=name, text=text)


class RateLimit:
    """At most `per_second` lines of each kind in a second; the kinds are few, whatever clients send."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._windows: dict[tuple[str, str], list[float]] = {}

    def admit(self, event: str, reason: str) -> int | None:
        """None: leave this line out. Otherwise how many were left out since the last one of this kind."""
        now = self._clock()
        window = self._windows.setdefault((event, reason), [now, 0, 0])
        if now - window[0] >= 1.0:
            window[0], window[1] = now, 0
        if window[1] >= self._per_second:
            window[2] += 1
            return None
        window[1] += 1
        suppressed, window[2] = window[2], 0
        return int(suppressed)

    def left_out(self) -> Iterable[tuple[str, str, int]]:
        """(event, reason, lines) that no line has told of yet; told with this."""
        for (event, reason), window in self._windows.items():
            if window[2]:
                yield event, reason, int(window[2])
                window[2] = 0


Kind = tuple[str, ...]
"""What a line is about, beside its event and reason: words of ours, and names that the upstream has confirmed."""


class News:
    """How loud a line is that clients can bring about: a warning where it is news, and else for information.

    A method that the server does not have, whose name is the client's, is told once, and beyond so many of them not
    at all: load balancers ask for one every few seconds and take UNIMPLEMENTED for health.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # When a kind was a warning.
        self._told: dict[tuple[str, str, Kind], float] = {}
        self._unknown_methods: set[Kind] = set()

    def level(self, event: str, reason: str, kind: Kind) -> int:
        """The level of a line, which is then told."""
        if reason == Reason.UPSTREAM_METHOD_UNKNOWN:
            if kind in self._unknown_methods or len(self._unknown_methods) >= _UNKNOWN_METHODS:
                return logging.DEBUG
            self._unknown_methods.add(kind)
            return logging.WARNING
        now, line = self._clock(), (event, reason, kind)
        if now - self._told.get(line, -math.inf) < _NEWS_SECONDS:
            return logging.INFO
        self._told.pop(line, None)
        if len(self._told) >= _KINDS:
            del self._told[next(iter(self._told))]
        self._told[line] = now
        return logging.WARNING


class CallLog:
    """Logs calls that are over (an `EndObserver`) and what upstream/ tells its listener."""

    def __init__(
        self,
        *,
        access_log: bool = False,
        per_second: int = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")
        self._access_log = access_log
        self._limit = RateLimit(per_second, clock)
        self._news = News(clock)
        self._clock = clock
        # Bound → when it was last told, and how often it was hit since.
        self._bounds_told: dict[str, tuple[float, int]] = {}

    def adopt(self, *, access_log: bool) -> None:
        """From now on, tell of every call or not."""
        self._access_log = access_log

    # === calls ===

    def call_ended(self, outcome: Outcome) -> None:
        """One line for a refusal, warnings, an explained error, a failed judgement; one for any call if asked."""
        if outcome.refusal is not None:
            self._found(REQUEST_REFUSED, outcome, outcome.refusal.violations, text=outcome.text)
        if outcome.would_refuse:
            self._found(REQUEST_WOULD_BE_REFUSED, outcome, outcome.would_refuse)
        if outcome.warnings:
            self._found(REQUEST_WARNED, outcome, outcome.warnings)
        if outcome.diagnosis is not None:
            self._diagnosed(outcome, outcome.diagnosis)
        if outcome.judge_failed:
            self._tell(JUDGE_FAILED, "", _kind(outcome), lambda: _call(outcome))
        if self._access_log:
            self._log.info(
                CALL,
                **_call(outcome),
                seconds=round(outcome.seconds, 6),
                upstream_seconds=None
                if outcome.upstream_seconds is None
                else round(outcome.upstream_seconds, 6),
                request_bytes=outcome.request_bytes,
                response_bytes=outcome.response_bytes,
            )

    def _found(self, event: str, outcome: Outcome, violations: tuple[Violation, ...], text: str = "") -> None:
        reason = violations[0].reason.value if violations else ""
        self._tell(
            event,
            reason,
            _kind(outcome),
            lambda: {
                "reason": reason,
                "reasons": sorted({violation.reason.value for violation in violations}),
                **_call(outcome),
                "text": text or "; ".join(_phrase(violation) for violation in violations[:5]),
            },
        )

    def _diagnosed(self, outcome: Outcome, reason: Reason) -> None:
        self._tell(
            UPSTREAM_ERROR,
            reason.value,
            (_cut(outcome.method),) if reason is Reason.UPSTREAM_METHOD_UNKNOWN else _kind(outcome),
            lambda: {
                "reason": reason.value,
                **_call(outcome),
                "text": outcome.text,
                "inputs": shapes_of(outcome.request),
            },
        )

    def _tell(self, event: str, reason: str, kind: Kind, fields: Callable[[], dict[str, Any]]) -> None:
        """A line that clients can bring about."""
        suppressed = self._limit.admit(event, reason)
        if suppressed is not None:
            level = self._news.level(event, reason, kind)
            self._log.log(level, event, **fields(), **_suppressed(suppressed))

    def upstream_out_of_reach(self, reason: str, text: str) -> None:
        """What a probe found in the way to the server."""
        self._log.warning(UPSTREAM_OUT_OF_REACH, reason=reason, text=text)

    def traces_lost(self, why: str | None) -> None:
        """Traces cannot be sent, or can again (None); told when it changes."""
        if why is None:
            self._log.info(TRACES_RESUMED)
        else:
            self._log.warning(TRACES_LOST, error=_cut(why, 1000))

    def bound_hit(self, bound: str) -> None:
        """A client ran into a bound: one line at first, then one a minute."""
        now = self._clock()
        then, times = self._bounds_told.get(bound, (-math.inf, 0))
        if now - then < _BOUND_SECONDS:
            self._bounds_told[bound] = (then, times + 1)
            return
        self._bounds_told[bound] = (now, 0)
        self._log.warning(BOUND_HIT, bound=bound, runbook=_BOUNDS_RUNBOOK, **_suppressed(times))

    def output_found(self, model: str, version: int | None, signature: str, finding: OutputFinding) -> None:
        """What is wrong with an answer that was looked at; the client has it already."""
        self._tell(
            OUTPUT_SUSPECT,
            finding.kind.value,
            (model, signature),
            lambda: {
                "kind": finding.kind.value,
                "model": _cut(model),
                "version": version,
                "signature": _cut(signature),
                "text": finding.text,
            },
        )

    def observer_failed(self, observer: object, error: Exception) -> None:
        """Observation itself failed; `error` tells where."""
        suppressed = self._limit.admit(OBSERVER_FAILED, type(observer).__name__)
        if suppressed is not None:
            self._log.error(
                OBSERVER_FAILED,
                observer=type(observer).__name__,
                exc_info=error,
                **_suppressed(suppressed),
            )

    def close(self) -> None:
        """Tell what was left out and never told."""
        for event, reason, lines in self._limit.left_out():
            self._log.warning(LINES_SUPPRESSED, of=event, reason=reason, suppressed=lines)

    # === events: what upstream/ tells its listener ===

    def upstream_changed(self, up: bool) -> None:
        """The connection to the server came up or went down."""
        if up:
            self._log.info(UPSTREAM_UP)
        else:
            self._log.warning(UPSTREAM_DOWN)

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None:
        """The versions of a model or their states changed."""
        errors = [_cut(status.error_message, 1000) for status in versions if status.error_message]
        log = self._log.warning if errors else self._log.info
        states = {str(status.version): status.state for status in versions[:50]}
        log(
            MODEL_VERSIONS_CHANGED,
            model=_cut(model),
            versions=states,
            **({"errors": errors[:5]} if errors else {}),
        )

    def signature_drifted(self, drift: Drift) -> None:
        """A model has moved to another version; what that changes for its clients."""
        log = self._log.warning if drift.kind is DriftKind.BREAKING else self._log.info
        log(
            SIGNATURE_DRIFT,
            model=_cut(drift.model),
            kind=drift.kind.value,
            old_version=drift.old_version,
            new_version=drift.new_version,
            differences=[str(difference) for difference in drift.differences[:_DIFFERENCES]],
        )

    def signature_fetched(self, key: ModelKey, result: str, seconds: float) -> None:
        """A question for signatures that could not be answered."""
        if result in {"ok", "absent"}:
            return
        self._tell(
            SIGNATURE_FETCH_FAILED,
            result,
            (),
            lambda: {"servable": _cut(str(key)), "result": str(result), "seconds": round(seconds, 3)},
        )


def _kind(outcome: Outcome) -> Kind:
    return (outcome.method if outcome.method in KNOWN_METHODS else OTHER, outcome.model or OTHER)


def _call(outcome: Outcome) -> dict[str, str | int | None]:
    key = outcome.request.key if outcome.request is not None else None
    return {
        "method": _cut(outcome.method),
        "code": code_name(outcome.code),
        "model": _cut(outcome.model or (key.model if key is not None else "")),
        "version": outcome.version,
        "signature": _cut(
            outcome.signature or (outcome.request.signature if outcome.request is not None else "")
        ),
        "peer": outcome.peer,
        **({"identity": outcome.identity} if outcome.identity else {}),
        "request_id": outcome.request_id,
        "user_agent": outcome.user_agent,
    }


def _phrase(violation: Violation) -> str:
    return f"{violation.where}: expected {violation.expected}, got {violation.got}"


def _cut(name: str, length: int = _NAME_LENGTH) -> str:
    return name if len(name) <= length else name[: max(0, length - 1)] + "…"[:length]


def _suppressed(lines: int) -> dict[str, int]:
    return {"suppressed": lines} if lines else {}
