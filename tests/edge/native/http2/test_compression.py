"""Header blocks that repeat are decoded once, and only for as long as that is right."""

import logging

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import FieldDecoder, encode_field, encode_fields
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.fields import REQUEST, TRAILERS
from proxy.edge.native.http2.limits import Limits

FIELDS = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m"), (b"x", b"y"))


@pytest.fixture
def decoder():
    return FieldDecoder(Limits())


def test_a_block_that_inserts_nothing_is_decoded_once(decoder):
    encoder = Encoder()
    decoder.decode(encoder.encode(FIELDS), REQUEST)
    indexed = encoder.encode(FIELDS)
    block = decoder.decode(indexed, REQUEST)
    assert block.fields == FIELDS
    assert decoder.known[REQUEST] == {indexed: block}


def test_an_insertion_forgets_what_was_decoded(decoder):
    encoder = Encoder()
    decoder.decode(encoder.encode(FIELDS), REQUEST)
    decoder.decode(encoder.encode(FIELDS), REQUEST)
    decoder.decode(encoder.encode(((b"new", b"field"),)), TRAILERS)
    assert decoder.known == ({}, {}, {})


def test_a_new_table_size_forgets_what_was_decoded(decoder):
    decoder.decode(encode_fields(FIELDS), REQUEST)
    assert decoder.known[REQUEST]
    decoder.decode(b"\x20", TRAILERS)
    assert decoder.known[REQUEST] == {}


def test_a_malformed_block_is_not_kept(decoder):
    assert decoder.decode(encode_fields(((b"Upper", b"x"),)), TRAILERS).fault
    assert decoder.known[TRAILERS] == {}


def test_what_is_kept_is_bounded(decoder):
    for number in range(1000):
        decoder.decode(encode_fields(((b"x", b"%d" % number),)), TRAILERS)
    assert len(decoder.known[TRAILERS]) <= 64


def test_a_section_larger_than_announced_is_marked_and_a_huge_one_ends_the_connection():
    decoder = FieldDecoder(Limits(header_list_size=1000))
    assert not decoder.decode(encode_fields(((b"x", b"v" * 900),)), TRAILERS).oversized
    assert decoder.decode(encode_fields(((b"x", b"v" * 1000),)), TRAILERS).oversized
    with pytest.raises(PeerFault) as caught:
        decoder.decode(encode_fields(((b"x", b"v" * 4000),)), TRAILERS)
    assert caught.value.code == frames.ENHANCE_YOUR_CALM


def test_a_small_block_that_unfolds_to_a_huge_section_ends_the_connection(decoder):
    bomb = Encoder().encode(((b"x", b"v" * 4000),)) + b"\xbe" * 1000
    with pytest.raises(PeerFault) as caught:
        decoder.decode(bomb, TRAILERS)
    assert caught.value.code == frames.ENHANCE_YOUR_CALM


def test_encoding_leaves_the_peer_s_table_alone():
    peer = Decoder()
    for _ in range(2):
        assert tuple((bytes(k), bytes(v)) for k, v in peer.decode(encode_fields(FIELDS), raw=True)) == FIELDS
    assert len(peer.header_table.dynamic_entries) == 0


@pytest.mark.parametrize(
    "field",
    [(b"authorization", b"Bearer x"), (b"cookie", b"a=b"), NeverIndexedHeaderTuple(b"x-token", b"secret")],
)
def test_what_must_never_be_indexed_is_passed_on_as_such(field):
    (decoded,) = Decoder().decode(encode_field(field), raw=True)
    assert isinstance(decoded, NeverIndexedHeaderTuple)


def test_a_plain_field_may_be_indexed_even_after_a_sensitive_one_of_the_same_text():
    encode_field(NeverIndexedHeaderTuple(b"x-once", b"v"))
    (decoded,) = Decoder().decode(encode_field((b"x-once", b"v")), raw=True)
    assert not isinstance(decoded, NeverIndexedHeaderTuple)


def test_the_library_is_kept_from_logging_fields(caplog):
    logging.getLogger().setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        encode_fields(((b"authorization", b"Bearer secret"),))
        Decoder().decode(Encoder().encode(((b"authorization", b"secret"),)))
    assert "secret" not in caplog.text


names = st.from_regex(rb"\A[a-z][a-z0-9-]{0,20}\Z")
values = st.binary(max_size=60).filter(lambda v: not set(v) & {0, 10, 13})
sections = st.lists(st.lists(st.tuples(names, values), max_size=8), max_size=12)


@given(sections, st.lists(st.booleans(), max_size=12))
def test_decoding_agrees_with_the_library_however_blocks_repeat(sections, again):
    """Every section is sent, some of them twice: the kept block and the fresh one say the same."""
    encoder, decoder, plain = Encoder(), FieldDecoder(Limits()), Decoder()
    for number, section in enumerate(sections):
        for _ in range(3 if number < len(again) and again[number] else 1):
            octets = encoder.encode(section)
            block = decoder.known[TRAILERS].get(octets) or decoder.decode(octets, TRAILERS)
            assert block.fields == tuple(plain.decode(octets, raw=True))


@pytest.mark.parametrize("block", [b"\x7f" + b"\xff" * 12, b"\x7f\xff", b"\x82\x3f" + b"\xff" * 12])
def test_what_is_said_of_a_number_that_cannot_be_read_shows_no_place_in_memory(decoder, block):
    with pytest.raises(PeerFault, match=r"header block: [A-Z]") as told:
        decoder.decode(block, REQUEST)
    assert "0x" not in str(told.value)
    assert "<" not in str(told.value)
