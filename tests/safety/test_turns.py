"""What one client sends that takes long, however often, keeps others waiting no longer than one of them would."""

import asyncio
import contextlib
import os
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients.raw import framed
from tests.edge.conftest import PREDICT
from tests.property.wire import length_delimited
from tests.safety.clients import BAD, GOOD, LONGEST_WAIT, bystanding, spoken
from tests.safety.test_shares import SILENT, only_native

UNPACKED = length_delimited(
    2, length_delimited(1, b"x") + length_delimited(2, b"\x08\x04" + b"\x38\x01" * (12 << 20))
)
SLOW_TO_READ = framed(length_delimited(1, length_delimited(1, b"m")) + UNPACKED)
UNUSUAL = framed(GOOD + length_delimited(101, bytes(100 << 10)))


def _zipped(message: bytes, octets: int, noise: int) -> bytes:
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    rest = length_delimited(101, os.urandom(noise) + bytes(octets))
    return framed(squeeze.compress(message + rest) + squeeze.flush(), 1)


GZIP = (("grpc-encoding", "gzip"),)
HEAVY = {
    "read": (SLOW_TO_READ, (), 8, UNUSUAL),
    "inflated": (_zipped(BAD, 96 << 20, 1 << 20), GZIP, 24, _zipped(GOOD, 600 << 10, 100 << 10)),
}


@pytest.mark.parametrize("what", HEAVY)
async def test_a_message_that_takes_its_time_does_not_wait_for_all_that_take_longer(proxy, edge, what):
    only_native(edge, "what it inflates, or reads before anyone can look")
    body, fields, times, small = HEAVY[what]
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(times + 8))  # one for each call
    heavy = [asyncio.create_task(spoken(proxy, body, *fields)) for _ in range(times)]
    longest = 0.0
    await asyncio.sleep(0.5)
    async with bystanding(proxy) as bystander:
        while not all(task.done() for task in heavy):
            asked = time.monotonic()
            assert await spoken(proxy, small, *fields) == 0
            longest = max(longest, time.monotonic() - asked)
            await asyncio.sleep(0.05)
    assert longest < 1.5 * LONGEST_WAIT
    assert bystander.was_served, bystander.answers
    assert bystander.longest < LONGEST_WAIT


BEGUN = framed(length_delimited(1, length_delimited(1, b"m")) + length_delimited(101, bytes(8 << 20)))[
    :600_000
]


async def test_a_message_in_frames_of_one_octet_keeps_nobody_waiting(proxy, edge):
    only_native(edge, "the time that one read may take")
    head = b"\x83\x86\x04" + bytes((len(PREDICT),)) + PREDICT.encode() + b"\x01\x01h"
    head += b"\x00\x0ccontent-type\x10application/grpc"
    begin = len(head).to_bytes(3, "big") + b"\x01\x04\0\0\0\x01" + head
    octets = b"".join(b"\0\0\x01\0\0\0\0\0\x01" + bytes((each,)) for each in BEGUN)
    host, _, port = proxy.target.rpartition(":")

    async def flood() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(SILENT["a greeting"] + begin)
        with contextlib.suppress(OSError):
            for start in range(0, len(octets), 1 << 18):
                writer.write(octets[start : start + (1 << 18)])
                await writer.drain()
        writer.transport.abort()

    async with bystanding(proxy) as bystander:
        async with asyncio.timeout(20):
            await asyncio.gather(*(flood() for _ in range(3)))
    assert bystander.was_served, bystander.answers
    assert bystander.longest < LONGEST_WAIT
