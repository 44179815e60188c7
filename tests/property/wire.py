"""PredictRequests as bytes, in every encoding the wire format allows and in some that it does not.

Law: builds encodings field by field and knows nothing of what they mean.
"""

from hypothesis import strategies as st

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

PACKED = {
    "half": 13,
    "float": 5,
    "double": 6,
    "int": 7,
    "scomplex": 9,
    "int64": 10,
    "bool": 11,
    "dcomplex": 12,
}
PACKED_WIDTHS = {5: 4, 6: 8, 9: 4, 12: 8}
STRING_VAL, FLOAT8_VAL, RESOURCE_VAL, VARIANT_VAL, UINT32_VAL, UINT64_VAL = 8, 18, 14, 15, 16, 17


def varint(value: int, padding: int = 0) -> bytes:
    """`value` as a varint; `padding` adds that many bytes that say nothing."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if padding:
        out[-1] |= 0x80
        out += b"\x80" * (padding - 1) + b"\x00"
    return bytes(out)


def tag(number: int, wire_type: int, padding: int = 0) -> bytes:
    return varint(number << 3 | wire_type, padding)


def length_delimited(number: int, content: bytes, padding: int = 0) -> bytes:
    return tag(number, LENGTH) + varint(len(content), padding) + content


def varint_field(number: int, value: int, padding: int = 0) -> bytes:
    return tag(number, VARINT) + varint(value, padding)


# Mostly the shortest encoding; sometimes a longer one, sometimes one that no parser takes.
paddings = st.sampled_from((0,) * 12 + (1, 2, 4, 8, 9, 10))
small = st.integers(0, 6)
numbers = st.one_of(
    small, st.sampled_from((127, 128, 255, 256, 300, 65535, 65536, -1, -128, -129, 2**31, 2**62))
)
names = st.one_of(
    st.sampled_from((b"", b"x", b"image_tensor", b"ids", "größe".encode(), b"\xff", b"x" * 130)),
    st.binary(max_size=4),
)


@st.composite
def unknown_fields(draw: st.DrawFn) -> bytes:
    number = draw(st.sampled_from((4, 5, 6, 7, 19, 30, 2000)))
    kind = draw(st.sampled_from((VARINT, FIXED64, LENGTH, FIXED32, 3, 4, 6)))
    if kind == LENGTH:
        return length_delimited(number, draw(st.binary(max_size=5)))
    payload = {VARINT: varint(draw(small)), FIXED64: bytes(8), FIXED32: bytes(4)}.get(kind, b"")
    if kind == 3:
        payload = varint_field(1, 1) + tag(number, 4)
    return tag(number, kind) + payload


def submessage(number: int, fields: st.SearchStrategy[bytes], max_size: int = 5) -> st.SearchStrategy[bytes]:
    """Field `number` whose content is some of `fields`, in any order and any number of times."""
    contents = st.lists(fields, max_size=max_size).map(b"".join)
    return st.builds(length_delimited, st.just(number), contents, paddings)


dims = submessage(
    2,
    st.one_of(
        st.builds(varint_field, st.just(1), numbers, paddings),
        st.builds(length_delimited, st.just(2), names),
        unknown_fields(),
    ),
    max_size=2,
)
shapes = submessage(
    2, st.one_of(dims, dims, dims, st.builds(varint_field, st.just(3), st.integers(0, 1)), unknown_fields())
)


@st.composite
def packed_values(draw: st.DrawFn) -> bytes:
    number = draw(st.sampled_from((*PACKED.values(), UINT32_VAL, UINT64_VAL)))
    width = PACKED_WIDTHS.get(number)
    if width:
        chunk = bytes(draw(st.sampled_from((0, width, 2 * width, 3 * width, 1))))
    else:
        values = draw(st.lists(st.tuples(numbers, paddings), max_size=4))
        chunk = b"".join(varint(value, padding) for value, padding in values)
    return length_delimited(number, chunk, draw(paddings))


@st.composite
def single_values(draw: st.DrawFn) -> bytes:
    """One value of a repeated field, not packed."""
    number = draw(st.sampled_from((*PACKED.values(), UINT32_VAL, UINT64_VAL)))
    width = PACKED_WIDTHS.get(number)
    if width:
        return tag(number, FIXED32 if width == 4 else FIXED64) + bytes(width)
    return varint_field(number, draw(numbers), draw(paddings))


tensor_fields = st.one_of(
    st.builds(varint_field, st.just(1), st.one_of(st.integers(0, 35), numbers), paddings),
    shapes,
    st.builds(varint_field, st.just(3), numbers, paddings),
    st.builds(length_delimited, st.just(4), st.binary(max_size=12), paddings),
    packed_values(),
    packed_values(),
    single_values(),
    st.builds(length_delimited, st.just(STRING_VAL), st.binary(max_size=20), paddings),
    st.builds(length_delimited, st.just(FLOAT8_VAL), st.binary(max_size=3), paddings),
    st.builds(length_delimited, st.sampled_from((RESOURCE_VAL, VARIANT_VAL)), st.just(b"")),
    unknown_fields(),
)
tensors = submessage(2, tensor_fields, max_size=7)
aliases = st.builds(length_delimited, st.just(1), names, paddings)
plain_entries = st.builds(lambda alias, tensor: length_delimited(2, alias + tensor), aliases, tensors)
odd_entries = submessage(2, st.one_of(aliases, tensors, unknown_fields()), max_size=4)

specs = submessage(
    1,
    st.one_of(
        st.builds(length_delimited, st.just(1), names, paddings),
        st.builds(length_delimited, st.just(2), numbers.map(lambda number: varint_field(1, number))),
        st.builds(length_delimited, st.just(3), names),
        st.builds(length_delimited, st.just(4), names),
        unknown_fields(),
    ),
)

requests = st.lists(
    st.one_of(
        specs,
        plain_entries,
        plain_entries,
        plain_entries,
        odd_entries,
        st.builds(length_delimited, st.just(3), names),
        unknown_fields(),
    ),
    max_size=6,
).map(b"".join)
"""Serialised PredictRequests, most of them readable."""


@st.composite
def mutated(draw: st.DrawFn, messages: st.SearchStrategy[bytes] = requests) -> bytes:
    """A message with a few bytes changed, lost, repeated or inserted."""
    data = bytearray(draw(messages))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(("change", "insert", "delete", "cut", "repeat")))
        if how == "change" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=3))
        elif how == "delete":
            del data[at : at + draw(st.integers(1, 3))]
        elif how == "cut":
            del data[at:]
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 8))]
    return bytes(data)
