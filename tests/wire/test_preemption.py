"""Other threads run while one reads a long request, compiled as well as interpreted."""

import sys
import threading

import pytest

from proxy.gate import PREDICT, Message
from tests.property.wire import length_delimited as field
from tests.property.wire import varint_field

BARE = field(1, field(1, b"m"))
"""A request of model m with no inputs."""


def tensor(dtype, content, alias=b"x"):
    return field(2, field(1, alias) + field(2, varint_field(1, dtype) + content))


LONG = {
    "packed values": lambda: tensor(5, field(7, b"\x81\x01" * (32 << 20))),
    "packed negative values": lambda: tensor(5, field(7, (b"\xff" * 9 + b"\x01") * (4 << 20))),
    "single values": lambda: tensor(5, b"\x38\x01" * (8 << 20)),
    "bools in tensor_content": lambda: tensor(10, field(4, b"\x01" * (64 << 20))),
    "strings": lambda: tensor(7, b"\x42\x81\x80\x00a" * 262_144),
    "inputs": lambda: b"".join(tensor(1, b"", b"%d" % number) for number in range(16_384)),
    "unknown fields": lambda: varint_field(100, 2**64 - 1) * 250_000,
    "groups": lambda: (b"\xa3\x06" * 99 + b"\xa4\x06" * 99) * 1200,
}


@pytest.fixture
def often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("name", LONG)
def test_others_run_while_a_long_request_is_read(often, name):
    message = Message(PREDICT, BARE + LONG[name]())
    over = threading.Event()
    turns = 0
    seen = []

    def read():
        before = turns
        parts = message.parts()
        seen.append((turns - before, parts))
        over.set()

    thread = threading.Thread(target=read)
    thread.start()
    while not over.wait(0.001):
        turns += 1
    thread.join()
    ((had, (part,)),) = seen
    assert part.view.key.model == "m"
    # One before it began and one after its end are nobody's merit.
    assert had > 2
