"""Only what reads and reckons; nothing here is timed."""

import pytest

from tests.bench.load import latency_of, parse_log, parse_open_loop, parse_summary

REPORT = """\
starting benchmark...
finished in 1.30s, 41661.00 req/s, 2.08MB/s
requests: 41661 total, 41663 started, 41661 done, {succeeded} succeeded, {failed} failed, {errored} errored, 0 timeout
status codes: {ok} 2xx, 0 3xx, {refused} 4xx, 0 5xx
traffic: 2.08MB (2179488) total, 137.31KB (140610) headers (space savings 96.28%), 820.37KB (840060) data
"""


def test_a_report_without_losses_gives_the_rate_and_the_successes():
    report = REPORT.format(succeeded=41661, failed=0, errored=0, ok=41661, refused=0)
    assert parse_summary(report) == (41661.0, 41661, 0)


def test_failed_errored_and_refused_requests_are_all_lost():
    report = REPORT.format(succeeded=41600, failed=3, errored=50, ok=41600, refused=8)
    assert parse_summary(report).lost == 61


def test_a_text_that_is_no_report_is_not_taken_for_one():
    with pytest.raises(ValueError, match="not a report"):
        parse_summary("spawning thread #0: 8 total client(s)\n")


def test_the_log_gives_seconds_from_its_third_column():
    assert parse_log(["1795367118407581\t200\t724\n", "1795367118407624\t200\t5000000\n"]) == [0.000724, 5.0]


def test_median_and_percentiles_are_times_that_were_measured():
    assert latency_of([number / 1000 for number in range(2000, 0, -1)]) == (1.0, 1.98, 1.998)
    assert latency_of([0.5]) == (0.5, 0.5, 0.5)


def test_no_times_have_no_median():
    with pytest.raises(ValueError, match="no call"):
        latency_of([])


def test_open_loop_latency_counts_from_when_calls_were_due_and_tells_how_late_they_were_sent():
    # The third call was sent 9 ms late and answered 1 ms after that: it has taken ten.
    found = parse_open_loop(["1000 10\n", "2000 20\n", "10000 9000\n"])
    assert found.latency == (0.002, 0.01, 0.01)
    assert found.late == 0.009
    assert found.calls == 3


def test_an_open_loop_without_calls_is_no_measurement():
    with pytest.raises(ValueError, match="no call"):
        parse_open_loop([])
