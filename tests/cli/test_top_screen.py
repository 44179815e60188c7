"""What `top` shows, from answers that are made up: narrow and wide, long names, nothing and much."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from proxy.cli.top_screen import BARS, Answers, Cursor, duration, overview, screen, sparkline

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
AGO = (NOW - timedelta(minutes=3)).isoformat()
COUNTS = {"requests": 10, "refused": 2, "would_refuse": 0, "warnings": 0, "errors": 1}
TIMES = {
    "p50": 0.0004,
    "p99": 0.02,
    "upstream_p50": 0.0003,
    "upstream_p99": 1.5,
    "own_p50": None,
    "own_p99": None,
}


def problem(number: int, **fields) -> dict:
    return {
        "id": f"{number:012x}",
        "kind": "refusal",
        "model": "detector",
        "reason": "RANK_MISMATCH",
        "field": f'inputs["x{number}"]',
        "signature": "serving_default",
        "version": 3,
        "code": "INVALID_ARGUMENT",
        "count": 100 - number,
        "first_seen": AGO,
        "last_seen": AGO,
        "sparkline": [0] * 59 + [100 - number],
        "expected": "rank 2 [?,3]",
        "got": "rank 1 [3]",
        "hint": "",
        "remedy": "Send the rank of the signature.",
        "runbook": "docs/runbook.md#rank_mismatch",
        "senders": [
            {
                "peer": "ipv4:192.0.2.1",
                "identity": "team-a",
                "user_agent": "grpc-go",
                "count": 5,
                "last_seen": AGO,
            }
        ],
        "more_senders": 4,
        "examples": [
            {
                "time": AGO,
                "peer": "ipv4:192.0.2.1:1",
                "request_id": "abc-1",
                "inputs": {"x": "float32[3]"},
                "text": "what the client was told " * 20,
            }
        ],
        **fields,
    }


def answers(problems=(), models=(), points=1, rates=None, **status) -> Answers:
    return Answers(
        {
            "version": "1.2.3",
            "state": "ready",
            "started": AGO,
            "listen": "127.0.0.1:8600",
            "edge": "native",
            "hot_path": "compiled",
            "upstreams": [{"address": "tfs:8500", "state": "up", "since": AGO, "detail": ""}],
            "checks": [],
            "bounds": [{"name": "inflight_bytes", "used": 1 << 29, "limit": 1 << 30}],
            "in_flight": 2,
            "counts": COUNTS,
            "capture": {"on": False, "paused": False},
            **status,
        },
        {"step_seconds": 15, "points": [{**COUNTS, **TIMES}] * points},
        {"total": len(problems), "problems": list(problems)},
        list(models),
        rates or {},
    )


MODEL = {
    "name": "detector",
    "versions": [
        {"version": 2, "state": "AVAILABLE", "error": ""},
        {"version": 3, "state": "END", "error": "Read less bytes"},
    ],
    "latency": {"p50": 0.002, "p99": 0.25},
    "drifts": [{"to_version": 2, "affected": [{}, {}]}],
}


def shown(
    found: Answers, cursor: Cursor | None = None, width: int = 80, height: int = 24, trouble: str = ""
) -> str:
    return screen(found, cursor or Cursor(), trouble, NOW, width, height).plain


def test_at_a_glance_are_state_server_rates_bounds_problems_and_models():
    text = shown(answers([problem(1)], [MODEL], rates={"requests": 12.34, "refused": 0.5}))
    for words in (
        "tfs-proxy 1.2.3  ready  up for 3m",
        "tfs:8500  up for 3m",
        "12.3/s",
        "0.5/s",
        "p50 400 µs p99 20 ms",
        "p50 300 µs p99 1.5 s",
        "calls under way 2  inflight bytes 512 MiB/1 GiB",
        "PROBLEMS 1",
        "MODELS 1",
        "2 AVAILABLE, 3 END",
        "p50 2 ms p99 250 ms",
    ):
        assert words in text
    assert "would refuse" not in text
    assert "Read less bytes" in shown(answers(models=[MODEL]), width=120)
    assert "changed with version 2, 2 clients affected" in shown(answers(models=[MODEL]), width=160)


def test_a_wide_terminal_shows_who_sends_most_of_a_problem():
    wide, narrow = (screen(answers([problem(1)]), Cursor(), "", NOW, width, 30).plain for width in (200, 120))
    assert "sent by" in wide
    assert "team-a grpc-go and 4 more" in wide
    assert "sent by" not in narrow


def test_just_below_a_larger_unit_there_is_no_exponent():
    text = shown(answers(bounds=[{"name": "inflight_bytes", "used": (1 << 20) - 1, "limit": (1 << 30) - 1}]))
    assert "inflight bytes 1024 KiB/1024 MiB" in text


def test_without_a_poll_before_the_rate_is_that_of_the_last_step():
    assert "0.7/s" in shown(answers())
    assert "calls         0.0/s" in shown(answers(points=0))


def test_what_is_not_as_it_should_be_is_said():
    text = shown(
        answers(
            state="not ready",
            checks=[{"name": "model/m", "ok": False, "detail": "version 1 LOADING"}],
            upstreams=[{"address": "tfs:8500", "state": "down", "since": None, "detail": "refused"}],
            capture={"on": True, "paused": True},
        ),
        trouble="no answer from http://127.0.0.1:8601: Connection refused",
    )
    assert text.startswith("no answer from")
    for words in (
        "not ready",
        "tfs:8500  down  refused",
        "model/m: version 1 LOADING",
        "capture paused",
        "nothing is wrong",
    ):
        assert words in text


def test_before_the_first_answer_there_is_only_the_trouble():
    assert screen(None, Cursor(), "asking the proxy", NOW, 80, 24).plain == "asking the proxy\nq quit"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 12), (200, 60), (80, 15)])
def test_whatever_there_is_fills_the_terminal_and_no_more(width, height):
    much = answers(
        [problem(n, model="m" * 90, field="é世" * 60) for n in range(50)],
        [MODEL | {"name": "n" * 99}] * 20,
        points=240,
    )
    for cursor in (Cursor(), Cursor(selected=f"{7:012x}", opened=True), Cursor(model="absent")):
        lines = shown(much, cursor, width, height).split("\n")
        assert len(lines) == height
        assert max(map(cell_len, lines)) <= width
        assert lines[-1].startswith("q quit"[:width])


def test_the_selected_problem_is_always_on_the_screen():
    found, cursor = answers([problem(n) for n in range(50)]), Cursor()
    for number in range(50):
        assert f'"x{number}"' in shown(found, cursor, 120, 20), number
        cursor.press("down", found)
    cursor.press("up", found)
    assert cursor.selected == f"{48:012x}"


def test_a_selection_stays_with_its_problem_when_others_come():
    cursor = Cursor()
    cursor.press("down", answers([problem(1), problem(2)]))
    assert cursor.selected == f"{2:012x}"
    cursor.press("enter", answers([problem(0), problem(1), problem(2)]))
    assert 'inputs["x2"]' in shown(answers([problem(0), problem(1), problem(2)]), cursor)


def test_one_that_is_forgotten_while_it_is_open_closes():
    cursor = Cursor(selected="gone", opened=True)
    assert "PROBLEMS 1" in shown(answers([problem(1)]), cursor)
    assert not cursor.opened


def test_an_open_problem_is_told_in_full_and_scrolls():
    found, cursor = answers([problem(1)]), Cursor()
    cursor.press("enter", found)
    text = shown(found, cursor, 80, 50)
    for words in (
        "first 3m ago",
        "rank 2 [?,3]",
        "rank 1 [3]",
        "Send the rank",
        "team-a",
        "grpc-go",
        "… 4 more",
        "abc-1",
        "x: float32[3]",
    ):
        assert words in text
    cursor.press("down", found)
    assert "RANK_MISMATCH" not in shown(found, cursor, 80, 12)
    for _ in range(99):
        cursor.press("j", found)
    assert "told" in shown(found, cursor, 80, 12)
    cursor.press("escape", found)
    assert "PROBLEMS 1" in shown(found, cursor)


def test_filters_go_through_what_there_is_and_back_to_all():
    found, cursor = (
        answers([problem(1, model="a"), problem(2, model="b"), problem(3, reason="DTYPE_MISMATCH")]),
        Cursor(),
    )
    seen = []
    for _ in range(4):
        cursor.press("m", found)
        seen.append(cursor.model)
    assert seen == ["a", "b", "detector", ""]
    cursor.press("r", found)
    assert "PROBLEMS 1 of 3  (reason DTYPE_MISMATCH)" in shown(found, cursor)
    cursor.press("m", found)
    assert "nothing is wrong" in shown(found, cursor)
    for key in ("enter", "down", "up", "x"):
        cursor.press(key, found)
    cursor.press("escape", found)
    assert (cursor.model, cursor.reason, cursor.opened) == ("", "", False)


def test_a_name_steers_no_terminal():
    found = answers([problem(1, model="\x1b[2Jevil\n", field="a\x07")], [MODEL | {"name": "\x1b]0;evil\x07"}])
    for cursor in (Cursor(), Cursor(selected=f"{1:012x}", opened=True)):
        assert not set(shown(found, cursor, 160, 40)) & {"\x1b", "\x07"}


def test_printed_once_there_are_all_problems():
    lines = [line.plain for line in overview(answers([problem(n) for n in range(50)]), Cursor(), NOW, 120)]
    assert sum("RANK_MISMATCH" in line for line in lines) == 50


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([], 5, ""),
        ([0, 0], 5, "▁▁"),
        ([0, 1, 7], 5, "▁▂█"),
        ([1] * 10, 5, "█" * 5),
        ([0, 9, 0, 0, 0], 3, "▁█▁"),
        ([0.001, 0.0005], 5, "█▅"),
    ],
)
def test_a_sparkline_is_as_high_as_its_highest_value(values, width, bars):
    assert sparkline(values, width) == bars


@given(st.lists(st.floats(0, 1e9) | st.integers(0, 1 << 60), max_size=300), st.integers(1, 200))
def test_a_sparkline_fits_and_shows_the_highest(values, width):
    bars = sparkline(values, width)
    assert len(bars) <= width
    assert set(bars) <= set(BARS)
    assert (BARS[-1] in bars) == (max(values, default=0) > 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00004, "40 µs"),
        (0.0012, "1.2 ms"),
        (0.25, "250 ms"),
        (0.9997, "1000 ms"),
        (1.5, "1.5 s"),
        (60.0, "60 s"),
        (3600.0, "3600 s"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds, text):
    assert duration(seconds) == text
