"""Words for people: quoting, did-you-mean, and the hint that mends a mismatch.

Law: runs only once something is already wrong, so clarity comes before speed; never shows tensor values.
What a client sent is quoted in ASCII, cut, and without control characters, because it ends up in logs.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping

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
    shape_text,
)

_NAMES_SHOWN = 6
_CLOSE_ENOUGH = 0.6

_IMAGE_HEADS = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"RIFF", "a WebP image"),
)


def escape(text: str, limit: int = 80) -> str:
    """`text` as printable ASCII, cut to about `limit` characters."""
    shown = text[:limit].encode("unicode_escape").decode("ascii")
    return shown if len(text) <= limit else f"{shown}..."


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
    folded = name.casefold()
    for each in names:
        if each.casefold() == folded:
            return each
    # difflib is quadratic: bound what a client can make it chew on.
    found = difflib.get_close_matches(name[:100], names[:1000], n=1, cutoff=_CLOSE_ENOUGH)
    return found[0] if found else None


def alias_hint(
    alias: str,
    signature: Signature,
    specs: Mapping[str, TensorSpec],
    others: Iterable[Signature] = (),
    missing: Collection[str] = (),
    *,
    output: bool = False,
) -> str:
    """What an unknown alias was probably meant to be.

    `specs` are the signature's inputs or outputs, `others` the other signatures of the servable, `missing`
    the aliases of `specs` that the request lacks.
    """
    bare = alias.removesuffix(":0")
    for spec in specs.values():
        if spec.graph_name and alias in (spec.graph_name, spec.graph_name.removesuffix(":0")):
            return f"that is the graph name; the alias is {quote(spec.alias)}"
    if bare != alias and bare in specs:
        return f"drop the ':0': the alias is {quote(bare)}"
    suggestion = closest(bare, specs)
    if suggestion is not None:
        return f"did you mean {quote(suggestion)}?"
    for other in others:
        if other.name != signature.name and alias in (other.outputs if output else other.inputs):
            return f"that alias exists in signature {quote(other.name)}: set model_spec.signature_name"
    if len(missing) == 1 and not output:
        return f"did you mean {quote(next(iter(missing)))}?"
    return ""


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
    return len(dims) == len(shape) and all(
        want in (got, UNKNOWN_DIM) for got, want in zip(dims, shape, strict=True)
    )


def _product(dims: Shape) -> int:
    total = 1
    for dim in dims:
        total *= dim
    return total


def string_kind(head: bytes) -> str:
    """What a string with these leading bytes holds, or "" when nothing is recognised."""
    for magic, name in _IMAGE_HEADS:
        if head.startswith(magic):
            return name
    # tf.train.Example: field 1 (Features), then field 1 (a map entry) inside it.
    if len(head) > 3 and head[0] == 0x0A and 0x0A in head[2:4]:
        return "a serialised tf.train.Example"
    return ""


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
    if view.content_length and want.size and view.content_length == _product(view.dims) * want.size:
        return f"tensor_content already has the length of {want.name}: only the dtype field is wrong"
    cast = (
        f"cast with dtype=np.{want.name}"
        if not want.name.startswith(("q", "float8"))
        else f"cast to {want.name}"
    )
    if (got.name, want.name) in (
        ("float64", "float32"),
        ("int64", "int32"),
        ("int32", "int64"),
        ("int32", "float32"),
    ):
        return f"{cast} (Python and NumPy default to {got.name})"
    if got.name in ("float32", "float64") and want.name == "uint8":
        return f"{cast}, after scaling back to 0..255 if the values were normalised"
    if got.name == "uint8" and want.name.startswith("float"):
        return f"{cast}, and normalise as in training"
    return cast


def shape_hint(dims: Shape, shape: Shape) -> str:
    """How to mend dimensions that a spec of `shape` does not allow; "" when no cause is recognised."""
    if len(dims) == len(shape) - 1 and fits((1, *dims), shape):
        return f"the batch dimension is missing: send {shape_text((1, *dims))} (np.expand_dims(x, 0))"
    if len(dims) == len(shape) + 1 and dims[0] == 1 and fits(dims[1:], shape):
        return f"one dimension too many: send {shape_text(dims[1:])} (np.squeeze(x, 0))"
    channels_last = _channels_last(dims, shape)
    if channels_last is not None:
        return channels_last
    if len(shape) == 0:
        return "the input is a scalar: send one value with an empty shape"
    if len(dims) == len(shape):
        return _same_rank_hint(dims, shape)
    known = [dim for dim in shape[1:] if dim != UNKNOWN_DIM]
    if len(known) == len(shape) - 1 and known and len(dims) < len(shape):
        per_example = _product(tuple(known))
        total = _product(dims)
        if (
            per_example
            and total
            and total % per_example == 0
            and shape[0] in (UNKNOWN_DIM, total // per_example)
        ):
            return f"the array was flattened: reshape to {shape_text((total // per_example, *shape[1:]))}"
    if len(dims) == 0:
        return "the shape was not set: fill tensor_shape"
    return ""


def _channels_last(dims: Shape, shape: Shape) -> str | None:
    if len(shape) != 4 or shape[3] not in (1, 3, 4):
        return None
    image = dims if len(dims) == 4 else (1, *dims) if len(dims) == 3 else None
    if image is None or image[1] != shape[3] or image[3] == shape[3]:
        return None
    moved = (image[0], image[2], image[3], image[1])
    if not fits(moved, shape):
        return None
    how = "np.transpose(x, (0, 2, 3, 1))" if len(dims) == 4 else "np.transpose(x, (1, 2, 0))[None]"
    return f"channels come first: transpose to {shape_text(moved)} ({how})"


def _same_rank_hint(dims: Shape, shape: Shape) -> str:
    wrong = [axis for axis, want in enumerate(shape) if want not in (dims[axis], UNKNOWN_DIM)]
    if wrong == [0] and shape[0] == 1:
        return "the model was exported with a fixed batch of 1: send examples one by one, or export it with a free batch dimension"
    if wrong == [0]:
        return f"the model was exported with a fixed batch of {shape[0]}"
    if len(shape) == 4 and wrong == [3] and shape[3] in (1, 3):
        if dims[3] == 4:
            return "the image has an alpha channel: convert it to RGB"
        if dims[3] in (1, 3):
            return "convert the image to RGB" if shape[3] == 3 else "convert the image to grayscale"
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
    if length % count == 0:
        usual = ("float32", "float64", "uint8", "int32", "int64", "float16")
        names = [each.name for each in DTYPES.values() if each.size == length // count and each.name in usual]
        if names and kind.name not in names:
            return f"the bytes look like {' or '.join(names)}: make dtype and array agree"
    if not view.dims and length % kind.size == 0:
        return "the shape was not set: fill tensor_shape"
    return (
        ""
        if length % kind.size == 0
        else f"not a whole number of {kind.name} values: cut or of another dtype"
    )


def swap_hint(
    views: Mapping[str, TensorView], specs: Mapping[str, TensorSpec], wrong: Collection[str]
) -> dict[str, str]:
    """For inputs whose tensors were sent under each other's aliases: alias → where its tensor belongs.

    `wrong` are the aliases that violate their specs. Empty unless every tensor involved fits exactly one
    other wrong alias and the moves form a permutation.
    """
    moves: dict[str, str] = {}
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
    return f"{dtype_name(view.dtype)}{shape_text(view.dims)}"
