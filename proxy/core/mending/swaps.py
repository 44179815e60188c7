"""Tensors that were sent under each other's aliases.

Law: a swap is told where every tensor involved fits exactly one other wrong alias; it is certain only where nothing
else would mend them, and where no input that is right may have part in it.
"""

from collections.abc import Collection, Mapping
from typing import Final

from proxy.core.explain import quote
from proxy.core.mending.names import accepts
from proxy.core.mending.remedies import Decode, Encode, Remedy, renamed
from proxy.core.reasons import Reason
from proxy.core.types import TensorSpec, TensorView
from proxy.core.verdict import Violation

_MOST_SWAPPED: Final = 64
_WRONG: Final = frozenset({Reason.DTYPE_MISMATCH, Reason.RANK_MISMATCH, Reason.SHAPE_MISMATCH})


def with_swaps(
    found: list[Violation],
    proposed: list[list[Remedy]],
    views: Mapping[str, TensorView],
    specs: Mapping[str, TensorSpec],
) -> list[list[Remedy]]:
    """What was `proposed` for each violation, with the swap that would mend it."""
    moves = swap_moves(views, specs, sorted({each.alias for each in found if each.reason in _WRONG}))
    if not moves:
        return proposed
    swapped = [each.alias in moves and each.reason in _WRONG for each in found]
    # What would mend a tensor where it is misleads, unless something would mend every one of them.
    in_place = all(
        remedies and not needs_the_client(remedies)
        for remedies, involved in zip(proposed, swapped, strict=True)
        if involved
    )
    alone = not any(
        accepts(specs[other], views[alias])
        for alias, home in moves.items()
        for other in views.keys() & specs.keys() - {home}
    )
    steps = (renamed(moves),)
    told = []
    for each, remedies, involved in zip(found, proposed, swapped, strict=True):
        if involved:
            how = f"this one belongs under {quote(moves[each.alias])}"
            swap = Remedy(how, steps, alone, "tensors are swapped")
            told.append([swap, *remedies] if in_place else [swap])
        else:
            told.append(remedies)
    return told


def needs_the_client(remedies: list[Remedy]) -> bool:
    """Whether bytes were sent for numbers, or numbers for bytes."""
    return any(isinstance(step, Decode | Encode) for remedy in remedies for step in remedy.steps)


def swap_moves(
    views: Mapping[str, TensorView], specs: Mapping[str, TensorSpec], wrong: Collection[str]
) -> dict[str, str]:
    """For inputs whose tensors were sent under each other's aliases: alias → where its tensor belongs.

    `wrong` are the aliases that violate their specs. Empty for a great many, and unless every tensor involved fits
    exactly one other wrong alias and the moves form a permutation.
    """
    moves: dict[str, str] = {}
    if len(wrong) > _MOST_SWAPPED:
        return moves
    for alias in wrong:
        homes = [other for other in wrong if other != alias and accepts(specs[other], views[alias])]
        if len(homes) == 1:
            moves[alias] = homes[0]
    while moves and set(moves) != set(moves.values()):
        moves = {alias: home for alias, home in moves.items() if home in moves and alias in moves.values()}
    return moves
