"""Which version answered: a look into a response without parsing its tensors.

Law: reads lengths and skips; returns None for whatever it does not recognise, never raises.
"""

from proxy.wire.wire_format import (
    CONTINUED,
    LENGTH,
    RESPONSE_SPEC_TAG,
    TYPE_MASK,
    VERSION_LABEL_TAG,
    VERSION_TAG,
    VERSION_VALUE_TAG,
    UnusualError,
    behind_varint,
    read_uint64,
    read_varint,
)


def served_version(message: bytes) -> int | None:
    """`model_spec.version` of a response to Predict, Classify or Regress."""
    try:
        specs = _fields(message, RESPONSE_SPEC_TAG, 0, len(message))
        if not specs:
            return None
        versions = _fields(message, VERSION_TAG, *specs[-1])
        # Several are merged, and a label takes the place of a version.
        if len(versions) != 1 or _fields(message, VERSION_LABEL_TAG, *specs[-1]):
            return None
        start, end = versions[0]
        if start == end:
            return 0 if len(specs) == 1 else None
        if message[start] != VERSION_VALUE_TAG or behind_varint(message, start + 1) != end:
            return None
        value = read_uint64(message, start + 1)
    except (IndexError, UnusualError):
        return None
    return value if value < 1 << 63 else None


def ending_of(message: bytes) -> bytes | None:
    """The ModelSpec that a response ends with, as serialisers write it; None: it does not end with a short one.

    Responses of one version to requests alike end alike, however much their tensors differ.
    """
    try:
        specs = _fields(message, RESPONSE_SPEC_TAG, 0, len(message))
    except (IndexError, UnusualError):
        return None
    if len(specs) != 1 or specs[0][1] != len(message) or not 0 < specs[0][1] - specs[0][0] < CONTINUED:
        return None
    ending = message[specs[0][0] - 2 :]
    # Not where its length is written in more octets than it needs.
    return ending if ending[0] == RESPONSE_SPEC_TAG else None


def _fields(data: bytes, tag: int, pos: int, end: int) -> list[tuple[int, int]]:
    """Where the contents of the length-delimited fields `tag` lie between `pos` and `end`; raises UnusualError."""
    found = []
    while pos < end:
        here = data[pos]
        if here >= CONTINUED or here & TYPE_MASK != LENGTH:
            raise UnusualError
        length, start = read_varint(data, pos + 1)
        pos = start + length
        if pos > end:
            raise UnusualError
        if here == tag:
            found.append((start, pos))
    return found
