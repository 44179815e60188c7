"""Header sections: the rules of RFC 9113 §8.2 and §8.3 that the wire scripts do not show."""

import pytest

from proxy.edge.native.http2.fields import REQUEST, RESPONSE, TRAILERS, examine

GOOD = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m"))


def test_a_grpc_request_is_in_order():
    more = ((b"te", b"trailers"), (b"x-bin", b"AAE"), (b"grpc-message", b" spaces around are kept "))
    assert examine(GOOD + more, REQUEST).fault is None


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (((b":method", b"OPTIONS"), (b":scheme", b"http"), (b":path", b"*")), REQUEST),
        (((b":method", b"CONNECT"), (b":authority", b"a:1")), REQUEST),
        (((b":status", b"200"), (b"a", b"")), RESPONSE),
        ((), TRAILERS),
    ],
)
def test_also_in_order(fields, kind):
    assert examine(fields, kind).fault is None


def test_equal_content_lengths_are_one():
    block = examine((*GOOD, (b"content-length", b"5"), (b"content-length", b"5")), REQUEST)
    assert (block.fault, block.content_length) == (None, 5)


@pytest.mark.parametrize("method", [b"CONNECT"])
def test_connect_names_an_authority(method):
    assert examine(((b":method", method),), REQUEST).fault is not None


def test_the_first_field_of_a_name_is_found():
    block = examine((*GOOD, (b"a", b"1"), (b"a", b"2")), REQUEST)
    assert (block.get(b"a"), block.get(b"b")) == (b"1", None)


@pytest.mark.parametrize("path", [b"/\xff/m", b"/s/\xc3\xa9", b"/s /m", b"/s/m\x7f", b"/s/\t"])
def test_a_path_is_written_with_what_a_uri_is_written_with(path):
    fields = tuple((name, path if name == b":path" else value) for name, value in GOOD)
    assert examine(fields, REQUEST).fault == ":path contains a character that no path may have"
