"""A message is put together from any pieces, and takes room for what has come of it."""

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.admission import UNLIMITED, Limits
from proxy.edge.load import Load
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.request_message import RequestMessage
from proxy.edge.native.rpc import Messages
from proxy.gate import PREDICT
from tests.conftest import interpreted_only

pytestmark = interpreted_only


class Head:
    method = PREDICT
    encodings = (b"gzip",)


class Kept:
    """As much of a server side as keeps what came."""

    def __init__(self):
        self.kept = []
        self.size = 0


def begin(most=UNLIMITED):
    load = Load(Limits(max_inflight_bytes=most))
    ledger = Ledger(load)
    ledger.enter(load.joined("192.0.2.1"), local=False)
    kept = Kept()
    return RequestMessage(Head(), kept, ledger), kept, ledger


def framed(message, flag=0):
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def cut(octets, cuts):
    borders = [0, *sorted(min(each, len(octets)) for each in cuts), len(octets)]
    return [octets[a:b] for a, b in itertools.pairwise(borders)]


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2010), max_size=6), st.binary(max_size=20))
def test_it_is_the_same_however_it_was_cut(octets, cuts, behind):
    message, kept, ledger = begin()
    for piece in cut(framed(octets) + behind, cuts):
        if message.is_whole:
            break
        assert message.take([memoryview(piece)] if piece else [], len(piece), ended=False) is None
    received = Messages()
    assert message.is_whole
    assert message.end(received)
    assert bytes(message.plain().octets) == octets
    assert received.count >= 1
    assert ledger.held == len(octets)
    assert b"".join(kept.kept).startswith(framed(octets))


def test_what_cannot_fit_is_refused_at_its_first_octets():
    message, _, ledger = begin(most=1000)
    assert message.take([framed(bytes(5000))[:10]], 10, ended=False) is not None
    assert ledger.held == 0


def test_it_takes_room_for_what_came_and_not_for_what_it_announces():
    message, _, ledger = begin()
    assert message.take([framed(bytes(5000))[:105]], 105, ended=False) is None
    assert ledger.held == 100
    assert not message.is_whole


@pytest.mark.parametrize("octets", [b"", b"\0\0", framed(b"hello")[:-1]])
def test_what_ends_too_soon_is_not_whole(octets):
    message, _, _ = begin()
    assert message.take([octets] if octets else [], len(octets), ended=True) is None
    assert not message.end(Messages())


def test_one_that_is_compressed_has_no_plain_text_until_it_is_inflated():
    octets = framed(gzip.compress(b"hello"), flag=1)
    message, _, _ = begin()
    message.take([octets[:7], octets[7:]], len(octets), ended=True)
    assert message.plain() is None
    assert message.compressed(UNLIMITED).plain_at_once() == b"hello"


def test_one_that_was_put_together_replaces_what_it_came_in():
    octets = framed(bytes(range(100)) * 30)
    message, kept, _ = begin()
    for piece in cut(octets, [1000, 2000]):
        message.take([piece], len(piece), ended=False)
    plain = message.plain().octets
    message.joined(plain)
    assert len(kept.kept) == 3
    whole = bytes(plain)
    message.joined(plain)
    assert kept.kept[1] is whole
    assert b"".join(kept.kept) == octets
