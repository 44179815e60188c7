"""The rules of admission, apart from any edge."""

import pytest

from proxy.core.reasons import Code, Reason
from proxy.edge.admission import Limits, Load, expired, forbidden, time_allowed
from proxy.wire.status import status_of


def test_without_limits_everything_is_taken_in():
    load = Load(Limits())
    assert load.enter() is None
    assert load.take(10**12) is None


def test_what_is_given_back_can_be_taken_again():
    load = Load(Limits(max_inflight_bytes=10))
    assert load.take(6) is None
    assert load.take(5).violations[0].reason is Reason.OVERLOADED
    load.give_back(6)
    assert load.take(10) is None
    assert load.bytes == 10


def test_a_call_beyond_the_limit_is_turned_away_and_may_retry():
    load = Load(Limits(max_concurrent_calls=1))
    assert load.enter() is None
    full = load.enter()
    assert full.status_code is Code.RESOURCE_EXHAUSTED
    assert full.retry_seconds > 0
    load.leave()
    assert load.calls == 0
    assert load.enter() is None


def test_a_message_of_exactly_the_limit_passes():
    load = Load(Limits(max_message_bytes=10))
    assert load.take(10) is None
    assert load.take(11).violations[0].reason is Reason.MESSAGE_TOO_LARGE


@pytest.mark.parametrize(
    ("remaining", "default", "allowed"), [(None, None, None), (None, 5, 5), (2, 5, 2), (7, 5, 7)]
)
def test_the_client_s_deadline_comes_before_the_default(remaining, default, allowed):
    assert time_allowed(remaining, default) == allowed


@pytest.mark.parametrize(
    ("verdict", "code", "hint"),
    [
        (forbidden("/a.B/C"), Code.PERMISSION_DENIED, "--allow-admin-methods"),
        (expired(), Code.DEADLINE_EXCEEDED, "more time"),
        (Load(Limits(max_message_bytes=1)).take(2), Code.RESOURCE_EXHAUSTED, "--max-message-bytes"),
        (Load(Limits(max_inflight_bytes=1)).take(2), Code.RESOURCE_EXHAUSTED, "--max-inflight-bytes"),
        (Load(Limits(max_concurrent_calls=0)).enter(), Code.RESOURCE_EXHAUSTED, "--max-concurrent-calls"),
    ],
)
def test_every_refusal_says_how_to_mend_it(verdict, code, hint):
    status = status_of(verdict)
    assert status.code == code
    assert hint in status.text
