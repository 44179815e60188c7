"""The HTTP/2 core as a client, of which a server says anything."""

from proxy.edge.native.http2 import frames as f
from tests.fuzz import http2
from tests.fuzz.http2 import frame
from tests.fuzz.mutation import HEADER_BLOCKS

_HEAD, _TRAILERS = HEADER_BLOCKS[8:10]
_OPEN, _END = f.END_HEADERS, f.END_HEADERS | f.END_STREAM


def seeds() -> list[bytes]:
    answers = (
        frame(f.HEADERS, _OPEN, 1, _HEAD)
        + frame(f.DATA, 0, 1, b"hello")
        + frame(f.HEADERS, _END, 1, _TRAILERS),
        frame(f.HEADERS, _END, 3, _HEAD + _TRAILERS) + f.rst_stream(5, 7),
        frame(f.HEADERS, _OPEN, 1, b"\x08\x03100")
        + frame(f.HEADERS, _OPEN, 1, _HEAD)
        + frame(f.DATA, 1, 1, b"x"),
        f.window_update(0, 100_000)
        + f.window_update(5, 100_000)
        + f.settings({4: 0, 5: 16_384})
        + f.goaway(3, 0, b"bye"),
        frame(f.HEADERS, 0, 1, _HEAD[:3])
        + frame(f.CONTINUATION, f.END_HEADERS, 1, _HEAD[3:])
        + f.ping(b"draining", ack=True),
        frame(f.PUSH_PROMISE, f.END_HEADERS, 1, b"\0\0\0\2" + HEADER_BLOCKS[0]) + f.settings({3: 1}),
    )
    return [bytes((number * 2,)) + octets for number, octets in enumerate(answers)]


def check(data: bytes) -> None:
    http2.check(data, server=False)
