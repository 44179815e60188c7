"""Words for people: quoting, did-you-mean, and the hint that mends a mismatch.

Law: runs only once something is already wrong, so clarity comes before speed; never shows tensor values.
What a client sent is quoted in ASCII, cut, and without control characters, because it ends up in logs.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from heapq import nlargest

from proxy.core.types import (
    DT_STRING,
    DTYPES,
    UNKNOWN_DIM,
    DType,
    Shape,
    Signature,
    TensorSpec,
    TensorView,
    dtype_name,
    element_count,
    shape_text,
)

_NAMES_SHOWN = 6
_CLOSE_ENOUGH = 0.6
_LONGEST_NAME = 1024
"""Characters of a name that may still be a known one in another case."""
_MOST_SWAPPED = 64

_STRING_KINDS = (
    (re.compile(rb"\xff\xd8\xff"), "a JPEG image"),
    (re.compile(rb"\x89PNG"), "a PNG image"),
    (re.compile(rb"GIF8"), "a GIF image"),
    # The size of the file, then four reserved bytes of zero.
    (re.compile(rb"BM....\0\0\0\0", re.DOTALL), "a BMP image"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "a WebP image"),
    # Field 1 (Features), in it field 1 (a map entry), in it field 1 (the key); a length after each tag.
    (re.compile(rb"(\n[\x80-\xff]{0,4}[\x00-\x7f]){2}\n"), "a serialised tf.train.Example"),
)
"""What the leading bytes of a string tell; 16 of them are enough."""

_COLOURS = {1: "grayscale", 3: "RGB", 4: "RGBA (it has an alpha channel)"}

_NOT_IN_NUMPY = ("q", "bfloat", "float8", "float4", "int4", "uint4", "int2", "uint2")


def escape(text: str, limit: int = 80) -> str:
    """`text` as printable ASCII, cut to `limit` characters and three dots."""
    shown = text[: limit + 1].encode("unicode_escape").decode("ascii")
    if len(shown) <= limit:
        return shown
    # Never half an escape, which would read as something else.
    whole = re.match(r"(?:[^\\]|\\(?:x..|u....|U.{8}|[^xuU]))*", shown[:limit])
    return f"{whole.group() if whole else ''}..."


def printable(text: str) -> str:
    """`text` on one line and with nothing in it that steers a terminal: an escape for what is not printable.

    Unicode counts C0 and C1 controls (and so every ANSI sequence) to that, line and paragraph separators,
    bidirectional overrides and other format characters, lone surrogates and what is not assigned.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


_USERINFO = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


def without_credentials(address: str) -> str:
    """`address` with `***` for what stands before its last `@`, but for a scheme: `dns://***@host`."""
    return _USERINFO.sub(r"\1***@", address, count=1)


def quote(text: str, limit: int = 80) -> str:
    """`text` escaped, cut and in single quotes."""
    return f"'{escape(text, limit)}'"


def listing(names: Collection[str]) -> str:
    """A few quoted names in order, and how many more there are."""
    shown = ", ".join(quote(name) for name in sorted(names)[:_NAMES_SHOWN])
    rest = len(names) - _NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown or "none"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most probably means: other case, else small edit distance."""
    names = [each for each in known if each != name]
    pairs = _pairs(name)
    # difflib is slow, and a client must not be able to keep it busy: it sees only the likeliest.
    likely = nlargest(4, names[:1000], key=lambda each: len(pairs & _pairs(each)))
    found = difflib.get_close_matches(name[:64], likely, n=1, cutoff=_CLOSE_ENOUGH)
    return _other_case(name, names) or (found[0] if found else None)


def _pairs(name: str) -> set[str]:
    """The pairs of neighbours in the beginning of a name."""
    text = f" {name[:64]} "
    return {text[at : at + 2] for at in range(len(text) - 1)}


def _other_case(name: str, known: Iterable[str]) -> str | None:
    if len(name) > _LONGEST_NAME:
        return None
    folded = name.casefold()
    return next((each for each in known if each.casefold() == folded), None)


def alias_hint(
    alias: str,
    specs: Mapping[str, TensorSpec],
    absent: Collection[str],
    elsewhere: Collection[str] = (),
) -> str:
    """What an unknown alias was probably meant to be.

    `specs` are the signature's inputs or outputs, `absent` those aliases of `specs` that the request does not
    have yet, `elsewhere` the other signatures that know the alias.
    """
    if not specs:
        return "this signature takes none"
    for spec in specs.values():
        if spec.graph_name and alias in (spec.graph_name, spec.graph_name.removesuffix(":0")):
            return f"that is the graph name; the alias is {quote(spec.alias)}"
    bare = alias.removesuffix(":0")
    if bare != alias and bare in specs:
        return f"drop the ':0': the alias is {quote(bare)}"
    suggestion = _other_case(bare, absent)
    if suggestion is None and elsewhere:
        return f"that alias exists in signature {quote(min(elsewhere))}: set model_spec.signature_name"
    suggestion = suggestion or closest(bare, absent)
    if suggestion is None and len(absent) == 1:
        (suggestion,) = absent
    if suggestion is not None:
        return f"did you mean {quote(suggestion)}?"
    return "" if absent else "leave it out"


def signature_hint(name: str, signatures: Mapping[str, Signature]) -> str:
    """Which signature was probably meant by `name` ("" asks for the default one)."""
    if not signatures:
        return "the model was exported without signatures: export it with one"
    if not name and len(signatures) == 1:
        return f"set model_spec.signature_name to {quote(next(iter(signatures)))}, the only one"
    suggestion = closest(name, signatures) if name else None
    return (
        f"did you mean {quote(suggestion)}?" if suggestion else "set model_spec.signature_name to one of them"
    )


def fits(dims: Shape, shape: Shape | None) -> bool:
    """Whether a tensor of `dims` is what a spec of `shape` allows."""
    if shape is None:
        return True
    if len(dims) != len(shape):
        return False
    # A plain loop: this runs for every input of every request.
    for got, want in zip(dims, shape, strict=True):  # noqa: SIM110
        if want != got and want != UNKNOWN_DIM:  # noqa: PLR1714
            return False
    return True


def string_kind(head: bytes) -> str:
    """What a string with these leading bytes holds, or "" when nothing is recognised."""
    return next((name for pattern, name in _STRING_KINDS if pattern.match(head)), "")


def dtype_hint(view: TensorView, spec: TensorSpec) -> str:
    """How to mend a dtype that is not the signature's."""
    want, got = DTYPES.get(spec.dtype), DTYPES.get(view.dtype)
    if want is None or got is None:
        return ""
    if view.dtype == DT_STRING:
        kind = string_kind(view.head)
        if "image" in kind:
            return f"the string holds {kind}: decode it and send the pixel array"
        if kind:
            return f"the string holds {kind}: this signature wants the parsed array"
        return f"send an array of {want.name}, not bytes"
    if spec.dtype == DT_STRING:
        return "this input wants bytes, such as an encoded image, text or a serialised tf.train.Example, one string per element in string_val"
    content = view.content_length
    if content and want.size != got.size and content == (element_count(view.dims) or 0) * want.size:
        return f"tensor_content already has the length of {want.name}: only the dtype field is wrong"
    if not want.size or not got.size:
        return ""
    cast = (
        f"cast to {want.name}" if want.name.startswith(_NOT_IN_NUMPY) else f"cast with dtype=np.{want.name}"
    )
    if got.name in ("float64", "int64"):
        return f"{cast} (NumPy defaults to {got.name})"
    if got.name == "int32" and want.name in ("int64", "float32"):
        return f"{cast} (TensorFlow makes int32 of Python integers)"
    if got.name == "float32" and want.name == "float64":
        return f"{cast} (TensorFlow makes float32 of Python floats)"
    if got.name == "float32" and want.name == "uint8":
        return f"{cast}, after scaling back to 0..255 if the values were normalised"
    if got.name == "uint8" and want.name.startswith("float"):
        return f"{cast}, and normalise as in training"
    return cast


def shape_hint(dims: Shape, shape: Shape) -> str:
    """How to mend dimensions that a spec of `shape` does not allow; "" when no cause is recognised."""
    if not shape:
        return "the input is a scalar: send one value with an empty shape"
    if fits((1, *dims), shape):
        return f"the batch dimension is missing: send {shape_text((1, *dims))} (np.expand_dims(x, 0))"
    if not dims:
        return "the shape was not set: fill tensor_shape"
    if dims[0] == 1 and fits(dims[1:], shape):
        return f"one dimension too many: send {shape_text(dims[1:])} (np.squeeze(x, 0))"
    if dims[-1] == 1 and fits(dims[:-1], shape):
        return f"one dimension too many: send {shape_text(dims[:-1])} (np.squeeze(x, -1))"
    if fits((*dims, 1), shape):
        return f"the last dimension is missing: send {shape_text((*dims, 1))} (np.expand_dims(x, -1))"
    channels = _channels_hint(dims, shape)
    if channels:
        return channels
    return _same_rank_hint(dims, shape) if len(dims) == len(shape) else _reshape_hint(dims, shape)


def _channels_hint(dims: Shape, shape: Shape) -> str:
    """Images whose channels come first where the signature has them last, or the reverse."""
    image = dims if len(dims) == 4 else (1, *dims)
    if len(shape) != 4 or len(image) != 4:
        return ""
    last, first = (0, 2, 3, 1), (0, 3, 1, 2)
    for axis, order, inner, where in ((3, last, (1, 2, 0), "first"), (1, first, (2, 0, 1), "last")):
        moved = tuple(image[each] for each in order)
        if shape[axis] in (1, 3, 4) and image[axis] != shape[axis] and fits(moved, shape):
            how = f"np.transpose(x, {order})" if image is dims else f"np.transpose(x, {inner})[None]"
            return f"channels come {where}: transpose to {shape_text(moved)} ({how})"
    return ""


def _reshape_hint(dims: Shape, shape: Shape) -> str:
    """Arrays of another rank that hold a whole number of the signature's examples."""
    per_example, total = element_count(shape[1:]), element_count(dims)
    if not per_example or not total or total % per_example:
        return ""
    wanted = (total // per_example, *shape[1:])
    if not fits(wanted, shape):
        return ""
    what = "the array was flattened: " if dims[-1] in (total, per_example) else ""
    return f"{what}reshape to {shape_text(wanted)}"


def _same_rank_hint(dims: Shape, shape: Shape) -> str:
    wrong = [axis for axis, want in enumerate(shape) if want not in (dims[axis], UNKNOWN_DIM)]
    if wrong == [0] and shape[0] == 1:
        return "the model was exported with a fixed batch of 1: send examples one by one, or export it with a free batch dimension"
    if wrong == [0]:
        return f"the model was exported with a fixed batch of {shape[0]}"
    if len(shape) == 4 and wrong == [3] and dims[3] in _COLOURS and shape[3] in _COLOURS:
        return f"the image is {_COLOURS[dims[3]]}: convert it to {_COLOURS[shape[3]]}"
    if len(shape) == 4 and wrong == [1, 2]:
        swapped = (dims[0], dims[2], dims[1], dims[3])
        if fits(swapped, shape):
            return f"height and width are swapped: send {shape_text(swapped)}"
    if len(shape) == 4 and set(wrong) <= {1, 2} and UNKNOWN_DIM not in shape[1:3]:
        return f"resize the image to {shape[1]}x{shape[2]} (height x width)"
    if len(shape) == 2 and wrong == [1]:
        return "pad or cut each example to this length" if dims[1] else ""
    return ""


def length_hint(view: TensorView, kind: DType, count: int) -> str:
    """Why `tensor_content` may have another length than `count` elements of `kind` need."""
    length = view.content_length
    if not view.dims and length % kind.size == 0:
        return "the shape was not set: fill tensor_shape"
    if length % count == 0:
        usual = ("float32", "float64", "uint8", "int32", "int64", "float16")
        names = [each.name for each in DTYPES.values() if each.size == length // count and each.name in usual]
        if names and kind.name not in names:
            return f"the bytes look like {' or '.join(names)}: make dtype and array agree"
    return (
        ""
        if length % kind.size == 0
        else f"not a whole number of {kind.name} values: cut or of another dtype"
    )


def swap_hint(
    views: Mapping[str, TensorView], specs: Mapping[str, TensorSpec], wrong: Collection[str]
) -> dict[str, str]:
    """For inputs whose tensors were sent under each other's aliases: alias → where its tensor belongs.

    `wrong` are the aliases that violate their specs. Empty for a great many, and unless every tensor involved fits exactly one
    other wrong alias and the moves form a permutation.
    """
    moves: dict[str, str] = {}
    if len(wrong) > _MOST_SWAPPED:
        return moves
    for alias in wrong:
        view = views[alias]
        homes = [
            other
            for other in wrong
            if other != alias and view.dtype == specs[other].dtype and fits(view.dims, specs[other].shape)
        ]
        if len(homes) == 1:
            moves[alias] = homes[0]
    while moves and set(moves) != set(moves.values()):
        moves = {alias: home for alias, home in moves.items() if home in moves and alias in moves.values()}
    return moves


def tensor_text(view: TensorView) -> str:
    """`uint8[1,300,300,3]`: what was sent, without values."""
    return f"{dtype_name(view.dtype)}{sent_shape(view.dims)}"


def sent_shape(dims: Shape) -> str:
    """The dimensions of a tensor as sent, of which there can be a great many."""
    shown = ",".join(map(str, dims[:10]))
    return f"[{shown},...] ({len(dims)} dimensions)" if len(dims) > 10 else f"[{shown}]"
