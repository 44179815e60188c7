"""Header blocks, one after another, some of them again: what the cache hands out is what a decoder without one reads.

Each block stands behind an octet that chooses the kind of section, and one of its length; where its length is 255 an
earlier block comes again, told by the octet behind.
"""

from hpack import Decoder, HPACKError

from proxy.edge.native.http2.compression import FieldDecoder, encode_fields
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.fields import examine
from proxy.edge.native.http2.limits import Limits
from tests.fuzz.mutation import HEADER_BLOCKS

_LIMITS = Limits(header_list_size=1024, header_fields=16)
_AGAIN = 0xFF


def seeds() -> list[bytes]:
    each = [bytes((number % 3, len(block))) + block for number, block in enumerate(HEADER_BLOCKS)]
    again = bytes((0, _AGAIN, 0, 0, _AGAIN, 1))
    return [
        b"".join(each),
        each[0] + again + each[2] + again,
        each[1] + each[6] + each[0],
        each[9] + bytes((2, _AGAIN, 0)),
        # What is read without an insertion is another section once something was inserted.
        each[2] + b"\2\1\xbe" + b"\2\6\x40\1c\1d\xbe" + bytes((2, _AGAIN, 1)),
    ]


def _blocks(data: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    pos = 0
    while pos + 2 < len(data) and len(found) < 40:
        kind, length = data[pos] % 3, data[pos + 1]
        if length == _AGAIN:
            if found:
                found.append((kind, found[data[pos + 2] % len(found)][1]))
            pos += 3
        else:
            found.append((kind, data[pos + 2 : pos + 2 + length]))
            pos += 2 + length
    return found


def check(data: bytes) -> None:
    ours = FieldDecoder(_LIMITS)
    plain = Decoder(max_header_list_size=4 * _LIMITS.header_list_size)
    for kind, block in _blocks(data):
        try:
            found = ours.known[kind].get(block) or ours.decode(block, kind)
        except PeerFault as fault:
            assert fault.text.isprintable()
            assert "0x" not in fault.text, "a place in memory is told"
            found = None
        try:
            expected = tuple(plain.decode(block, raw=True))
        except (HPACKError, IndexError, ValueError):
            expected = None
        if found is None:
            assert expected is None or len(expected) > 4 * _LIMITS.header_fields
            return
        assert expected is not None, "a block is read that cannot be"
        assert found.fields == expected
        assert [type(field) for field in found.fields] == [type(field) for field in expected]
        fresh = examine(expected, kind)
        assert (found.fault, found.status, found.content_length) == (
            fresh.fault,
            fresh.status,
            fresh.content_length,
        )
        size = sum(len(name) + len(value) + 32 for name, value in expected)
        assert found.oversized == (len(expected) > _LIMITS.header_fields or size > _LIMITS.header_list_size)
        _check_encoded(found.fields)
    for known in ours.known:
        assert len(known) <= 64


def _check_encoded(fields) -> None:
    """Encoded again it is the same section for anyone, and inserts nothing."""
    decoder = Decoder(max_header_list_size=1 << 20)
    assert tuple(decoder.decode(encode_fields(fields), raw=True)) == tuple(fields)
    assert not decoder.header_table.dynamic_entries
