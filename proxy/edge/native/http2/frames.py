"""
The numbers of RFC 9113: frame types, flags, error codes, settings, and the 9-octet frame header.

Law: constants and packing only. They are plain integers, since they are compared millions of times a minute.
"""

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Frame types (RFC 9113 §6).
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

# Flags.
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20

# Error codes (§7).
NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
SETTINGS_TIMEOUT: Final = 0x4
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB
INADEQUATE_SECURITY: Final = 0xC
HTTP_1_1_REQUIRED: Final = 0xD

# Not on the wire: what a sink is told when the whole connection ended under its stream.
CONNECTION_LOST: Final = -1

ERROR_NAMES: Final = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

# Settings (§6.5.2).
HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_SIZE: Final = 16_384
LARGEST_FRAME_SIZE: Final = 2**24 - 1
LARGEST_WINDOW: Final = 2**31 - 1
LARGEST_STREAM_ID: Final = 2**31 - 1
HEAD_LENGTH: Final = 9

_HEAD: Final = struct.Struct(">IBI")
_HEAD_AND_WORD: Final = struct.Struct(">IBII")
_SETTING: Final = struct.Struct(">HI")

# Length and type share the first four octets: `length << 8 | type`.
pack_head = _HEAD.pack
unpack_head = _HEAD.unpack_from


def error_name(code: int) -> str:
    """Name a code as RFC 9113 §7 does; an unknown one is shown as its number."""
    return ERROR_NAMES[code] if 0 <= code < len(ERROR_NAMES) else f"0x{code:x}"


def mistake(code: int, text: str) -> str:
    """What the peer did wrong, for who waits for its answer; diagnosis knows it by its first words."""
    return f"HTTP/2 {error_name(code)}: {text}"


def rst_stream(stream_id: int, code: int) -> bytes:
    return _HEAD_AND_WORD.pack(4 << 8 | RST_STREAM, 0, stream_id, code)


def window_update(stream_id: int, increment: int) -> bytes:
    return _HEAD_AND_WORD.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id, increment)


def ping(payload: bytes, *, ack: bool = False) -> bytes:
    return pack_head(8 << 8 | PING, ACK if ack else 0, 0) + payload


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    return (
        _HEAD_AND_WORD.pack((8 + len(debug)) << 8 | GOAWAY, 0, 0, last_stream_id)
        + struct.pack(">I", code)
        + debug
    )


def settings(values: dict[int, int]) -> bytes:
    payload = b"".join(_SETTING.pack(name, value) for name, value in values.items())
    return pack_head(len(payload) << 8 | SETTINGS, 0, 0) + payload


# Our own PING behind a first GOAWAY.
DRAIN_PING: Final = b"draining"
SETTINGS_ACK: Final = pack_head(SETTINGS, ACK, 0)


def unpack_settings(payload: bytes) -> list[tuple[int, int]]:
    return list(_SETTING.iter_unpack(payload))


def header_frames(stream_id: int, block: bytes, frame_size: int, *, end_stream: bool) -> list[bytes]:
    """HEADERS and as many CONTINUATION frames as the peer's frame size asks for."""
    ended = END_STREAM if end_stream else 0
    if len(block) <= frame_size:
        return [pack_head(len(block) << 8 | HEADERS, END_HEADERS | ended, stream_id) + block]
    parts = [block[start : start + frame_size] for start in range(0, len(block), frame_size)]
    last = len(parts) - 1
    return [
        pack_head(
            len(part) << 8 | (CONTINUATION if number else HEADERS),
            (END_HEADERS if number == last else 0) | (0 if number else ended),
            stream_id,
        )
        + part
        for number, part in enumerate(parts)
    ]
