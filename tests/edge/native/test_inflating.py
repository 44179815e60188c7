"""Compressed messages: read as gRPC's core reads them, in steps, and no further than makes sense."""

import gzip
import os
import zlib

import pytest

from proxy.edge.admission import UNLIMITED
from proxy.edge.native import inflating
from proxy.edge.native.inflating import Inflation, UnreadError

MB = 1 << 20


def inflate(
    message: bytes, *encodings: bytes, flag: int = 1, limit: int = UNLIMITED, step: int = MB
) -> bytes:
    half = len(message) // 2
    inflation = Inflation((message[:half], message[half:]), len(message), flag, encodings, limit)
    seen = 0
    while not inflation.step(step):
        assert seen < inflation.size <= seen + step
        seen = inflation.size
    return inflation.plain()


@pytest.mark.parametrize("step", [1000, 65_536, MB])
@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_what_was_compressed_comes_out_whatever_the_steps(encoding, compress, step):
    for plain in (b"", b"a", bytes(300_000), os.urandom(200_000)):
        assert inflate(compress(plain), encoding, step=step) == plain


def test_nothing_is_the_compressed_form_of_nothing():
    assert inflate(b"", b"gzip") == b""


def refused(message: bytes, *encodings: bytes, flag: int = 1, limit: int = UNLIMITED) -> UnreadError:
    with pytest.raises(UnreadError) as caught:
        inflate(message, *encodings, flag=flag, limit=limit)
    return caught.value


def test_what_does_not_inflate_to_the_end_is_invalid_and_says_how():
    zipped = gzip.compress(b"abc")
    for message, how in (
        (b"abc", "not gzip"),
        (zipped[:-1], "cut off"),
        (zipped + zipped, "behind the end"),
        (zipped + b"x", "behind the end"),
    ):
        error = refused(message, b"gzip")
        (violation,) = error.verdict.violations
        assert violation.reason == "REQUEST_ENCODING_INVALID"
        assert how in violation.got
        assert not error.hard


def test_plain_text_beyond_the_limit_of_messages_is_too_large():
    error = refused(gzip.compress(bytes(2 * MB)), b"gzip", limit=MB)
    assert error.hard
    assert error.verdict.violations[0].reason == "MESSAGE_TOO_LARGE"


def test_zeros_may_be_a_thousand_times_their_size_until_there_are_a_great_many():
    few, many = gzip.compress(bytes(16 * MB)), gzip.compress(bytes(40 * MB))
    assert len(inflate(few, b"gzip")) == 16 * MB
    error = refused(many, b"gzip")
    assert error.verdict.violations[0].reason == "MESSAGE_TOO_LARGE"
    assert "when decompressed" in error.verdict.violations[0].expected


def test_without_a_limit_there_is_one_for_what_is_compressed(set_constant):
    set_constant(inflating, "MOST", 100_000)
    message = os.urandom(100_001)
    assert refused(gzip.compress(message), b"gzip").verdict.violations[0].reason == "MESSAGE_TOO_LARGE"
    assert inflate(gzip.compress(message), b"gzip", limit=200_000) == message
