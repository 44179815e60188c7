"""Ragged and sparse tensors as a signature shows them: several dense tensors that belong together.

Law: names and specs must both say so, and what they leave open is left open (`Flattened`). A signature knows only
dense tensors, so `tf.function` flattens a composite argument `x` into `x`, `x_1`, `x_2` … (measured with
TensorFlow 2.21; tensorflow#37226, #42018), in the order of `RaggedTensorSpec._to_components` (flat values, then
row splits from the outermost in) and `SparseTensorSpec._to_components` (indices, values, dense shape). Who exports
the parts by hand names their roles, as TF1 placeholders do: `x/indices`, `x/values`, `x/shape` (tensorflow#6110).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.core.explain import quote
from proxy.core.per_signature import once_per_signature
from proxy.core.types import UNKNOWN_DIM, Signature, TensorSpec

_INT32: Final = 3
_INT64: Final = 9

_NUMBERED: Final = re.compile(r"(?P<base>.+)_(?P<number>[1-9][0-9]*)", re.DOTALL)

_NUMBERED_BY_THEIR_MAKER: Final = frozenset({"keras_tensor", "input_layer", "Placeholder"})
"""Keras 3 and TF1 call the second input that has no name of its own `keras_tensor_1`; it is no component."""

_ROLE: Final = re.compile(
    r"(?P<base>|.*?[/_.:]+)(?P<role>indices|dense_?shape|shape|(?:flat_?)?values|row_?splits|offsets)(?:_(?P<number>[0-9]{1,3}))?",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ragged:
    """The aliases of one ragged tensor. `row_splits` from the outermost in: the first has one more element than
    there are rows, each further one as many more than the one before it counts, and the last element of the last
    one is the leading dimension of `values`.
    """

    base: str
    values: str
    row_splits: tuple[str, ...]

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.values, *self.row_splits)


@dataclass(frozen=True, slots=True)
class Sparse:
    """The aliases of one sparse tensor: `indices` [n,rank], `values` [n], `dense_shape` [rank]."""

    base: str
    indices: str
    values: str
    dense_shape: str

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.indices, self.values, self.dense_shape)


@dataclass(frozen=True, slots=True)
class Flattened:
    """Aliases that are components of composite tensors however they are read, and can be read in several ways:
    one ragged tensor with three row splits, or two with one each.
    """

    base: str
    aliases: tuple[str, ...]


Family = Ragged | Sparse | Flattened


def families(specs: Mapping[str, TensorSpec]) -> tuple[Family, ...]:
    """The composite tensors among the inputs (or outputs) of a signature, in order of name; no alias is in two.

    Two dense inputs that somebody called `x` and `x_1` and that look like the values and the row splits of one
    ragged tensor cannot be told from it, and are taken for it.
    """
    found = sorted((*_numbered(specs), *_named(specs)), key=lambda family: family.aliases)
    owners: dict[str, int] = {}
    for family in found:
        for alias in family.aliases:
            owners[alias] = owners.get(alias, 0) + 1
    return tuple(family for family in found if all(owners[alias] == 1 for alias in family.aliases))


def described(family: Family) -> str:
    """Which inputs belong together, in one line of ASCII."""
    match family:
        case Ragged(base, values, row_splits):
            splits = ", ".join(map(quote, row_splits))
            return f"{quote(base)} is ragged: values {quote(values)}, row splits {splits}"
        case Sparse(base, indices, values, dense_shape):
            return f"{quote(base)} is sparse: indices {quote(indices)}, values {quote(values)}, dense shape {quote(dense_shape)}"
        case Flattened(base, aliases):
            parts = ", ".join(map(quote, aliases))
            return f"{parts} are components of ragged or sparse tensors in {quote(base)}; the signature does not say of which"


@once_per_signature
def input_families(signature: Signature) -> tuple[Family, ...]:
    """`families` of the inputs: asked for with every request that disagrees."""
    return families(signature.inputs)


def _numbered(specs: Mapping[str, TensorSpec]) -> Iterator[Family]:
    """Of runs `x`, `x_1`, `x_2` …, each from its first to its last: TensorFlow leaves no gap."""
    counts: dict[str, int] = {}
    highest: dict[str, int] = {}
    for alias in specs:
        match = _NUMBERED.fullmatch(alias)
        if match is not None and match["base"] in specs and len(match["number"]) <= len(str(len(specs))):
            base = match["base"]
            counts[base] = counts.get(base, 0) + 1
            highest[base] = max(highest.get(base, 0), int(match["number"]))
    for base, count in counts.items():
        if count == highest[base] and base not in _NUMBERED_BY_THEIR_MAKER:
            yield from _read(base, [specs[base], *(specs[f"{base}_{at}"] for at in range(1, count + 1))])


def _read(base: str, run: Sequence[TensorSpec]) -> Iterator[Family]:
    """All of `run` as composite tensors one behind another (the members of a dict or list that is one argument
    share its numbers); nothing where that is not possible.
    """
    ways = [0] * len(run) + [1]
    first: dict[int, Family] = {}
    for start in reversed(range(len(run))):
        for family in _beginnings(base, run, start):
            behind = ways[start + len(family.aliases)]
            if behind:
                ways[start] = min(2, ways[start] + behind)
                first[start] = family
    if ways[0] > 1:
        yield Flattened(base, tuple(spec.alias for spec in run))
        return
    at = 0
    while ways[0] and at < len(run):
        yield first[at]
        at += len(first[at].aliases)


def _beginnings(base: str, run: Sequence[TensorSpec], start: int) -> Iterator[Family]:
    if len(run) - start >= 3:
        indices, values, dense_shape = run[start : start + 3]
        if _is_sparse(indices, values, dense_shape):
            yield Sparse(base, indices.alias, values.alias, dense_shape.alias)
            if indices.shape and indices.shape[1] != UNKNOWN_DIM:
                return  # a rank that is told twice is no accident
    values = run[start]
    splits: list[TensorSpec] = []
    for spec in run[start + 1 :]:
        splits.append(spec)
        if not _is_ragged(values, splits):
            return
        yield Ragged(base, values.alias, tuple(each.alias for each in splits))


def _named(specs: Mapping[str, TensorSpec]) -> Iterator[Family]:
    """Of names that say their roles; each role once."""
    roles: dict[str, dict[str, list[tuple[int, str]]]] = {}
    for alias in specs:
        match = _ROLE.fullmatch(alias)
        if match is None:
            continue
        role = match["role"].lower().replace("_", "")
        role = {"shape": "denseshape", "flatvalues": "values", "offsets": "rowsplits"}.get(role, role)
        roles.setdefault(match["base"], {}).setdefault(role, []).append((int(match["number"] or 0), alias))
    for prefix, found in roles.items():
        base = prefix.rstrip("/_.:")
        aliases = {role: [alias for _, alias in sorted(places)] for role, places in found.items()}
        match aliases:
            case {"indices": [indices], "values": [values], "denseshape": [shape], **rest} if not rest:
                if _is_sparse(specs[indices], specs[values], specs[shape]):
                    yield Sparse(base, indices, values, shape)
            case {"values": [values], "rowsplits": splits, **rest} if not rest:
                numbers = [number for number, _ in sorted(found["rowsplits"])]
                gapless = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                if gapless and _is_ragged(specs[values], [specs[each] for each in splits]):
                    yield Ragged(base, values, tuple(splits))


def _is_sparse(indices: TensorSpec, values: TensorSpec, dense_shape: TensorSpec) -> bool:
    """`SparseTensorSpec`: int64 indices and dense shape; the rank may be open."""
    if indices.dtype != _INT64 or dense_shape.dtype != _INT64:
        return False
    if indices.shape is None or values.shape is None or dense_shape.shape is None:
        return False
    return (
        len(indices.shape) == 2
        and len(values.shape) == 1
        and indices.shape[0] == values.shape[0]
        and indices.shape[1:] == dense_shape.shape
    )


def _is_ragged(values: TensorSpec, splits: Sequence[TensorSpec]) -> bool:
    """`RaggedTensorSpec`: row splits of one dtype, int32 or int64; only the outermost may have a fixed length, where
    the number of rows is fixed.
    """
    if not values.shape or values.shape[0] != UNKNOWN_DIM:
        return False
    return (
        splits[0].dtype in (_INT32, _INT64)
        and all(split.dtype == splits[0].dtype for split in splits)
        and splits[0].shape is not None
        and len(splits[0].shape) == 1
        and splits[0].shape != (0,)
        and all(split.shape == (UNKNOWN_DIM,) for split in splits[1:])
    )
