"""How a dtype that is not the signature's is mended: the values converted, the field set, or bytes decoded.

Law: a cast is proposed as the mending only where the numbers keep their meaning: pixels may have to be normalised,
and numbers with a fraction are no ids. Which bits a payload holds is told by its length and its field alone.
"""

import re
from typing import Final

from proxy.core.mending.pictures import picture_of
from proxy.core.mending.remedies import Cast, Decode, Encode, MoveValues, Remedy, SetDtype
from proxy.core.types import (
    DT_BOOL,
    DT_STRING,
    DTYPES,
    IN_NUMPY,
    DType,
    TensorSpec,
    TensorView,
    element_count,
)

_STRING_KINDS: Final = (
    (re.compile(rb"\xff\xd8\xff"), "a JPEG image"),
    (re.compile(rb"\x89PNG"), "a PNG image"),
    (re.compile(rb"GIF8"), "a GIF image"),
    # The size of the file, then four reserved bytes of zero.
    (re.compile(rb"BM....\0\0\0\0", re.DOTALL), "a BMP image"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "a WebP image"),
    # Field 1 (Features), in it field 1 (a map entry), in it field 1 (the key); a length after each tag.
    (re.compile(rb"(\n[\x80-\xff]{0,4}[\x00-\x7f]){2}\n"), "a serialised tf.train.Example"),
    (re.compile(rb"data:[a-z]*/"), "a data: URL"),
    (re.compile(rb"b'|b\""), "bytes written as Python text (str of bytes)"),
    (re.compile(rb"(https?|file|gs|s3|hdfs)://"), "an address"),
    # /9j/ is how every JPEG begins in base64.
    (re.compile(rb"(?!/9j/)\.{0,2}/[\w.~-]+/|[A-Za-z]:\\"), "the path of a file"),
)
"""What the leading bytes of a string tell; 16 of them are enough."""

_INSTEAD: Final = {
    "a data: URL": "send the bytes themselves: base64.b64decode(url.partition(',')[2])",
    "bytes written as Python text (str of bytes)": "send the bytes themselves, not str(...) of them",
    "an address": "fetch it and send what it holds",
    "the path of a file": "read it and send what it holds",
}

_INTEGER: Final = re.compile(r"u?int(8|16|32|64)")
_FLOAT: Final = re.compile(r"float(16|32|64)")
_COMPLEX: Final = re.compile(r"complex(64|128)")
_MEASURES: Final = ("float16", "float32", "float64", "int32", "int64", "uint8")
"""What arrays usually are."""

_INTEGER_FIELDS: Final = frozenset({"int_val", "int64_val", "uint32_val", "uint64_val", "bool_val"})
_FLOAT_FIELDS: Final = frozenset({"float_val", "double_val"})


def string_kind(head: bytes) -> str:
    """What a string with these leading bytes holds, or "" when nothing is recognised."""
    return next((name for pattern, name in _STRING_KINDS if pattern.match(head)), "")


def dtype_remedies(view: TensorView, spec: TensorSpec) -> list[Remedy]:
    """Ways to mend a tensor whose dtype is not that of `spec`, or no dtype at all."""
    want, got = DTYPES.get(spec.dtype), DTYPES.get(view.dtype)
    if want is None:
        return []
    labelled = _labelled(view, want, got)
    if labelled or got is None:
        return labelled
    if view.dtype == DT_STRING:
        return [_decoded(view, want)]
    if spec.dtype == DT_STRING:
        return [_encoded(view, got)]
    if not want.size or not got.size:
        return []
    remedy = _cast(view.alias, got, want)
    if _family(got) == "integer" and _family(want) == "float" and picture_of(spec.shape or ()):
        remedy = remedy._replace(
            how=f"cast with dtype=np.{want.name}, and normalise as in training", exact=False
        )
    if view.content_length and want.size == got.size:
        # The length fits both: nothing tells whether array or field is wrong.
        how = f"set dtype to {want.name} if the bytes are {want.name} already"
        return [remedy, Remedy(how, (SetDtype(view.alias, want.name),))]
    return [remedy]


def payload_fits(view: TensorView, kind: DType) -> bool:
    """Whether the payload is one of `kind`: the exact length, or all values in its field and nowhere else."""
    count = element_count(view.dims)
    if not count:
        return False
    if view.content_length:
        return view.content_length == count * kind.size
    return dict(view.counts) == {kind.field: count * kind.per_element}


def _labelled(view: TensorView, want: DType, got: DType | None) -> list[Remedy]:
    """Tensors whose payload is the signature's already, so that only the dtype field is wrong."""
    if not payload_fits(view, want) or (got is not None and payload_fits(view, got)):
        return []
    by_length = bool(view.content_length)
    what = "tensor_content already has the length of" if by_length else f"{want.field} already holds"
    steps = (SetDtype(view.alias, want.name),)
    if by_length:
        # Bytes of that length may be of another dtype, or half of an array.
        how = f"only the dtype field is wrong if the bytes are {want.name}"
        return [Remedy(how, steps, cause=f"{what} {want.name}")]
    return [Remedy("only the dtype field is wrong", steps, True, f"{what} {want.name}")]


def _family(kind: DType) -> str:
    for name, pattern in (("integer", _INTEGER), ("float", _FLOAT), ("complex", _COMPLEX)):
        if pattern.fullmatch(kind.name):
            return name
    return kind.name


def _decoded(view: TensorView, want: DType) -> Remedy:
    kind = string_kind(view.head)
    steps = (Decode(view.alias),)
    if "image" in kind:
        return Remedy("decode it and send the pixel array", steps, cause=f"the string holds {kind}")
    if "Example" in kind:
        return Remedy("this signature wants the parsed array", steps, cause=f"the string holds {kind}")
    holds = f" (the string holds {kind})" if kind else ""
    return Remedy(f"send an array of {want.name}, not bytes{holds}", steps)


def _encoded(view: TensorView, got: DType) -> Remedy:
    steps = (Encode(view.alias),)
    if got.name == "uint8" and len(view.dims) == 1:
        return Remedy(
            "send them as one string in string_val (x.tobytes())",
            steps,
            cause="if these are the bytes of a file",
        )
    return Remedy(
        "this input wants bytes, such as an encoded image, text or a serialised tf.train.Example, one string per "
        "element in string_val",
        steps,
    )


def string_remedy(alias: str, kind: str) -> Remedy | None:
    """What to send instead of a string of `kind`, where it only tells where or how the bytes are."""
    instead = _INSTEAD.get(kind)
    return Remedy(instead, (Encode(alias),), cause=f"the string holds {kind}") if instead else None


def _cast(alias: str, got: DType, want: DType) -> Remedy:
    # np.bool is missing from NumPy 1.24 to 1.26.
    in_numpy = "bool_" if want.number == DT_BOOL else want.name
    call = f"cast with dtype=np.{in_numpy}" if want.name in IN_NUMPY else f"cast to {want.name}"
    steps = (Cast(alias, want.name),)
    have, wish = _family(got), _family(want)
    if have == "integer" and wish == "float" and got.size < 4:
        how = "normalise" if got.name == "uint8" else "scale"
        return Remedy(f"{call}, and {how} as in training", steps)
    if have == "float" and want.name == "uint8":
        return Remedy(f"{call}, after scaling back to 0..255 if the values were normalised", steps)
    if have == "float" and wish == "integer":
        return Remedy(f"{call} if the values are whole numbers{_default(got, want)}", steps)
    exact = (have, wish) in {
        ("float", "float"),
        ("integer", "integer"),
        ("integer", "float"),
        ("float", "complex"),
        ("integer", "complex"),
        ("complex", "complex"),
    } or (
        DT_BOOL in {got.number, want.number}
        and {have, wish} <= {"bool", "integer", "float"}
        and have != "float"
    )
    return Remedy(f"{call}{_default(got, want)}", steps, exact)


def _default(got: DType, want: DType) -> str:
    if got.name in {"float64", "int64"}:
        return f" (NumPy defaults to {got.name})"
    if got.name == "int32" and want.name in {"int64", "float32"}:
        return " (TensorFlow makes int32 of Python integers)"
    if got.name == "float32" and want.name == "float64":
        return " (TensorFlow makes float32 of Python floats)"
    return ""


# === payloads ===


def field_remedies(view: TensorView, kind: DType) -> list[Remedy]:
    """Ways to mend values that all lie in a field that TensorFlow does not read for `kind`."""
    count = (element_count(view.dims) or 0) * kind.per_element
    if len(view.counts) != 1:
        return []
    ((source, number),) = view.counts.items()
    alike = (
        kind.field in _INTEGER_FIELDS and source in _INTEGER_FIELDS,
        kind.field in _FLOAT_FIELDS and source in _FLOAT_FIELDS | _INTEGER_FIELDS,
    )
    if number != count or not any(alike):
        return []
    how = f"put the values into {kind.field}"
    return [Remedy(how, (MoveValues(view.alias, source, kind.field),), exact=True)]


def length_remedies(view: TensorView, kind: DType, count: int) -> list[Remedy]:
    """What `tensor_content` of another length than `count` elements of `kind` may hold."""
    size, rest = divmod(view.content_length, count)
    if rest:
        return []
    if size == 1 and _family(kind) in {"float", "integer"} and kind.size > 1:
        how = "send the bytes of the array, not one byte for each value"
        return [Remedy(how, cause="one byte a value is uint8, or numbers cut to bytes")]
    names = [each.name for each in DTYPES.values() if each.size == size and each.name in _MEASURES]
    if not names or kind.name in names:
        return []
    return [Remedy("make dtype and array agree", cause=f"the bytes look like {' or '.join(names)}")]
