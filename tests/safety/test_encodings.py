"""S2, S5, S6: however a message is wrapped, it is judged by what the server would read, or does not get there."""

import asyncio
import gzip
import itertools
import zlib

import pytest

from tests.clients.raw import RawCall, framed
from tests.edge.conftest import PREDICT, ask, predict
from tests.property.wire import LENGTH, tag, varint
from tests.safety.clients import BAD, GOOD, LONGEST_WAIT, bystanding, channel_to, forget_peak, peak, spoken

OK, RESOURCE_EXHAUSTED = 0, 8
MOST_HELD = 300 << 20
NAMES = ("identity", "gzip", "deflate", "snappy", "")


def _zlib_parts(message, wbits, level=9):
    packer = zlib.compressobj(level, zlib.DEFLATED, wbits)
    return packer.compress(message) + packer.flush()


def _bodies(message):
    """The ways in which a message is wrapped; some of them nobody can read."""
    packed = gzip.compress(message)
    half = len(message) // 2
    return {
        "plain": framed(message),
        "plain that claims to be compressed": framed(message, flag=1),
        "gzip": framed(packed, flag=1),
        "gzip that claims to be plain": framed(packed),
        "zlib": framed(zlib.compress(message), flag=1),
        "raw deflate": framed(_zlib_parts(message, -15), flag=1),
        "stored": framed(_zlib_parts(message, 31, level=0), flag=1),
        "two members": framed(gzip.compress(message[:half]) + gzip.compress(message[half:]), flag=1),
        "good member first": framed(gzip.compress(GOOD) + packed, flag=1),
        "garbage behind": framed(packed + b"garbage", flag=1),
        "wrong checksum": framed(packed[:-8] + bytes(8), flag=1),
        "without its end": framed(packed[:-8], flag=1),
        "gzip in gzip": framed(gzip.compress(packed), flag=1),
    }


def _encoding(*names):
    return [("grpc-encoding", name) for name in names]


HEADS = {
    **{
        f"twice: {one}, {other}": _encoding(one, other)
        for one, other in (
            *itertools.product(("identity", "gzip", "deflate"), repeat=2),
            *(("snappy", "gzip"), ("gzip", "snappy"), ("", "gzip"), ("gzip", "")),
        )
    },
    **{f"once: {name}": _encoding(name) for name in NAMES},
    "never": [],
    "three times": _encoding("identity", "identity", "gzip"),
    "twice, far apart": [*_encoding("identity"), ("x-between", "1"), *_encoding("gzip")],
    "a list": _encoding("identity,gzip"),
    "a list with blanks": _encoding("gzip , identity"),
    "upper case": _encoding("GZIP"),
    "blanks around": _encoding(" gzip "),
    "of a stream": [("grpc-internal-stream-encoding-request", "gzip"), *_encoding("identity")],
    "asked of the library": [("grpc-internal-encoding-request", "gzip")],
    "of HTTP": [("content-encoding", "gzip")],
    "of HTTP and of gRPC": [("content-encoding", "gzip"), *_encoding("identity")],
    "as a binary field": [("grpc-encoding-bin", "Z3ppcA==")],
    "beside accept-encoding": [("grpc-accept-encoding", "identity"), *_encoding("gzip")],
}


@pytest.mark.parametrize("wrapped", _bodies(BAD))
async def test_no_encoding_carries_a_bad_request_to_the_server(proxy, server, wrapped):
    body = _bodies(BAD)[wrapped]
    with server.spared():
        codes = await asyncio.gather(*(spoken(proxy, body, *more) for more in HEADS.values()))
    assert [name for name, code in zip(HEADS, codes, strict=True) if code == OK] == []


@pytest.mark.parametrize("encoding", NAMES)
async def test_no_flag_octet_carries_a_bad_request_to_the_server(proxy, server, encoding):
    bodies = (BAD, gzip.compress(BAD), zlib.compress(BAD))
    with server.spared():
        codes = await asyncio.gather(
            *(
                spoken(proxy, framed(body, flag), *_encoding(encoding))
                for flag, body in itertools.product((2, 3, 0x80, 0x81, 0xFF), bodies)
            )
        )
    assert OK not in codes


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
async def test_what_is_encoded_as_it_says_is_served_and_judged(proxy, encoding):
    pack = {"identity": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    flag = int(encoding != "identity")
    good = RawCall(proxy.target, PREDICT, framed(pack(GOOD), flag), *_encoding(encoding))
    assert (good.code, good.text) == (OK, "")
    bad = RawCall(proxy.target, PREDICT, framed(pack(BAD), flag), *_encoding(encoding))
    assert bad.code == 3
    assert "rank" in bad.text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_message_is_as_large_as_what_it_becomes(start_proxy, server, encoding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    proxy = start_proxy("--max-message-bytes", "64KiB")
    before = server.order("calls").get("Predict", 0)
    with server.spared():
        for shape in ((6_000, 3), (18_000,), (20_000, 3), (300_000, 3)):
            body = framed(pack(predict("m", shape)), 1)
            assert await spoken(proxy, body, *_encoding(encoding)) == RESOURCE_EXHAUSTED, shape
        assert await spoken(proxy, framed(pack(GOOD), 1), *_encoding(encoding)) == OK
    assert server.order("calls")["Predict"] == before + 1


async def test_the_reason_of_a_message_that_becomes_too_large_is_its_size(start_proxy, edge):
    if edge == "grpcio":
        pytest.skip("grpc's core cuts off what is more than twice as large, before anyone can say why")
    proxy = start_proxy("--max-message-bytes", "64KiB")
    async with channel_to(proxy.target) as channel:
        answer = await ask(channel, PREDICT, predict("m", (60_000,)), compression=2)
    assert answer.reason == "MESSAGE_TOO_LARGE"


MEGABYTE = bytes(1 << 20)
FOLDED = 1024


def _zeros():
    """A megabyte of zeros in a kilobyte that can stand anywhere in a stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)


def _bomb(around):
    """A gigabyte of zeros behind `around`, in a megabyte of gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(around) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(around)
    for _ in range(FOLDED):
        checksum = zlib.crc32(MEGABYTE, checksum)
    size = len(around) + FOLDED * len(MEGABYTE)
    trailer = checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + first + FOLDED * _zeros() + b"\x03\x00" + trailer


def _deflate_bomb():
    size = FOLDED * len(MEGABYTE)
    checksum = (size % 65521) << 16 | 1  # adler-32 of zeros
    return b"\x78\xda" + FOLDED * _zeros() + b"\x03\x00" + checksum.to_bytes(4, "big")


@pytest.fixture(scope="module")
def bombs():
    unknown_field = tag(101, LENGTH) + varint(FOLDED * len(MEGABYTE))
    return {
        "gzip": _bomb(b""),
        "deflate": _deflate_bomb(),
        "gzip around a request": _bomb(GOOD + unknown_field),
    }


@pytest.mark.parametrize("kind", ["gzip", "deflate", "gzip around a request"])
async def test_a_bomb_goes_off_nowhere(proxy, server, edge, bombs, kind):
    """On the grpcio edge it is grpc's core that inflates, in one go and before anyone is asked."""
    before = server.order("calls").get("Predict", 0)
    forget_peak(proxy)
    held = peak(proxy)
    async with bystanding(proxy) as bystander:
        code = await spoken(proxy, framed(bombs[kind], 1), *_encoding(kind.partition(" ")[0]))
    assert code != OK
    served = bystander.answers["OK", ""]
    # There the gigabyte may fill `--max-inflight-bytes` for a moment: worth a retry.
    others = {("RESOURCE_EXHAUSTED", "OVERLOADED")} if edge == "grpcio" else set()
    assert bystander.answers.keys() <= {("OK", ""), *others}, bystander.answers
    assert server.order("calls")["Predict"] == before + served + 1
    if edge == "native":
        assert bystander.longest < LONGEST_WAIT
        assert peak(proxy) - held < MOST_HELD
