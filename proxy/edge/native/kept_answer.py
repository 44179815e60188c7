"""
The whole of an answer, where someone looks at it.

Law: bounded; what is compressed or huge is not kept at all, and what is not whole in the end is nothing.
"""

from typing import Final

from proxy.edge.native.http2.stream import Buffer
from proxy.edge.native.rpc import PREFIX

LARGEST: Final = 64 << 20
_UNREADABLE: Final = b"\x01"


def keep_answer(kept: Buffer, *pieces: Buffer) -> bytearray:
    """`kept` with more pieces of the response."""
    whole = kept if isinstance(kept, bytearray) else bytearray(kept)
    if not whole.startswith(_UNREADABLE):
        for piece in pieces:
            whole += piece
        if len(whole) > LARGEST:
            whole = bytearray(_UNREADABLE)
    return whole


def message_in(kept: Buffer) -> Buffer:
    """The message of a response that was kept; nothing where it is not there in full and uncompressed."""
    whole = len(kept) >= PREFIX and not kept[0]
    if not whole or int.from_bytes(kept[1:PREFIX], "big") != len(kept) - PREFIX:
        return b""
    return memoryview(kept)[PREFIX:]
