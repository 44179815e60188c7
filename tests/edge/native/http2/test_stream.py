"""What waits in a stream costs about as much as it holds."""

from collections import deque

from proxy.edge.native.http2.stream import keep


def test_octets_that_come_one_by_one_are_kept_together():
    queue = deque()
    for _ in range(20_000):
        keep(queue, b"x")
    assert len(queue) == 2
    assert sum(map(len, queue)) == 20_000


def test_a_long_view_is_kept_as_it_is():
    piece = memoryview(bytes(100_000))[:60_000]
    queue = []
    keep(queue, piece)
    assert queue[0] is piece


def test_a_short_view_does_not_keep_a_large_chunk_alive():
    queue = []
    keep(queue, memoryview(bytes(250_000))[:2000])
    assert type(queue[0]) is bytes
