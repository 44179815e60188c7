"""Which version answered: a look into a response without parsing its tensors.

Law: reads lengths and skips; returns None for whatever it does not recognise, never raises.
"""

_MODEL_SPEC = 0x12
"""Field 2 of PredictResponse, ClassificationResponse and RegressionResponse (`predict.proto` and others)."""
_VERSION = 0x12
"""Field 2 of ModelSpec, a google.protobuf.Int64Value (`model.proto`)."""
_VALUE = 0x08
"""Field 1 of Int64Value."""


def served_version(message: bytes) -> int | None:
    """`model_spec.version` of a response to Predict, Classify or Regress."""
    try:
        spec = _field(message, _MODEL_SPEC, 0, len(message))
        if spec is None:
            return None
        version = _field(message, _VERSION, *spec)
        if version is None:
            return None
        start, end = version
        if start == end:
            return 0
        if message[start] != _VALUE:
            return None
        value, _ = _varint(message, start + 1)
    except IndexError:
        return None
    return value if value < 1 << 63 else None


def ending_of(message: bytes) -> bytes | None:
    """The ModelSpec that a response ends with, as serialisers write it; None: it does not end with a short one.

    Responses of one version to requests alike end alike, however much their tensors differ.
    """
    try:
        spec = _field(message, _MODEL_SPEC, 0, len(message))
    except IndexError:
        return None
    if spec is None or spec[1] != len(message) or not 0 < spec[1] - spec[0] < 0x80:
        return None
    return message[spec[0] - 2 :]


def _field(data: bytes, tag: int, pos: int, end: int) -> tuple[int, int] | None:
    """Where the content of the last length-delimited field `tag` lies between `pos` and `end`."""
    found = None
    while pos < end:
        here = data[pos]
        if here & 0x87 != 0x02:  # not a one-byte tag of a length-delimited field
            return None
        length, start = _varint(data, pos + 1)
        pos = start + length
        if pos > end:
            return None
        if here == tag:
            found = start, pos
    return found


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            return value, pos
        shift += 7
