"""What an example sends for the components of a ragged or a sparse tensor, and what they are called.

Law: components agree with one another, or nothing is sent: zeros would not do. Row splits begin at 0, never fall and
end at the number of what they split (`RaggedTensor.from_row_splits`); indices lie in the dense shape and are in order
(`SparseTensor`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.core.components import Family, Ragged, Sparse
from proxy.core.explain import quote
from proxy.core.types import UNKNOWN_DIM, Shape, TensorSpec

_VALUES_IN_A_ROW: Final = 2
_DENSE_DIM: Final = 8


@dataclass(frozen=True, slots=True)
class Component:
    """One tensor: its shape, its integers in C order (none: they are values, for which anything will do), and what it is."""

    dims: Shape
    numbers: tuple[int, ...]
    note: str


def fixed_rows(family: Family, specs: Mapping[str, TensorSpec]) -> int | None:
    """How many rows a ragged tensor must have; None where that is open."""
    if not isinstance(family, Ragged):
        return None
    shape = specs[family.row_splits[0]].shape
    return None if not shape or shape[0] == UNKNOWN_DIM else shape[0] - 1


def components(
    family: Ragged | Sparse, specs: Mapping[str, TensorSpec], rows: int, inner: Shape
) -> dict[str, Component]:
    """By alias, for a tensor of `rows` rows; `inner` is the shape of one value of a ragged tensor."""
    if isinstance(family, Sparse):
        return _sparse(family, specs, rows)
    return _ragged(family, rows, inner)


def _ragged(family: Ragged, rows: int, inner: Shape) -> dict[str, Component]:
    """Each outer row has one inner one, each innermost row two values."""
    of = f"of ragged {quote(family.base)}"
    count = rows * _VALUES_IN_A_ROW
    found = {
        family.values: Component((count, *inner), (), f"the values {of}, {_VALUES_IN_A_ROW} in each row")
    }
    *outer, last = family.row_splits
    for alias in outer:
        found[alias] = Component((rows + 1,), tuple(range(rows + 1)), f"row splits {of}: into rows of rows")
    found[last] = Component(
        (rows + 1,),
        tuple(range(0, count + 1, _VALUES_IN_A_ROW)),
        f"row splits {of}: row i is values[splits[i]:splits[i+1]]",
    )
    return found


def _sparse(family: Sparse, specs: Mapping[str, TensorSpec], rows: int) -> dict[str, Component]:
    """All values in the first row."""
    of = f"of sparse {quote(family.base)}"
    count, rank = specs[family.indices].shape or (UNKNOWN_DIM, UNKNOWN_DIM)
    count = 1 if count == UNKNOWN_DIM else count
    rank = 2 if rank == UNKNOWN_DIM else rank
    dense = (rows, *[_DENSE_DIM] * (rank - 1))[:rank]
    if rank and count > dense[-1]:
        dense = (*dense[:-1], count)
    indices = tuple(number for at in range(count) for number in (*[0] * (rank - 1), at)) if rank else ()
    return {
        family.indices: Component((count, rank), indices, f"indices {of}: where its values stand"),
        family.values: Component((count,), (), f"the values {of}"),
        family.dense_shape: Component((rank,), dense, f"the dense shape {of}: yours to choose"),
    }
