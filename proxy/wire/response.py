"""Which version answered: a look into a response without parsing its tensors.

Law: reads lengths and skips; returns None for whatever it does not recognise, never raises.
"""

from proxy.wire.wire_format import (
    CONTINUED,
    LENGTH,
    RESPONSE_SPEC_TAG,
    TYPE_MASK,
    VERSION_TAG,
    VERSION_VALUE_TAG,
    UnusualError,
    read_uint64,
    read_varint,
)


def served_version(message: bytes) -> int | None:
    """`model_spec.version` of a response to Predict, Classify or Regress."""
    try:
        spec = _field(message, RESPONSE_SPEC_TAG, 0, len(message))
        if spec is None:
            return None
        version = _field(message, VERSION_TAG, *spec)
        if version is None:
            return None
        start, end = version
        if start == end:
            return 0
        if message[start] != VERSION_VALUE_TAG:
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
        spec = _field(message, RESPONSE_SPEC_TAG, 0, len(message))
    except (IndexError, UnusualError):
        return None
    if spec is None or spec[1] != len(message) or not 0 < spec[1] - spec[0] < CONTINUED:
        return None
    return message[spec[0] - 2 :]


def _field(data: bytes, tag: int, pos: int, end: int) -> tuple[int, int] | None:
    """Where the content of the last length-delimited field `tag` lies between `pos` and `end`."""
    found = None
    while pos < end:
        here = data[pos]
        if here >= CONTINUED or here & TYPE_MASK != LENGTH:
            return None
        length, start = read_varint(data, pos + 1)
        pos = start + length
        if pos > end:
            return None
        if here == tag:
            found = start, pos
    return found
