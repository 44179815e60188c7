"""The last hour in pictures, as a table, and in a few numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from proxy.observe.admin.pages import hour

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STEP = 15


def point(minutes_ago: float, **more):
    """One that ends so long before noon."""
    counts = dict.fromkeys(("requests", "refused", "would_refuse", "warnings", "errors"), 0)
    times = dict.fromkeys(("p50", "p99", "upstream_p99", "own_p99"))
    return {"time": (NOON - timedelta(minutes=minutes_ago)).isoformat(), **counts, **times, **more}


def history(*points):
    return {"until": NOON.isoformat(), "step_seconds": STEP, "points": list(points)}


@pytest.mark.parametrize(
    ("first", "minutes"), [(None, 5), (1, 5), (5, 5), (6, 15), (16, 30), (31, 60), (60, 60), (90, 60)]
)
def test_where_there_is_little_yet_the_pictures_show_less(first, minutes):
    points = [] if first is None else [point(first), point(0)]
    assert hour.shown_minutes(history(*points)) == minutes
    assert minutes in hour.LENGTHS


def test_each_picture_is_there_with_and_without_anything_to_show():
    for points in ([], [point(0.5, requests=30, p50=0.001, p99=0.002), point(0)]):
        keys = [picture.key for picture in hour.pictures(history(*points), 5)]
        assert keys == ["requests", "refusals", "latency", "share"]


def test_a_row_adds_what_is_counted_and_has_the_highest_of_the_times_newest_first():
    first, second = hour.table(
        history(
            point(9.75, requests=1, p99=0.5),
            point(6, requests=2, refused=1, p99=0.25),
            point(1, requests=4, p50=0.001),
        )
    )
    assert (first["time"], first["requests"], first["p50"], first["p99"]) == ("11:55", 4, 0.001, None)
    assert (second["time"], second["requests"], second["refused"], second["p99"]) == ("11:50", 3, 1, 0.5)


def test_a_point_belongs_to_the_minutes_in_which_it_began():
    (row,) = hour.table(history(point(5, requests=1)))
    assert row["time"] == "11:50"


def test_the_last_five_minutes_are_rates_a_share_and_usual_times():
    points = [
        point(9, requests=1000),
        *(point(n / 4, requests=15, refused=3, p50=n) for n in range(20, 0, -1)),
    ]
    found = hour.recent(points, STEP)
    assert (found["requests"], found["rate"], found["share"]) == (300, "1", "20 %")
    assert found["p50"] == 11
    assert found["own_p99"] is None


def test_of_nothing_there_is_no_share():
    found = hour.recent([], STEP)
    assert (found["requests"], found["rate"], found["share"], found["p50"]) == (0, "0", "", None)
