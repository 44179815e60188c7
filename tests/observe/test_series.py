from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.series import OTHER, Histogram, Limits, Vocabulary


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def vocabulary(clock=None, **limits) -> Vocabulary:
    return Vocabulary(Limits(**limits), clock or Clock(), retain=600)


def test_a_bound_is_inclusive_and_what_is_above_all_lands_in_the_last_count():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 14.0


BOUNDS = (0.5, 1.0, 2.0, 100.0)


@given(st.lists(st.sampled_from(BOUNDS) | st.floats(allow_nan=False) | st.integers(0, 200)))
def test_each_value_counts_in_its_own_bucket_whatever_came_before_it(values):
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    buckets = [bisect_left(BOUNDS, value) for value in values]
    assert histogram.counts == [buckets.count(number) for number in range(len(BOUNDS) + 1)]


def test_an_unconfirmed_model_takes_its_signature_and_version_with_it():
    assert vocabulary().fold(None, "serving_default", 3) == (OTHER, OTHER, OTHER)


def test_confirmed_names_are_labels_and_empty_ones_are_not():
    words = vocabulary()
    assert words.fold("m", "serving_default", 3) == ("m", "serving_default", "3")
    assert words.fold("m", "", None) == ("m", OTHER, OTHER)


def test_beyond_a_limit_names_fold_and_known_ones_stay():
    words = vocabulary(models=1, signatures=1, versions=1)
    assert words.fold("m", "a", 1) == ("m", "a", "1")
    assert words.fold("m", "b", 2) == ("m", OTHER, OTHER)
    assert words.fold("n", "a", 1) == (OTHER, OTHER, OTHER)
    assert words.fold("m", "a", 1) == ("m", "a", "1")


def test_an_unloaded_version_expires_after_its_time_and_makes_room():
    clock = Clock()
    words = vocabulary(clock, versions=1)
    words.fold("m", "a", 1)
    words.retain("m", {"2"})
    clock.now = 599.0
    assert words.expired() == []
    clock.now = 600.0
    assert words.expired() == [("m", "1")]
    assert words.fold("m", "a", 2) == ("m", "a", "2")


def test_a_version_loaded_again_in_time_does_not_expire():
    clock = Clock()
    words = vocabulary(clock)
    words.fold("m", "a", 1)
    words.retain("m", set())
    words.retain("m", {"1"})
    clock.now = 10_000.0
    assert words.expired() == []


def test_a_model_without_loaded_versions_is_still_a_label():
    clock = Clock()
    words = vocabulary(clock)
    words.fold("m", "a", 1)
    words.retain("m", set())
    clock.now = 600.0
    assert words.expired() == [("m", "1")]
    assert words.models() == ("m",)


def test_a_model_that_is_gone_makes_room_for_another():
    clock = Clock()
    words = vocabulary(clock, models=1)
    words.fold("m", "a", 1)
    words.retain("m", None)
    clock.now = 600.0
    assert set(words.expired()) == {("m", "1"), ("m", None)}
    assert words.admit("n")
