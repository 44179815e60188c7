"""The rules of admission, apart from any edge."""

import pytest

from proxy.core.reasons import Code, Reason
from proxy.edge.admission import (
    expired,
    forbidden,
    local_too_large,
    never_fits,
    stalled,
    time_allowed,
    too_large,
    too_large_a_share,
    too_many_bytes,
    too_many_calls,
    too_many_local_calls,
    turned_away,
)
from proxy.wire.status import status_of


@pytest.mark.parametrize(
    ("remaining", "default", "allowed"), [(None, None, None), (None, 5, 5), (2, 5, 2), (7, 5, 7)]
)
def test_the_client_s_deadline_comes_before_the_default(remaining, default, allowed):
    assert time_allowed(remaining, default) == allowed


@pytest.mark.parametrize(
    ("verdict", "code", "hint"),
    [
        (forbidden("/a.B/C", Reason.METHOD_FORBIDDEN), Code.PERMISSION_DENIED, "--allow-admin-methods"),
        (forbidden("/a.B/C", Reason.PROFILER_FORBIDDEN), Code.PERMISSION_DENIED, "PROFILER_FORBIDDEN=off"),
        (expired(), Code.DEADLINE_EXCEEDED, "more time"),
        (too_large(2, 1), Code.RESOURCE_EXHAUSTED, "--max-message-bytes"),
        (never_fits(2, 1), Code.RESOURCE_EXHAUSTED, "--max-inflight-bytes"),
        (too_many_bytes(2, 0, 1), Code.RESOURCE_EXHAUSTED, "--max-inflight-bytes"),
        (too_large_a_share(2, 1, 1, 4), Code.RESOURCE_EXHAUSTED, "--max-inflight-bytes"),
        (turned_away(10.0), Code.RESOURCE_EXHAUSTED, "--max-inflight-bytes"),
        (too_many_calls(0), Code.RESOURCE_EXHAUSTED, "--max-concurrent-calls"),
        (too_many_local_calls(8, "on a connection"), Code.RESOURCE_EXHAUSTED, "close those"),
        (local_too_large(65536), Code.RESOURCE_EXHAUSTED, "no more"),
        (stalled(5, 10.0, 1024), Code.DEADLINE_EXCEEDED, "--stall-seconds"),
    ],
)
def test_every_refusal_says_how_to_mend_it(verdict, code, hint):
    status = status_of(verdict)
    assert status.code == code
    assert hint in status.text
