"""gRPC over HTTP/2, the pure part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.native import rpc
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.fields import HeaderBlock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"4m", 0.004), (b"5u", 5e-6), (b"6n", 6e-9), (b"0S", 0)],
)
def test_timeouts_are_read_in_every_unit(text, seconds):
    assert rpc.parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [None, b"", b"1", b"S", b"123456789S", b"-1S", b"1s", b"1.5S"])
def test_what_is_no_timeout_is_none(text):
    assert rpc.parse_timeout(text) is None


@given(st.floats(1e-6, 1e8))
def test_a_timeout_passes_on_at_least_what_is_left(seconds):
    written = rpc.format_timeout(seconds)
    assert len(written) <= 9
    assert seconds <= rpc.parse_timeout(written) <= seconds * 1.01 + 1e-3 or seconds > 99_999_998


@given(st.text(max_size=100))
def test_a_status_text_survives_percent_encoding(text):
    from urllib.parse import unquote_to_bytes

    encoded = rpc.encode_message(text)
    assert unquote_to_bytes(encoded).decode() == text
    assert all(0x20 <= octet < 0x7F for octet in encoded)


def messages(sizes):
    return b"".join(b"\0" + size.to_bytes(4, "big") + bytes(size) for size in sizes)


@given(st.lists(st.integers(0, 40), max_size=8), st.lists(st.integers(1, 20), min_size=1, max_size=30))
def test_messages_are_counted_however_they_are_cut(sizes, cuts):
    octets = messages(sizes)
    counter = rpc.Messages()
    largest = 0
    turn = 0
    while octets:
        cut = cuts[turn % len(cuts)]
        turn += 1
        largest = max(largest, counter.feed([octets[:cut]], len(octets[:cut])))
        octets = octets[cut:]
    assert (counter.count, counter.octets, largest) == (len(sizes), sum(sizes), max(sizes, default=0))


@pytest.mark.parametrize(
    ("reset", "status"),
    [
        (frames.REFUSED_STREAM, rpc.UNAVAILABLE),
        (frames.CANCEL, rpc.CANCELLED),
        (frames.ENHANCE_YOUR_CALM, rpc.RESOURCE_EXHAUSTED),
        (frames.INADEQUATE_SECURITY, rpc.PERMISSION_DENIED),
        (frames.PROTOCOL_ERROR, rpc.INTERNAL),
        (frames.CONNECTION_LOST, rpc.UNAVAILABLE),
    ],
)
def test_resets_become_the_status_that_grpc_maps_them_to(reset, status):
    assert rpc.status_of_reset(reset) == status


def test_a_request_head_names_the_next_hop_and_keeps_the_rest():
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/s/m"),
        (b":authority", b"proxy"),
        (b"grpc-timeout", b"1S"),
        (b"x", b"1"),
        (b"x", b"2"),
        (b"content-type", b"application/grpc+proto"),
    )
    from hpack import Decoder

    head = rpc.RequestHead(HeaderBlock(fields), b"http", b"server:8500")
    sent = [(bytes(k), bytes(v)) for k, v in Decoder().decode(head.timed_block, raw=True)]
    assert (b":authority", b"server:8500") in sent
    assert (b":scheme", b"http") in sent
    assert [pair for pair in sent if pair[0] == b"x"] == [(b"x", b"1"), (b"x", b"2")]
    assert sent[-1] == (b"grpc-timeout", b"1S")
    assert (head.method, head.timeout, head.is_grpc, head.judged) == ("/s/m", 1.0, True, False)
