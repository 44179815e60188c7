"""Memory to read into is used again, and never while somebody looks at it."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.native.slabs import MOST, SIZE, Slabs


def read(slabs, mark, count):
    """Read `count` octets, or as many as there is room for."""
    room = slabs.room()
    count = min(count, len(room))
    room[:count] = bytes([mark]) * count
    del room
    return slabs.taken(count)


def test_memory_that_nobody_looks_at_is_used_again():
    slabs = Slabs()
    for number in range(1000):
        read(slabs, number % 256, SIZE)
    assert len(slabs.room()) == SIZE
    assert len(slabs._slabs) == 1


def test_a_slab_is_filled_before_the_next_is_begun():
    slabs = Slabs()
    held = [read(slabs, number, SIZE // 5) for number in range(4)]
    assert len(slabs._slabs) == 1
    held.append(read(slabs, 5, SIZE))
    assert [len(seen) for seen in held] == [SIZE // 5] * 4 + [SIZE]
    assert len(slabs._slabs) == 2


def test_what_is_short_is_copied_and_keeps_no_slab():
    slabs = Slabs()
    held = [read(slabs, number, 1000) for number in range(100)]
    assert all(type(seen) is bytes for seen in held)
    assert len(slabs.room()) == SIZE


def test_however_much_is_looked_at_the_memory_is_bounded_and_what_was_read_stays():
    slabs = Slabs()
    held = [(number % 256, read(slabs, number % 256, SIZE)) for number in range(2 * MOST)]
    assert len(slabs._slabs) == MOST
    assert [type(seen) is bytes for _, seen in held] == [False] * MOST + [True] * MOST
    assert all(seen == bytes([mark]) * SIZE for mark, seen in held)


def test_views_are_given_again_once_a_slab_is_free():
    slabs = Slabs()
    held = [read(slabs, 1, SIZE) for _ in range(MOST + 1)]
    assert type(read(slabs, 1, SIZE)) is bytes
    del held[3]
    assert type(read(slabs, 1, SIZE)) is memoryview


def test_after_a_peak_only_what_is_looked_at_is_kept():
    slabs = Slabs()
    held = [read(slabs, number, SIZE) for number in range(2 * MOST)]
    del held[5:]
    slabs.let_go()
    assert len(slabs._slabs) <= 6
    assert slabs.in_use == 5
    assert all(bytes(seen) == bytes([number]) * SIZE for number, seen in enumerate(held))
    held.clear()
    slabs.let_go()
    assert len(slabs._slabs) == 1
    assert type(read(slabs, 1, SIZE)) is memoryview


@given(st.lists(st.tuples(st.integers(1, SIZE), st.integers(0, 5), st.booleans()), max_size=60))
def test_no_octet_changes_while_it_is_looked_at(reads):
    slabs = Slabs()
    held = []
    for number, (count, over, calm) in enumerate(reads):
        held.append((number, read(slabs, number, count)))
        del held[:over]
        if calm:
            slabs.let_go()
    assert all(bytes(seen) == bytes([mark]) * len(seen) for mark, seen in held)
