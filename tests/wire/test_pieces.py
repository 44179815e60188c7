"""A message in pieces shows the octets of the whole."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.pieces import Pieces


@st.composite
def cut_messages(draw) -> tuple[bytes, Pieces]:
    """A message, and the same in pieces with something before it and behind it."""
    before, message, behind = (draw(st.binary(max_size=size)) for size in (5, 40, 5))
    octets = before + message + behind
    cuts = draw(st.sets(st.integers(len(before), len(octets)), max_size=6))
    ends = [0, *sorted(cuts | {len(octets)} - {0})]
    pieces = [memoryview(octets)[first:last] for first, last in pairwise(ends)] or [b""]
    return message, Pieces(pieces, len(before), len(message))


@given(cut_messages(), st.integers(0, 50), st.integers(0, 50))
def test_a_part_is_the_part_of_the_whole(cut, first, last):
    message, pieces = cut
    assert pieces.between(first, last) == message[first:last]


@given(cut_messages(), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8))
def test_parts_may_be_asked_for_in_any_order(cut, parts):
    message, pieces = cut
    assert [pieces.between(*part) for part in parts] == [message[first:last] for first, last in parts]


class Counted(list[bytes]):
    """Pieces that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, number):
        self.looks += 1
        return super().__getitem__(number)

    def __iter__(self):
        for piece in super().__iter__():
            self.looks += 1
            yield piece


def test_who_looks_further_and_further_on_does_not_begin_at_the_first_piece_each_time():
    counted = Counted([bytes(100)] * 1000)
    pieces = Pieces(counted, 5, 99_990)
    for start in range(0, 99_000, 50):
        assert pieces.between(start, start + 60) == bytes(60)
    assert counted.looks < 10_000


def test_a_part_that_ends_before_it_begins_is_empty():
    assert Pieces([bytes(30), bytes(100)], 0, 130).between(50, 10) == b""


def test_behind_the_message_there_is_nothing_whatever_lies_there():
    assert Pieces([b"ab", bytes(100)], 0, 2).between(50, 60) == b""


@given(cut_messages())
def test_it_has_the_length_and_the_octets_of_the_whole(cut):
    message, pieces = cut
    assert len(pieces) == len(message)
    assert bytes(pieces) == message


@given(cut_messages(), st.data())
def test_it_starts_with_what_the_whole_starts_with(cut, data):
    message, pieces = cut
    start = data.draw(st.integers(0, len(message)))
    prefix = data.draw(st.one_of(st.binary(max_size=3), st.just(message[start : start + 3])))
    assert pieces.startswith(prefix, start) == message.startswith(prefix, start)
