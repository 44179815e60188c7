"""When a peak is over, and that what it needed is given back then and not while it lasts.

That the process gives it back, whatever needed it, is `tests/load/test_peaks.py`'s to show.
"""

from proxy.edge.interface import Usage
from proxy.memory import Peaks

MB = 1 << 20
REST = Usage(0, 100, 0, 1 << 30, 0)


def held(octets, calls=0, connections=0):
    return Usage(connections, 100, octets, 1 << 30, calls)


def looks(peaks, resident, usage, times):
    """What is said in so many seconds."""
    return [peaks.over(resident, usage) for _ in range(times)]


def test_a_peak_that_lasts_is_left_alone():
    peaks = Peaks(70 * MB)
    assert not any(looks(peaks, 300 * MB, held(230 * MB, 200), 600))


def test_once_it_is_over_memory_goes_back_and_not_again():
    peaks = Peaks(70 * MB)
    looks(peaks, 300 * MB, held(200 * MB, 200), 5)
    said = looks(peaks, 300 * MB, REST, 10)
    assert said.index(True) > 1  # whoever only pauses is not taken for over
    peaks.given_back(75 * MB)
    assert not any(looks(peaks, 75 * MB, REST, 600))


def test_what_does_not_go_back_is_not_asked_for_for_ever():
    peaks = Peaks(70 * MB)
    assert peaks.over(300 * MB, REST)
    peaks.given_back(300 * MB)
    assert not any(looks(peaks, 300 * MB, REST, 600))
    assert any(looks(peaks, 330 * MB, REST, 10))


def test_what_many_small_peaks_leave_goes_back_once_a_minute_whatever_is_under_way():
    peaks = Peaks(70 * MB)
    assert peaks.over(300 * MB, REST)
    peaks.given_back(70 * MB)
    said = looks(peaks, 80 * MB, held(4 * MB, 10, 100), 70)
    assert said.index(True) == 59
    peaks.given_back(76 * MB)
    assert not any(looks(peaks, 78 * MB, held(5 * MB, 10, 100), 600))


def test_what_was_held_when_some_went_back_goes_back_later():
    peaks = Peaks(70 * MB)
    few = held(10 * MB, 100, 1000)
    looks(peaks, 300 * MB, few, 4)
    peaks.given_back(110 * MB)
    assert not any(looks(peaks, 110 * MB, few, 600))
    assert any(looks(peaks, 110 * MB, REST, 10))


def test_load_that_comes_and_goes_is_not_made_to_ask_the_system_each_time():
    peaks = Peaks(70 * MB)
    for second in range(50):
        assert not peaks.over(300 * MB, held(200 * MB) if second % 3 == 0 else REST)


def test_it_pauses_between_two_times():
    peaks = Peaks(70 * MB)
    assert peaks.over(300 * MB, REST)
    peaks.given_back(70 * MB)
    assert looks(peaks, 300 * MB, REST, 5) == [False] * 4 + [True]


def test_an_edge_that_cannot_tell_its_connections_has_none():
    assert Peaks(70 * MB).over(300 * MB, held(0, connections=-1))
