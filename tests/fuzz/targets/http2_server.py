"""The HTTP/2 core as a server, of which a client says anything."""

from proxy.edge.native.http2 import frames as f
from tests.fuzz import http2
from tests.fuzz.http2 import REQUEST, frame
from tests.fuzz.mutation import HEADER_BLOCKS

_OPEN, _END = f.END_HEADERS, f.END_HEADERS | f.END_STREAM


def seeds() -> list[bytes]:
    calls = (
        frame(f.HEADERS, _OPEN, 1, REQUEST) + frame(f.DATA, 0, 1, b"hello") + frame(f.DATA, 1, 1, b"!"),
        frame(f.HEADERS, _OPEN, 1, HEADER_BLOCKS[0]) + frame(f.HEADERS, _END, 1, HEADER_BLOCKS[2]),
        frame(f.HEADERS, 0, 1, REQUEST[:9]) + frame(f.CONTINUATION, f.END_HEADERS, 1, REQUEST[9:]),
        frame(f.HEADERS, _OPEN, 3, REQUEST)
        + f.rst_stream(3, 8)
        + frame(f.DATA, 0, 3, b"late")
        + f.window_update(3, 5),
        frame(f.SETTINGS, 0, 0, b"\0\4\0\0\0\5")
        + frame(f.HEADERS, _END, 3, REQUEST)
        + f.window_update(3, 70_000),
        frame(f.DATA, f.PADDED, 1, b"\3abc\0\0\0") + f.ping(bytes(8)) + f.goaway(0, 0),
        frame(f.HEADERS, 0x2C, 1, b"\2" + bytes(5) + REQUEST + bytes(2)) + frame(f.DATA, 9, 1, b"\0x"),
        frame(f.HEADERS, _END, 1, REQUEST)
        + frame(f.HEADERS, _OPEN, 5, REQUEST)
        + frame(f.DATA, 0, 5, b"x" * 40),
    )
    return [bytes((number * 2,)) + octets for number, octets in enumerate(calls)] + [
        b"\x01" + f.PREFACE + f.settings({1: 0})
    ]


def check(data: bytes) -> None:
    http2.check(data, server=True)
