"""What `top` shows, from answers that are made up: narrow and wide, long names, nothing and much."""

import pytest
from rich.cells import cell_len

from proxy.cli.top_cursor import Cursor
from proxy.cli.top_screen import overview, screen
from tests.cli.top_answers import MODEL, NOW, answers, problem, shown


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


def test_a_name_steers_no_terminal():
    found = answers([problem(1, model="\x1b[2Jevil\n", field="a\x07")], [MODEL | {"name": "\x1b]0;evil\x07"}])
    for cursor in (Cursor(), Cursor(selected=f"{1:012x}", opened=True)):
        assert not set(shown(found, cursor, 160, 40)) & {"\x1b", "\x07"}


def test_printed_once_there_are_all_problems():
    lines = [line.plain for line in overview(answers([problem(n) for n in range(50)]), Cursor(), NOW, 120)]
    assert sum("RANK_MISMATCH" in line for line in lines) == 50
