"""The push scanner reads a message cut anywhere as the scanner reads it whole, and what it announces early stays true.

The first octet says how short a payload it may skip, the next six where the message is cut.
"""

from tests.fuzz.messages import requests
from tests.property.test_push import assert_alike

HEAD = 7


def seeds() -> list[bytes]:
    return [bytes((3, 5, 9, 20, 33, 60, 90)) + each for each in requests()]


def check(data: bytes) -> None:
    if len(data) < HEAD:
        return
    message = data[HEAD:]
    cuts = [octet * (1 if len(message) < 256 else 1 + len(message) // 256) for octet in data[1:HEAD]]
    assert_alike(message, cuts, 1 + data[0] % 12)
    assert_alike(message, list(range(len(message))), 1 + data[0] % 12) if data[0] & 0x80 and len(
        message
    ) < 200 else None
