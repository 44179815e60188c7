import re
from datetime import UTC, datetime, timedelta

import pytest

from proxy.observe.admin.pages.charts import (
    PER_MINUTE,
    PER_SECOND,
    SECONDS,
    Line,
    bars,
    curves,
    duration,
    number,
    span_of,
    sparkline,
)

END = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def span(*ages: float):
    points = [{"time": (END - timedelta(minutes=age)).isoformat()} for age in ages]
    return span_of({"until": END.isoformat(), "points": points}, 60)


def test_a_curve_goes_from_left_to_right_and_up_with_the_value():
    chart = curves("k", "Requests", span(60, 30, 0), [Line("all", "first", [0, 5, 10])], PER_SECOND)
    assert chart.series[0].path == "M0.0 100.0L500.0 50.0L1000.0 0.0"
    assert chart.series[0].newest == "10"
    assert [tick.label for tick in chart.up] == ["0", "2.5", "5", "7.5", "10"]
    assert [tick.label for tick in chart.across] == ["11:00", "11:15", "11:30", "11:45", "12:00"]


def test_what_is_not_known_is_a_gap_and_not_a_zero():
    chart = curves("k", "Latency", span(60, 40, 20, 0), [Line("p99", "first", [1, None, 1, 1])], SECONDS)
    assert chart.series[0].path.count("M") == 2
    assert re.match(r"M0\.0 [\d.]+h-8M", chart.series[0].path), "one alone is a dash"
    assert "100.0" not in chart.series[0].path.replace("1000.0", "")


def test_what_lies_before_the_left_edge_is_not_drawn():
    chart = curves("k", "Requests", span(90, 30), [Line("all", "first", [1, 1])], PER_SECOND)
    assert chart.series[0].path.startswith("M500.0 ")


def test_bars_stand_upon_one_another():
    lines = [Line("refused", "a", [3]), Line("warnings", "b", [1])]
    chart = bars("k", "Wrong", span(30), lines, PER_MINUTE, 1 / 60)
    (low, high), (foot, top) = [
        re.match(r"M500\.0 ([\d.]+)V([\d.]+)H", line.path).groups() for line in chart.series
    ]
    assert (low, high, top) == ("100.0", foot, "0.0")


def test_a_picture_says_in_words_what_it_shows():
    lines = [Line("p50", "first", [0.002, None, 0.004]), Line("p99", "second", [None] * 3)]
    chart = curves("k", "Latency", span(60, 30, 0), lines, SECONDS)
    assert chart.told == "Latency, time, from 11:00 to 12:00 UTC: p50 between 2 ms and 4 ms, p99 none."
    assert not chart.empty


@pytest.mark.parametrize("values", [[], [None]])
def test_a_picture_of_nothing_says_so(values):
    assert curves("k", "Latency", span(*[1] * len(values)), [Line("p50", "a", values)], SECONDS).empty


@pytest.mark.parametrize("most", [0.0004, 0.003, 0.7, 1, 3, 7, 24, 99, 101, 1234, 5e7])
def test_an_axis_has_round_steps_and_room_for_everything(most):
    chart = curves("k", "K", span(30), [Line("all", "a", [most])], PER_SECOND)
    assert 3 <= len(chart.up) <= 6
    height = float(re.match(r"M\S+ ([\d.-]+)", chart.series[0].path)[1])
    assert 0 <= height <= 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (0.00045, "450 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (120, "120 s"),
        (0.9996, "1000 ms"),
        (3600, "3600 s"),
    ],
)
def test_a_duration_is_told_in_its_unit(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.14159, "3.14"),
        (999, "999"),
        (999.7, "1000"),
        (1500, "1.5k"),
        (2e6, "2M"),
        (999_900, "1000k"),
    ],
)
def test_a_number_is_told_in_three_digits(value, text):
    assert number(value) == text


def test_the_smallest_count_of_a_sparkline_can_still_be_seen():
    heights = [float(each) for each in re.findall(r"16V([\d.]+)h", sparkline([1, 0, 1000]))]
    assert heights == [14.5, 1.0]
    assert sparkline([0, 0]) == sparkline([]) == ""
