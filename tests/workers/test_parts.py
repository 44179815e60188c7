"""Limits hold for all workers together."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.capture.files import Turn
from proxy.config import Settings
from proxy.config.settings import ModelSettings
from proxy.edge.descriptors import MOST_CONNECTIONS
from proxy.workers.parts import part_of, share

WORKERS = st.integers(2, 256)


@given(limit=st.integers(0, 1 << 63), of=WORKERS)
def test_the_parts_are_equal_and_together_the_whole(limit, of):
    parts = [share(limit, Turn(which, of)) for which in range(of)]
    assert max(parts) - min(parts) <= 1
    assert min(parts) >= 1
    if limit >= of:
        assert sum(parts) == limit


def test_a_worker_has_its_part_of_every_limit_and_all_else_as_it_is():
    settings = Settings(
        workers=2,
        max_inflight_bytes=1001,
        max_concurrent_calls=7,
        max_connections=9,
        client_rate=5,
        max_model_calls=3,
        models={"m": ModelSettings(max_calls=5), "free": ModelSettings(max_calls=-1), "n": ModelSettings()},
        client_burst=3,
        mode="observe",
        listen="h:1",
    )
    first, second = (part_of(settings, Turn(which, 2)) for which in range(2))
    assert (first.max_inflight_bytes, second.max_inflight_bytes) == (501, 500)
    assert (first.max_concurrent_calls, second.max_concurrent_calls) == (4, 3)
    assert (first.max_connections, second.max_connections) == (5, 4)
    assert (first.max_model_calls, second.max_model_calls) == (2, 1)
    assert [each.models["m"].max_calls for each in (first, second)] == [3, 2]
    assert (first.models["free"].max_calls, first.models["n"].max_calls) == (-1, None)
    assert (first.client_rate, second.client_rate) == (2.5, 2.5)
    assert (first.client_burst, second.client_burst) == (2, 1)
    assert first.capture_max_bytes + second.capture_max_bytes == settings.capture_max_bytes
    assert (first.workers, first.mode, first.listen) == (1, "observe", "h:1")


def test_no_limit_is_none_for_each_but_connections_of_which_there_is_a_most():
    settings = Settings(workers=4, max_inflight_bytes=-1)
    parts = [part_of(settings, Turn(which, 4)) for which in range(4)]
    assert {(each.max_inflight_bytes, each.max_concurrent_calls) for each in parts} == {(-1, -1)}
    assert 0 < sum(each.max_connections for each in parts) <= MOST_CONNECTIONS
