"""Numbers, times and names as a terminal shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.top_figures import BARS, duration, sparkline


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
