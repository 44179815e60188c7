"""When an entry may be used, must be asked for again, or is not to be had."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.availability import Absence, VersionStatus
from proxy.core.freshness import (
    Decision,
    Entry,
    Event,
    Limits,
    confirms,
    decide,
    may_outdate,
    moved,
    quiet_after_failure,
)
from proxy.core.types import ModelKey, Servable

NOW = 1000.0
LIMITS = Limits(refresh_after=30, absent_for=1, failure_for=1, recheck_interval=1)
SERVABLE = Servable("m", 1, {})
ABSENT = Absence(ModelKey("m"))


def admit(entry):
    return decide(entry, NOW, Event.ADMIT, LIMITS)


def refuse(entry, arrived=NOW):
    return decide(entry, NOW, Event.REFUSE, LIMITS, arrived)


def test_what_was_never_asked_must_be_waited_for():
    assert admit(None) is Decision.WAIT
    assert refuse(None) is Decision.WAIT


@pytest.mark.parametrize(
    ("age", "decision"),
    [(0, Decision.USE), (29.9, Decision.USE), (30, Decision.REFRESH), (9999, Decision.REFRESH)],
)
def test_a_servable_is_used_and_from_thirty_seconds_on_refreshed_in_the_background(age, decision):
    assert admit(Entry(SERVABLE, asked_at=NOW - age)) is decision


@pytest.mark.parametrize(("age", "decision"), [(0, Decision.USE), (0.9, Decision.USE), (1, Decision.WAIT)])
def test_an_absence_stands_for_a_second(age, decision):
    assert admit(Entry(ABSENT, asked_at=NOW - age)) is decision


@pytest.mark.parametrize("found", [SERVABLE, ABSENT])
@pytest.mark.parametrize("event", Event)
def test_an_outdated_entry_is_used_for_nothing(found, event):
    entry = Entry(found, asked_at=NOW, outdated=True, rechecked_at=NOW)
    assert decide(entry, NOW, event, LIMITS, NOW - 1) is Decision.WAIT


def test_nothing_is_asked_again_while_a_failure_is_remembered():
    assert admit(Entry(quiet_until=NOW + 0.1)) is Decision.UNKNOWN
    assert admit(Entry(quiet_until=NOW)) is Decision.WAIT


def test_an_old_servable_is_used_without_asking_while_asking_fails():
    assert admit(Entry(SERVABLE, asked_at=NOW - 99, quiet_until=NOW + 1)) is Decision.USE


def test_an_expired_absence_is_unknown_while_asking_fails():
    assert admit(Entry(ABSENT, asked_at=NOW - 99, quiet_until=NOW + 1)) is Decision.UNKNOWN


@pytest.mark.parametrize("found", [SERVABLE, ABSENT])
@pytest.mark.parametrize("age", [0, 0.3, 5])
def test_a_refusal_needs_a_recheck_whatever_the_age_of_the_entry(found, age):
    assert refuse(Entry(found, asked_at=NOW - age)) is Decision.WAIT


@pytest.mark.parametrize(("ago", "decision"), [(0.9, Decision.USE), (1, Decision.WAIT)])
def test_a_recheck_stands_for_a_second(ago, decision):
    assert refuse(Entry(SERVABLE, asked_at=NOW - ago, rechecked_at=NOW - ago)) is decision


def test_an_entry_asked_for_after_the_request_arrived_needs_no_recheck():
    entry = Entry(SERVABLE, asked_at=NOW - 0.5)
    assert refuse(entry, arrived=NOW - 0.6) is Decision.USE
    assert refuse(entry, arrived=NOW - 0.5) is Decision.WAIT


def test_a_refusal_that_cannot_be_rechecked_is_not_confirmed():
    assert refuse(Entry(SERVABLE, asked_at=NOW - 5, quiet_until=NOW + 1)) is Decision.UNKNOWN


def test_an_answer_outdates_a_servable_once_a_second_and_nothing_else():
    assert may_outdate(Entry(SERVABLE, asked_at=NOW), NOW, LIMITS)
    assert not may_outdate(Entry(ABSENT, asked_at=NOW), NOW, LIMITS)
    entry = Entry(SERVABLE, asked_at=NOW, observed_at=NOW)
    assert not may_outdate(entry, NOW + 0.9, LIMITS)
    assert may_outdate(entry, NOW + 1, LIMITS)


@pytest.mark.parametrize(("took", "quiet"), [(0, 1), (0.5, 1), (5, 5)])
def test_a_failure_is_remembered_as_long_as_it_took_and_at_least_a_second(took, quiet):
    assert quiet_after_failure(NOW, took, LIMITS) == NOW + quiet


times = st.floats(NOW - 100, NOW) | st.just(-inf)
entries = st.builds(
    Entry,
    found=st.sampled_from([None, SERVABLE, ABSENT]),
    asked_at=times,
    outdated=st.booleans(),
    rechecked_at=times,
    quiet_until=times | st.floats(NOW, NOW + 10),
    observed_at=times,
)


@given(entry=entries, arrived=st.floats(NOW - 10, NOW))
def test_a_refusal_never_rests_on_more_than_a_second_of_staleness(entry, arrived):
    if decide(entry, NOW, Event.REFUSE, LIMITS, arrived) is Decision.USE:
        assert entry.found is not None
        assert not entry.outdated
        assert entry.asked_at > arrived or NOW - entry.rechecked_at < 1


@given(entry=entries, event=st.sampled_from(Event), arrived=times)
def test_what_is_used_is_there(entry, event, arrived):
    decision = decide(entry, NOW, event, LIMITS, arrived)
    if decision in {Decision.USE, Decision.REFRESH}:
        assert entry.found is not None


@given(entry=entries, event=st.sampled_from(Event), arrived=times)
def test_while_a_failure_is_remembered_nobody_asks(entry, event, arrived):
    entry = replace(entry, quiet_until=NOW + 1)
    assert decide(entry, NOW, event, LIMITS, arrived) in {Decision.USE, Decision.UNKNOWN}


@given(asked_at=times, rechecked_at=times, arrived=times)
def test_a_fresher_question_confirms_whatever_an_older_one_does(asked_at, rechecked_at, arrived):
    if confirms(asked_at, rechecked_at, NOW, LIMITS, arrived):
        assert confirms(NOW, max(rechecked_at, asked_at), NOW, LIMITS, arrived)


# what the versions say


def available(*numbers: int) -> tuple[VersionStatus, ...]:
    return tuple(VersionStatus(number, "AVAILABLE") for number in numbers)


@pytest.mark.parametrize(
    ("key", "versions", "expected"),
    [
        (ModelKey("m"), available(1), False),
        (ModelKey("m"), available(1, 2), True),
        (ModelKey("m"), (*available(1), VersionStatus(2, "LOADING")), False),
        (ModelKey("m"), (VersionStatus(1, "END"),), True),
        (ModelKey("m"), (), True),
        (ModelKey("m", version=1), available(1, 2), False),
        (ModelKey("m", version=1), available(2), True),
        (ModelKey("m", label="stable"), available(1, 2), False),
    ],
)
def test_versions_contradict_a_servable_that_they_would_not_resolve_to(key, versions, expected):
    assert moved(key, Servable("m", 1, {}), versions) is expected


def test_versions_contradict_an_absence_once_they_are_others():
    key = ModelKey("m")
    loading = (VersionStatus(1, "LOADING"),)
    assert not moved(key, Absence(key, loading), loading)
    assert moved(key, Absence(key, loading), available(1))
