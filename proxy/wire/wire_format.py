"""The wire format of PredictRequest, of the TensorProto and ModelSpec in it, and of protobuf as far as they need it.

Law: the one place that knows numbers and tags of fields, which fields hold values and how, and the bits of a varint.
Walks through no message, counts against no bound and judges nothing. Varints by the thousand, which C has to look at,
are left to `wire.numbers`. `tests/wire/test_wire_format.py` holds all of it to the descriptors of protobuf.
"""

from collections.abc import Mapping
from typing import Final, Protocol, overload

from proxy.core.types import DT_BOOL, DT_STRING

# === protobuf ===

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
GROUP: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

TYPE_BITS: Final = 3
TYPE_MASK: Final = 7
"""A tag is the number of its field, and below it the wire type."""

CONTINUED: Final = 0x80
"""An octet of a varint from here on is not its last one; a tag or length below it has one octet."""

LONGEST: Final = 10
"""Octets of the longest varint that protobuf reads."""

LONGEST_LENGTH: Final = 5
"""The same of lengths and tags, and of the lengths before strings in `tensor_content`."""

MAX_INT32: Final = 0x7FFF_FFFF

CONTINUED_OCTET: Final = rb"[\x80-\xff]"
LAST_OCTET: Final = rb"[\x00-\x7f]"
"""What matches the octets of a varint."""

ONE_VALUE: Final[Mapping[int, bytes]] = {
    FIXED32: rb".{4}",
    FIXED64: rb".{8}",
    VARINT: CONTINUED_OCTET + rb"{0,9}+" + LAST_OCTET,
}
"""Wire type → what matches a value of it."""


class UnusualError(Exception):
    """An encoding that is left to another reader."""


class Octets(Protocol):
    """A message, or what is left of one without payloads: what lies in a gap raises IndexError."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes: ...


def read_varint(data: Octets | bytearray, pos: int) -> tuple[int, int]:
    """The value that begins at `pos`, and where it ends; raises UnusualError when it has over five octets."""
    value = data[pos]
    pos += 1
    if value < 0x80:
        return value, pos
    value &= 0x7F
    # Lengths have at most five octets; longer ones of other varints are left to the other reader.
    for shift in range(7, 35, 7):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
    raise UnusualError


def read_tag(data: bytes, pos: int) -> tuple[int, int]:
    """The same of a tag, of which protobuf in C++ keeps 32 bits without a word; others read nothing further."""
    value, pos = read_varint(data, pos)
    return value & 0xFFFF_FFFF, pos


def read_uint64(data: bytes, pos: int) -> int:
    """The 64 bits of the value that begins at `pos`; raises UnusualError when it has over ten octets."""
    value = 0
    for shift in range(0, 7 * LONGEST, 7):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF
    raise UnusualError


def read_int32(data: bytes, pos: int) -> int:
    """The same, of an int32 or an enum: the lower 32 bits with their sign."""
    low = read_uint64(data, pos) & 0xFFFF_FFFF
    return low - (low >> 31 << 32)


def behind_varint(data: bytes, pos: int) -> int:
    """Where the value ends that begins at `pos`; raises UnusualError when it has over ten octets."""
    stop = pos + LONGEST
    while data[pos] > 0x7F:
        pos += 1
        if pos == stop:
            raise UnusualError
    return pos + 1


def behind_contents(data: Octets, pos: int, end: int, tag: int, most: int) -> tuple[int, int]:
    """Step over one length-delimited field after another while they have this one-octet tag, over `most` of them.

    Returns where the last one ended, which may be beyond `end`, and how many there were. Raises UnusualError for a
    length of over five octets.
    """
    count = 0
    while pos < end and count != most and data[pos] == tag:
        count += 1
        length = data[pos + 1]
        # By hand: these come by the hundred thousand.
        if length < 0x80:
            pos += 2 + length
        elif data[pos + 2] < 0x80:
            pos += 3 + (length & 0x7F | data[pos + 2] << 7)
        else:
            length, pos = read_varint(data, pos + 1)
            pos += length
    return pos, count


def write_varint(value: int) -> bytes:
    """`value`, which is not negative, in as few octets as it takes."""
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def write_tag(number: int, kind: int) -> bytes:
    """The tag of field `number` with this wire type."""
    return write_varint(number << TYPE_BITS | kind)


def write_head(number: int, length: int) -> bytes:
    """What stands before `length` octets to make them the content of field `number`."""
    return write_tag(number, LENGTH) + write_varint(length)


# === PredictRequest (`predict.proto`) ===

MODEL_SPEC: Final = 1
INPUTS: Final = 2
OUTPUT_FILTER: Final = 3

MODEL_SPEC_TAG: Final = MODEL_SPEC << 3 | LENGTH
INPUTS_TAG: Final = INPUTS << 3 | LENGTH
OUTPUT_FILTER_TAG: Final = OUTPUT_FILTER << 3 | LENGTH

# An entry of `inputs`.
ALIAS: Final = 1
TENSOR: Final = 2

ALIAS_TAG: Final = ALIAS << 3 | LENGTH
TENSOR_TAG: Final = TENSOR << 3 | LENGTH

# === ModelSpec (`model.proto`), and its Int64Value, in a response (`predict.proto` and others) ===

RESPONSE_SPEC_TAG: Final = 2 << 3 | LENGTH
VERSION_TAG: Final = 2 << 3 | LENGTH
VERSION_VALUE_TAG: Final = 1 << 3 | VARINT
VERSION_LABEL_TAG: Final = 4 << 3 | LENGTH

# === TensorProto (`tensor.proto`) ===

DTYPE: Final = 1
SHAPE: Final = 2
VERSION_NUMBER: Final = 3
CONTENT: Final = 4
FLOAT_VAL: Final = 5
DOUBLE_VAL: Final = 6
INT_VAL: Final = 7
STRING_VAL: Final = 8
HALF_VAL: Final = 13
RESOURCE_HANDLE_VAL: Final = 14
VARIANT_VAL: Final = 15
FLOAT8_VAL: Final = 18

DTYPE_TAG: Final = DTYPE << 3 | VARINT
SHAPE_TAG: Final = SHAPE << 3 | LENGTH
VERSION_NUMBER_TAG: Final = VERSION_NUMBER << 3 | VARINT
CONTENT_TAG: Final = CONTENT << 3 | LENGTH
INT_VAL_TAG: Final = INT_VAL << 3 | LENGTH
STRING_VAL_TAG: Final = STRING_VAL << 3 | LENGTH
HALF_VAL_TAG: Final = HALF_VAL << 3 | LENGTH

VALUES: Final[Mapping[int, tuple[str, int, int]]] = {
    FLOAT_VAL: ("float_val", FIXED32, 4),
    DOUBLE_VAL: ("double_val", FIXED64, 8),
    INT_VAL: ("int_val", VARINT, 0),
    9: ("scomplex_val", FIXED32, 4),
    10: ("int64_val", VARINT, 0),
    11: ("bool_val", VARINT, 0),
    12: ("dcomplex_val", FIXED64, 8),
    HALF_VAL: ("half_val", VARINT, 0),
    16: ("uint32_val", VARINT, 0),
    17: ("uint64_val", VARINT, 0),
}
"""Field of numbers → name, wire type of one by itself, octets of one where many are packed; 0: varints."""

PACKED: Final[Mapping[int, tuple[str, int]]] = {
    **{write_tag(number, LENGTH)[0]: (name, width) for number, (name, _, width) in VALUES.items()},
    # Octets, and not numbers: one after another as well.
    write_tag(FLOAT8_VAL, LENGTH)[0]: ("float8_val", 1),
}
"""First octet of a tag → name and octets of one value, of fields in which many lie packed."""

SECOND_OCTET: Final = 1
"""What follows the first octet in the tags of the length-delimited fields 16 to 31."""

OPAQUE_TAGS: Final = frozenset({FLOAT_VAL << 3 | LENGTH, DOUBLE_VAL << 3 | LENGTH})
"""Packed float_val and double_val: of fixed width, and no dtype narrower than the field reads them."""

LOOKED_INTO: Final = (DT_STRING, DT_BOOL)
"""Dtypes that do not take any octets as `tensor_content`: it is looked into."""
