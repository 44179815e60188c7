"""A request that is recognised as like an earlier one is read as it: but for payloads and the order of its inputs.

The first octet says how many of the three octets that follow each change one octet of the message (two for its place, one
for its value); the message stands behind them.
"""

from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.pieces import Pieces
from proxy.wire.request import parse_predict
from proxy.wire.skeleton import key_of, skeleton_of
from tests.fuzz.messages import requests
from tests.property.test_scanner import outcome

_MOST = 8


def seeds() -> list[bytes]:
    return [bytes((2, 0, 12, 7, 0, 40, 9)) + each for each in requests()]


def check(data: bytes) -> None:
    if not data:
        return
    count = data[0] % _MOST
    changes, message = data[1 : 1 + 3 * count], data[1 + 3 * count :]
    try:
        parse_predict(message)
    except (MalformedRequestError, TooComplexError):
        return
    skeleton = skeleton_of(message)
    if skeleton is None:
        return
    assert skeleton.fits(message)
    assert key_of(message) == key_of(Pieces([message], 0, len(message)))
    other = bytearray(message)
    for start in range(0, len(changes) - 2, 3):
        other[int.from_bytes(changes[start : start + 2]) % len(other)] = changes[start + 2]
    _check(skeleton, message, bytes(other))


def _check(skeleton, message: bytes, other: bytes) -> None:
    fits = skeleton.fits(other)
    half = len(other) // 2
    assert skeleton.fits(Pieces([b"?" + other[:half], other[half:] + b"!"], 1, len(other))) == fits
    if fits:
        assert outcome(parse_predict, other) == outcome(parse_predict, message)
