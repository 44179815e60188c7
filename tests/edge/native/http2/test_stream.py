"""What waits in a stream costs about as much as it holds."""

from collections import deque

import pytest

from proxy.edge.native.http2.stream import keep, keep_all


def test_octets_that_come_one_by_one_are_kept_together():
    queue = deque()
    for _ in range(20_000):
        keep(queue, b"x")
    assert len(queue) == 2
    assert sum(map(len, queue)) == 20_000


def test_a_long_view_is_kept_as_it_is():
    piece = memoryview(bytearray(100_000))[:60_000]
    queue = []
    keep(queue, piece)
    assert queue[0] is piece


def test_a_short_view_does_not_keep_a_large_chunk_alive():
    queue = []
    keep(queue, memoryview(bytes(250_000))[:2000])
    assert type(queue[0]) is bytes


def test_what_came_together_is_kept_as_it_is_where_it_is_long_enough():
    chunk = bytearray(250_000)
    pieces = [memoryview(chunk)[start : start + 16_384] for start in range(0, 65_536, 16_384)]
    queue = deque()
    keep_all(queue, pieces, 65_536)
    assert all(kept is piece for kept, piece in zip(queue, pieces, strict=True))


def test_a_little_of_a_large_chunk_is_copied_together():
    chunk = bytes(250_000)
    queue = []
    keep_all(queue, [memoryview(chunk)[start : start + 400] for start in range(0, 4000, 400)], 4000)
    assert [type(each) for each in queue] == [bytearray]
    assert len(queue[0]) == 4000


@pytest.mark.parametrize("size", [2000, 16_384, 65_536, 500_000])
def test_what_waits_of_a_chunk_that_nobody_reads_into_again_keeps_alive_what_it_counts(size):
    """A client whose every read holds a little that waits must not have all of it held for that."""
    queue = []
    for _ in range(10):
        chunk = memoryview(bytes(1 << 20))
        keep_all(queue, [chunk[start : start + 16_384] for start in range(0, size, 16_384)], size)
    alive = {id(getattr(each, "obj", each)): getattr(each, "obj", each) for each in queue}
    assert sum(map(len, alive.values())) <= 1.25 * sum(map(len, queue))
