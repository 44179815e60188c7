"""
HPACK (RFC 7541) around the `hpack` library, with the work done once where header blocks repeat.

Law: decoding keeps what a block decoded to for as long as the dynamic table is as it was: a block that
inserts nothing decodes to the same fields again. Encoding never inserts into the peer's dynamic table, so a
field list always encodes to the same bytes, on every connection, and what was encoded once can be sent for
ever.
"""

import logging
import math
from collections.abc import Iterable
from typing import Final, final

from hpack import Decoder, Encoder, HeaderTuple, HPACKError, NeverIndexedHeaderTuple, OversizedHeaderListError
from hpack.table import HeaderTable, table_entry_size

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.fields import Field, Fields, HeaderBlock, examine
from proxy.edge.native.http2.limits import Limits

# The library logs every field at DEBUG, credentials included.
logging.getLogger("hpack").setLevel(logging.WARNING)

_KEPT_BLOCKS: Final = 64
_KEPT_ENCODED: Final = 4096
_LARGEST_KEPT_BLOCK: Final = 4096
# Past the announced size a section is still decoded, so that its stream can be refused in words; past this
# multiple the connection ends, since the rest cannot be skipped without losing the table.
_HARD_LIMIT: Final = 4

# A peer's smaller SETTINGS_HEADER_TABLE_SIZE must be acknowledged in the next block (RFC 9113 §4.3.1); an
# encoder that inserts nothing can say zero, once.
EMPTY_TABLE: Final = b"\x20"

# Worth hiding from whoever could probe a later hop's table (RFC 7541 §7.1.3).
_SENSITIVE: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"))


@final
class _CountingTable(HeaderTable):
    """A dynamic table that counts its insertions."""

    def __init__(self) -> None:
        super().__init__()
        self.insertions = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.insertions += 1
        super().add(name, value)


@final
class _CountingDecoder(Decoder):
    """A decoder that gives up on a section with too many fields before it has read them all."""

    def __init__(self, size: int, fields: float) -> None:
        super().__init__(max_header_list_size=size)
        self._most = self._left = fields

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        self._left = self._most
        return super().decode(data, raw)

    def _decode_indexed(self, data: bytes | memoryview) -> tuple[HeaderTuple, int]:
        self._count()
        return super()._decode_indexed(data)

    def _decode_literal(self, data: bytes | memoryview, should_index: bool) -> tuple[HeaderTuple, int]:
        self._count()
        return super()._decode_literal(data, should_index)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OversizedHeaderListError


@final
class FieldDecoder:
    """
    Header blocks of one connection, in the order in which they arrive.

    `counts`: the number of fields is bounded too, as for whoever is not trusted.
    """

    __slots__ = ("_decoder", "_fields", "_limit", "_table", "known")

    def __init__(self, limits: Limits, *, counts: bool = True) -> None:
        self._limit = limits.header_list_size
        self._fields = limits.header_fields if counts else math.inf
        self._decoder = _CountingDecoder(limits.header_list_size * _HARD_LIMIT, self._fields * _HARD_LIMIT)
        self._decoder.header_table = self._table = _CountingTable()
        # One dictionary per kind of section (REQUEST, RESPONSE, TRAILERS), read directly by the hot path.
        self.known: tuple[dict[bytes, HeaderBlock], ...] = ({}, {}, {})

    def decode(self, block: bytes, kind: int) -> HeaderBlock:
        """
        Decode and examine a block that is not in `known[kind]`.

        Raises PeerFault when the table is lost (COMPRESSION_ERROR) or the section is far too large.
        """
        insertions = self._table.insertions
        try:
            fields = tuple(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError:
            raise PeerFault(
                frames.ENHANCE_YOUR_CALM, "header section far beyond the announced size"
            ) from None
        except (HPACKError, IndexError, ValueError) as error:
            # What it could not read the library shows as Python does: by its place in memory, which is nobody's business.
            text = str(error).partition("<memory")[0].removesuffix("from ").rstrip(": ")
            raise PeerFault(frames.COMPRESSION_ERROR, f"header block: {text}") from None
        section = examine(fields, kind)
        section.oversized = (
            len(fields) > self._fields
            or sum(table_entry_size(name, value) for name, value in fields) > self._limit
        )
        if self._table.insertions != insertions or (block and block[0] & 0xE0 == 0x20):
            for known in self.known:
                known.clear()
        elif section.fault is None and not section.oversized and len(block) <= _LARGEST_KEPT_BLOCK:
            known = self.known[kind]
            if len(known) >= _KEPT_BLOCKS:
                known.clear()
            known[block] = section
        return section


_encoder: Final = Encoder()
_encoded: dict[Field, bytes] = {}


def encode_field(field: Field) -> bytes:
    """Encode one field as a static index or a literal that is not indexed."""
    encoded = _encoded.get(field)
    if encoded is None or isinstance(field, NeverIndexedHeaderTuple):
        encoded = _encoder.add((bytes(field[0]), bytes(field[1])), sensitive=True, huffman=False)
        if isinstance(field, NeverIndexedHeaderTuple) or field[0] in _SENSITIVE:
            return encoded
        if encoded[0] & 0xF0 == 0x10:
            # The library knows "never indexed" only; plain "not indexed" differs in one bit (RFC 7541
            # §6.2.2).
            encoded = bytes((encoded[0] & 0x0F,)) + encoded[1:]
        if len(_encoded) >= _KEPT_ENCODED:
            _encoded.clear()
        if len(encoded) <= 256:
            _encoded[field] = encoded
    return encoded


def encode_fields(fields: Fields) -> bytes:
    """Encode for any connection: the block neither uses nor changes the peer's dynamic table."""
    return b"".join(map(encode_field, fields))
