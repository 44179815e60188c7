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
