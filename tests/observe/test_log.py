import io
import json
import logging
import os
import pty
import re
import termios

import pytest
import structlog

from proxy.core.availability import VersionStatus
from proxy.core.drift import Change, Difference, Drift
from proxy.core.outputs import OutputFinding, OutputKind
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView
from proxy.core.verdict import Verdict, Violation
from proxy.observe.log import CallLog, configure
from proxy.observe.outcome import Outcome
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stream():
    """Where the log goes, set up as `serve` does; put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    configure("json", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def violation(reason: Reason = Reason.DTYPE_MISMATCH) -> Violation:
    return Violation(reason, 'inputs["x"].dtype', "input 'x'", "float32", "int32", "cast it")


def refused(reason: Reason = Reason.DTYPE_MISMATCH, **fields) -> Outcome:
    told = {
        "code": 3,
        "peer": "127.0.0.1:5000",
        "request_id": "r-1",
        "user_agent": "grpc-go/1.80",
        "model": "m",
        "version": 2,
        "signature": "serving_default",
        "refusal": Verdict((violation(reason), violation(Reason.RANK_MISMATCH))),
        "text": "2 problems: …",
    }
    return ended(PREDICT, **{**told, **fields})


def test_a_refusal_is_one_line_that_says_who_what_and_why(stream):
    CallLog().call_ended(refused())
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request_refused",
        "level": "warning",
        "reason": "DTYPE_MISMATCH",
        "reasons": ["DTYPE_MISMATCH", "RANK_MISMATCH"],
        "method": PREDICT,
        "code": "InvalidArgument",
        "model": "m",
        "version": 2,
        "signature": "serving_default",
        "peer": "127.0.0.1:5000",
        "request_id": "r-1",
        "user_agent": "grpc-go/1.80",
        "text": "2 problems: …",
    }


def test_a_success_is_silent_unless_an_access_log_is_asked_for(stream):
    success = ended(PREDICT, seconds=0.25, upstream_seconds=0.2, request_bytes=9, response_bytes=5, model="m")
    CallLog().call_ended(success)
    assert lines(stream) == []
    CallLog(access_log=True).call_ended(success)
    (line,) = lines(stream)
    assert (line["event"], line["code"], line["seconds"], line["upstream_seconds"]) == (
        "call",
        "OK",
        0.25,
        0.2,
    )


def test_a_flood_of_one_reason_is_cut_to_so_many_lines_a_second_and_counted(stream):
    clock = Clock()
    log = CallLog(per_second=3, clock=clock)
    for _ in range(1000):
        log.call_ended(refused())
    assert len(lines(stream)) == 3
    log.call_ended(refused(Reason.SHAPE_MISMATCH))
    assert lines(stream)[-1]["reason"] == "SHAPE_MISMATCH"
    clock.now += 1.0
    log.call_ended(refused())
    assert len(lines(stream)) == 5
    assert lines(stream)[-1]["suppressed"] == 997


def levels(stream: io.StringIO) -> list[str]:
    return [line["level"] for line in lines(stream)]


@pytest.mark.parametrize(
    "fields",
    [
        {"refusal": Verdict((violation(),))},
        {"would_refuse": (violation(),)},
        {"warnings": (violation(),)},
        {"diagnosis": Reason.UPSTREAM_RESET},
        {"judge_failed": True},
    ],
    ids=str,
)
def test_what_a_client_repeats_is_a_warning_once_a_minute(stream, fields):
    clock = Clock()
    log = CallLog(clock=clock)
    for _ in range(61):
        log.call_ended(ended(PREDICT, model="m", **fields))
        clock.now += 1
    assert levels(stream) == ["warning", *["info"] * 59, "warning"]


def test_another_model_method_or_reason_is_news(stream):
    log = CallLog()
    log.call_ended(refused())
    log.call_ended(refused(model="other"))
    log.call_ended(refused(Reason.SHAPE_MISMATCH))
    log.call_ended(ended(f"{PREDICT.rpartition('/')[0]}/Classify", refusal=Verdict((violation(),))))
    assert levels(stream) == ["warning"] * 4


def test_names_that_clients_invent_are_no_news(stream):
    clock = Clock()
    log = CallLog(per_second=10_000, clock=clock)
    for number in range(1000):
        log.call_ended(refused(model=None, request=RequestView(ModelKey(f"m{number}"))))
        log.call_ended(ended(f"/a.B/C{number}", refusal=Verdict((violation(),))))
    assert levels(stream).count("warning") == 2


def unknown(method: str) -> Outcome:
    return ended(method, code=12, diagnosis=Reason.UPSTREAM_METHOD_UNKNOWN)


def test_a_method_that_the_server_does_not_have_is_told_once(stream):
    clock = Clock()
    log = CallLog(clock=clock)
    for method in ("/AWS.ALB/healthcheck", "/other.Health/Probe") * 100:
        log.call_ended(unknown(method))
        clock.now += 5
    assert [line["method"] for line in lines(stream)] == ["/AWS.ALB/healthcheck", "/other.Health/Probe"]


def test_so_many_methods_are_told_and_no_more(stream):
    clock = Clock()
    log = CallLog(per_second=10_000, clock=clock)
    for number in range(1000):
        log.call_ended(unknown(f"/a.B/C{number}"))
    assert len(lines(stream)) == 100


def test_what_was_left_out_is_told_at_the_end_and_only_once(stream):
    log = CallLog(per_second=1, clock=Clock())
    for _ in range(5):
        log.call_ended(refused())
    log.close()
    log.close()
    (_, last) = lines(stream)
    assert (last["event"], last["of"], last["reason"], last["suppressed"]) == (
        "lines_suppressed",
        "request_refused",
        "DTYPE_MISMATCH",
        4,
    )


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({"warnings": (violation(),)}, "request_warned"),
        ({"would_refuse": (violation(),)}, "request_would_be_refused"),
    ],
)
def test_warnings_and_what_would_be_refused_have_their_own_limited_lines(stream, fields, event):
    log = CallLog(per_second=2, clock=Clock())
    for _ in range(10):
        log.call_ended(ended(PREDICT, model="m", **fields))
    assert [line["event"] for line in lines(stream)] == [event] * 2
    assert lines(stream)[0]["text"] == "input 'x': expected float32, got int32"


def test_a_failed_judgement_is_told(stream):
    CallLog().call_ended(ended(PREDICT, judge_failed=True))
    assert lines(stream)[0]["event"] == "judge_failed"


def test_an_unconfirmed_model_is_told_as_the_client_named_it_but_not_at_any_length(stream):
    CallLog().call_ended(refused(model=None, request=RequestView(ModelKey("m" * 10_000))))
    assert len(lines(stream)[0]["model"]) == 200


def test_a_name_with_a_line_break_stays_on_one_line(stream):
    CallLog().call_ended(refused(model='x"\n{"event": "forged"}'))
    assert len(lines(stream)) == 1


def test_the_upstream_models_and_drift_are_told(stream):
    log = CallLog()
    log.upstream_changed(False)
    log.upstream_changed(True)
    log.versions_changed("m", (VersionStatus(2, "END", 11, "Read less bytes"), VersionStatus(1, "AVAILABLE")))
    log.signature_drifted(Drift("m", 1, 2, (Difference("s", Change.INPUT_REMOVED, True, "input 'x'"),)))
    log.signature_fetched(ModelKey("m"), "ok", 0.1)
    log.signature_fetched(ModelKey("m"), "unavailable", 2.0)
    told = lines(stream)
    assert [(line["event"], line["level"]) for line in told] == [
        ("upstream_down", "warning"),
        ("upstream_up", "info"),
        ("model_versions_changed", "warning"),
        ("signature_drift", "warning"),
        ("signature_fetch_failed", "warning"),
    ]
    assert told[2]["versions"] == {"2": "END", "1": "AVAILABLE"}
    assert told[2]["errors"] == ["Read less bytes"]
    assert told[3]["differences"] == ["s input 'x': input removed"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_never_shows_local_variables(stream, log_format):
    written = io.StringIO()
    configure(log_format, stream=written)

    def fail():
        password = "s3cret"  # noqa: F841
        raise RuntimeError("broken")

    try:
        fail()
    except RuntimeError as error:
        CallLog().observer_failed(object(), error)
        logging.getLogger("aiohttp.server").exception("in another library")
    assert written.getvalue().count("broken") >= 2
    assert "s3cret" not in written.getvalue().replace('password = "s3cret"', "")


STEERING = {
    "ansi": "\x1b[2J\x1b[31mred",
    "osc": "\x1b]0;title\x07",
    "c1 csi": "\x9b31mred",
    "newline": "a\nb",
    "return": "good\rbad",
    "next line": "a\x85b",
    "line separator": "a\u2028b\u2029c",
    "vertical tab": "a\x0b\x0cb",
    "backspace": "bad\x08\x08\x08good",
    "delete": "a\x7fb",
    "bidi override": "a\u202eb\u2066c",
    "zero width": "a\u200bb\ufeffc",
    "tag": "a\U000e0041",
    "lone surrogate": "a\udc9bb",
    "nul": "a\0b",
}


def told_with(written: io.StringIO, name: str) -> str:
    """Every way in which a text from outside gets into the log, each with `name` in it."""
    log = CallLog(access_log=True)
    log.call_ended(
        ended(
            f"/{name}/Predict",
            code=3,
            peer=name,
            model=name,
            signature=name,
            refusal=Verdict((violation(),)),
            text=f"1 problem: {name}",
        )
    )
    other = Violation(Reason.INPUT_UNKNOWN, name, f"input {name}", name, name, name)
    log.call_ended(ended(PREDICT, model=name, warnings=(other,), would_refuse=(other,)))
    log.upstream_out_of_reach("UPSTREAM_UNREACHABLE", name)
    log.versions_changed(name, (VersionStatus(1, name, 2, name),))
    log.signature_drifted(Drift(name, 1, 2, (Difference(name, Change.INPUT_REMOVED, True, name),)))
    log.signature_fetched(ModelKey(name), name, 0.1)
    log.output_found(name, 1, name, OutputFinding(OutputKind.NOT_FINITE, name))
    structlog.get_logger("tfs-proxy").info(name, value=name, nested={name: [name, (name,)]}, other=Odd(name))
    logging.getLogger(name).warning("said %s", name)
    try:
        # Not an AttributeError: Python 3.13.0 looks for names like it, and fails at a lone surrogate.
        fail(name)
    except LookupError as error:
        log.observer_failed(object(), error)
        logging.getLogger("aiohttp.server").exception("failed with %s", name)
    return written.getvalue()


def fail(name: str) -> None:
    raise LookupError(f"absent {name}")


class Odd:
    """A value whose text is not under our control."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


@pytest.mark.parametrize("name", STEERING.values(), ids=STEERING)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_from_outside_can_steer_a_terminal_or_begin_a_line(stream, log_format, name):
    written = io.StringIO()
    configure(log_format, "debug", stream=written)
    lines = told_with(written, name).split("\n")
    assert all(line.isprintable() for line in lines)
    # A line begins with our own words, or is one of a traceback and indented.
    begins = ('{"timestamp": ', "2") if log_format == "json" else ("2", "    ")
    assert all(line.startswith(begins) for line in lines if line)
    assert len([line for line in lines if line and not line.startswith(" ")]) == 14


PROBLEM = "input 'x': expected float32, got int32; cast with dtype=np.float32."
TEXT = f"{PROBLEM} Model 'm' version 2 accepts serving_default(x: float32[?]) -> y"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "refused"),
        ({"refusal": None, "warnings": (violation(), violation(Reason.RANK_MISMATCH))}, "warned about"),
        ({"refusal": None, "would_refuse": (violation(), violation(Reason.RANK_MISMATCH))}, "would refuse"),
    ],
)
def test_a_request_is_told_to_people_by_model_reasons_and_problem(stream, fields, word):
    written = io.StringIO()
    configure("console", stream=written)
    CallLog().call_ended(refused(text=TEXT, **fields))
    (line,) = written.getvalue().splitlines()
    time, _, told = line.partition(" ")
    assert time.startswith("20")
    problem = PROBLEM if word == "refused" else "input 'x': expected float32, got int32"
    assert told.startswith(f"{word} m DTYPE_MISMATCH,RANK_MISMATCH: {problem}")
    assert "accepts" not in line


@pytest.mark.parametrize("columns", [1, 30, 60, 80, 120, 300])
def test_on_a_terminal_a_refusal_is_one_line_of_it(stream, columns):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        configure("console", stream=terminal)
        CallLog().call_ended(refused(text=TEXT))
        shown = re.sub(r"\x1b\[\d*m", "", screen.read(4096).decode()).rstrip("\r\n")
    whole = f"HH:MM:SS refused m DTYPE_MISMATCH,RANK_MISMATCH: {PROBLEM}"
    assert "\n" not in shown
    assert len(shown) <= max(columns, len("HH:MM:SS refused "))
    assert (shown[9:] == whole[9:]) == (len(whole) <= columns)


def test_colours_are_the_only_escapes_on_a_terminal(stream):
    terminal = Terminal()
    configure("console", stream=terminal)
    written = told_with(terminal, "\x1b[31mevil")
    assert "\x1b[" in written
    assert "\x1b[31mevil" not in written
    assert r"\x1b[31mevil" in written


def test_a_word_is_shown_as_it_is_and_a_text_in_quotes(stream):
    written = io.StringIO()
    configure("console", stream=written)
    structlog.get_logger("tfs-proxy").info("seen", word="modèle_1", text="two words", number=3)
    assert written.getvalue().rstrip().endswith("number=3 text='two words' word=modèle_1")


def test_lines_of_other_libraries_have_the_same_form(stream):
    logging.getLogger("grpc").warning("channel %s", "closed")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("channel closed", "warning")
    assert line["timestamp"].endswith("Z")


def test_the_level_is_respected(stream):
    written = io.StringIO()
    configure("json", level="error", stream=written)
    CallLog().call_ended(refused())
    assert written.getvalue() == ""


def test_auto_is_readable_on_a_terminal_and_json_elsewhere(stream):
    terminal = Terminal()
    configure("auto", stream=terminal)
    CallLog().upstream_changed(True)
    assert "upstream_up" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    pipe = io.StringIO()
    configure("auto", stream=pipe)
    CallLog().upstream_changed(True)
    assert json.loads(pipe.getvalue())["event"] == "upstream_up"


def test_suspect_outputs_are_a_warning_with_the_version_and_only_so_many_of_a_kind(stream):
    log = CallLog(per_second=2, clock=Clock())
    for kind in (OutputKind.NOT_FINITE,) * 5 + (OutputKind.IDENTICAL,):
        log.output_found("m", 3, "serving_default", OutputFinding(kind, "NaN in output 'y'"))
    told = lines(stream)
    assert [line["kind"] for line in told] == ["not_finite", "not_finite", "identical"]
    assert told[0].pop("timestamp")
    assert told[0] == {
        "level": "warning",
        "event": "output_suspect",
        "kind": "not_finite",
        "model": "m",
        "version": 3,
        "signature": "serving_default",
        "text": "NaN in output 'y'",
    }


def test_a_bound_that_is_hit_is_told_once_and_then_once_a_minute(stream):
    clock = Clock()
    log = CallLog(clock=clock)
    for _ in range(100):
        log.bound_hit("connections")
    log.bound_hit("stalled")
    clock.now += 61
    log.bound_hit("connections")
    told = [(line["event"], line["bound"], line.get("suppressed")) for line in lines(stream)]
    assert told == [
        ("bound_hit", "connections", None),
        ("bound_hit", "stalled", None),
        ("bound_hit", "connections", 99),
    ]


def test_fields_of_the_process_are_on_every_line_of_other_libraries_too(stream):
    configure("json", stream=stream, fields={"worker": 3})
    structlog.get_logger("tfs-proxy").info("one", worker=4)
    logging.getLogger("another").warning("two")
    assert [(line["event"], line["worker"]) for line in lines(stream)] == [("one", 4), ("two", 3)]
