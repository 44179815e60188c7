"""Where it is decided what each violation of a request is told to be mended by.

Law: sees all violations of a request together, because one mistake can cause several; looks at a bounded number of
them. A mending of the whole request by another signature stands beside what would mend it under this one.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from proxy.core.components import Family, described, input_families
from proxy.core.explain import quote
from proxy.core.mending.dtypes import dtype_remedies, field_remedies, length_remedies
from proxy.core.mending.names import Names, accepts, name_remedies
from proxy.core.mending.remedies import (
    Decode,
    Encode,
    ExpandDims,
    Mending,
    Remedy,
    Reshape,
    SetDtype,
    SetShape,
    SetSignature,
    Squeeze,
    Step,
    Transpose,
    renamed,
)
from proxy.core.mending.shapes import shape_remedies, unset_shape_remedies
from proxy.core.mending.signatures import signature_remedies
from proxy.core.reasons import Reason
from proxy.core.types import (
    DTYPES,
    UNKNOWN_DIM,
    RequestView,
    Servable,
    Shape,
    Signature,
    TensorSpec,
    TensorView,
    element_count,
    fits,
)
from proxy.core.verdict import Violation

MOST_MENDED: Final = 32
"""So many violations of a request are told how to be mended."""
_MOST_SIGNATURES: Final = 32
_MOST_SWAPPED: Final = 64

_OF_TENSOR: Final = frozenset({Reason.DTYPE_MISMATCH, Reason.RANK_MISMATCH, Reason.SHAPE_MISMATCH})
_OF_COMPONENTS: Final = _OF_TENSOR | {Reason.INPUT_MISSING}
_OF_SIGNATURE: Final = _OF_TENSOR | {Reason.INPUT_UNKNOWN, Reason.INPUT_MISSING, Reason.OUTPUT_UNKNOWN}
"""What another signature may make right."""
_OF_PAYLOAD: Final = frozenset(
    {Reason.PAYLOAD_LENGTH_MISMATCH, Reason.PAYLOAD_FIELD_MISMATCH, Reason.PAYLOAD_COUNT_MISMATCH}
)
_MENDABLE: Final = (
    _OF_SIGNATURE | _OF_PAYLOAD | {Reason.DTYPE_INVALID, Reason.SHAPE_INVALID, Reason.OUTPUT_DUPLICATE}
)


def decided(
    found: list[Violation], request: RequestView, signature: Signature, servable: Servable
) -> list[Violation]:
    """The violations in their order, each with its mending."""
    if all(each.reason not in _MENDABLE for each in found):
        return found
    return _Deciding(request, signature, servable).over(found)


class _Deciding:
    def __init__(self, request: RequestView, signature: Signature, servable: Servable) -> None:
        self._request = request
        self._signature = signature
        self._servable = servable
        self._views = {view.alias: view for view in request.inputs}
        self._told: set[tuple[str, tuple[Step, ...]]] = set()
        self._families: set[Family] = set()

    def over(self, found: list[Violation]) -> list[Violation]:
        names = Names()
        if any(each.reason is Reason.INPUT_UNKNOWN for each in found):
            names = name_remedies(self._request, self._signature)
        elsewhere = self._elsewhere(found)
        looked_at = found[:MOST_MENDED]
        proposed = [self._proposed(each, names, elsewhere) for each in looked_at]
        proposed = self._with_swaps(looked_at, _of_another_kind(looked_at, proposed))
        mended = [
            replace(
                each,
                note=each.note or self._of_components(each),
                mending=Mending(tuple(self._once(remedies + _if_of(each, elsewhere)))),
            )
            for each, remedies in zip(looked_at, proposed, strict=True)
        ]
        return mended + found[MOST_MENDED:]

    def _once(self, remedies: list[Remedy]) -> list[Remedy]:
        """Without the words of what was told for an earlier violation."""
        said = []
        for each in remedies:
            key = (each.how, each.steps)
            said.append(each._replace(how="", cause="") if key in self._told and each.steps else each)
            self._told.add(key)
        return said

    def _of_components(self, violation: Violation) -> str:
        """Which inputs belong together where one of a ragged or sparse tensor is missing or wrong; said once."""
        if violation.reason not in _OF_COMPONENTS:
            return ""
        for family in input_families(self._signature):
            if violation.alias in family.aliases and family not in self._families:
                self._families.add(family)
                return described(family)
        return ""

    def _proposed(self, violation: Violation, names: Names, elsewhere: list[Remedy]) -> list[Remedy]:
        reason, alias = violation.reason, violation.alias
        if reason is Reason.INPUT_UNKNOWN:
            return names.remedies.get(alias) or ([] if elsewhere else self._by_alias_elsewhere(alias))
        if alias in names.moved and reason in _OF_TENSOR:
            return [names.moved[alias]]
        if reason is Reason.INPUT_MISSING and alias in names.filled:
            return [names.filled[alias]._replace(how="", cause="")]
        view, spec = self._views.get(alias), self._signature.inputs.get(alias)
        if view is None or spec is None:
            return list(violation.mending.remedies)
        if reason in {Reason.DTYPE_MISMATCH, Reason.DTYPE_INVALID}:
            return dtype_remedies(view, spec)
        if reason in _OF_TENSOR:
            return self._of_shape(view, spec)
        if reason is Reason.SHAPE_INVALID:
            return _with_size(view, spec)
        return self._of_payload(reason, view, spec) if reason in _OF_PAYLOAD else []

    def _of_shape(self, view: TensorView, spec: TensorSpec) -> list[Remedy]:
        if any(view.alias in family.aliases for family in input_families(self._signature)):
            # The dense tensor stands there: no other shape makes a component of it.
            return []
        values = _values(view)
        if not view.dims and values not in {None, 0, 1}:
            return unset_shape_remedies(view.alias, values or 0, spec.shape)
        remedies = shape_remedies(view.alias, view.dims, spec.shape or (), spec.dtype)
        return [each._replace(exact=each.exact and self._suits_the_others(view, each)) for each in remedies]

    def _suits_the_others(self, view: TensorView, remedy: Remedy) -> bool:
        """Whether the batch is then that of the inputs that fit, and no input of unknown rank shares the mistake."""
        for alias, other in self._views.items():
            spec = self._signature.inputs.get(alias)
            if spec is None or alias == view.alias:
                continue
            if spec.shape is None:
                if other.dims == view.dims:
                    return False
            elif spec.shape[:1] == (UNKNOWN_DIM,) and fits(other.dims, spec.shape):
                own = self._signature.inputs[view.alias].shape or ()
                if own[:1] == (UNKNOWN_DIM,) and _dims_after(view.dims, remedy.steps)[:1] != other.dims[:1]:
                    return False
        return True

    def _of_payload(self, reason: Reason, view: TensorView, spec: TensorSpec) -> list[Remedy]:
        labelled = [
            each
            for each in dtype_remedies(view, spec)
            if view.dtype != spec.dtype and any(isinstance(step, SetDtype) for step in each.steps)
        ]
        if labelled:
            return labelled
        kind, values = DTYPES[view.dtype], _values(view)
        if not view.dims and values not in {None, 0, 1}:
            return unset_shape_remedies(view.alias, values or 0, spec.shape)
        if reason is Reason.PAYLOAD_FIELD_MISMATCH:
            return field_remedies(view, kind)
        if reason is Reason.PAYLOAD_LENGTH_MISMATCH and kind.size:
            return length_remedies(view, kind, element_count(view.dims) or 1)
        return []

    # === tensors under each other's names ===

    def _with_swaps(self, found: list[Violation], proposed: list[list[Remedy]]) -> list[list[Remedy]]:
        wrong = sorted({each.alias for each in found if each.reason in _OF_TENSOR})
        moves = swap_moves(self._views, self._signature.inputs, wrong)
        if not moves:
            return proposed
        in_place = all(
            remedies and not _needs_the_client(remedies)
            for each, remedies in zip(found, proposed, strict=True)
            if each.alias in moves and each.reason in _OF_TENSOR
        )
        specs = self._signature.inputs
        alone = not any(
            accepts(specs[other], self._views[alias])
            for alias, home in moves.items()
            for other in self._views.keys() & specs.keys() - {home}
        )
        steps = (renamed(moves),)
        with_swaps = []
        for each, remedies in zip(found, proposed, strict=True):
            if each.alias not in moves or each.reason not in _OF_TENSOR:
                with_swaps.append(remedies)
                continue
            how = f"this one belongs under {quote(moves[each.alias])}"
            swap = Remedy(how, steps, alone, "tensors are swapped")
            # What would mend the tensor where it is misleads, unless it would mend every one of them.
            with_swaps.append([swap, *remedies] if in_place else [swap])
        return with_swaps

    # === other signatures ===

    def _elsewhere(self, found: list[Violation]) -> list[Remedy]:
        """What to say where other signatures take the request as it is."""
        if not any(each.reason in _OF_SIGNATURE for each in found):
            return []
        names = self._servable.signatures.keys() - {self._signature.name}
        remedies = signature_remedies(fitting_signatures(self._request, self._servable, names), names, None)
        if any(each.reason is Reason.INPUT_UNKNOWN for each in found):
            return remedies
        # Or a tensor is missing or wrong, and only by chance another signature takes what is left.
        return [each._replace(exact=False) for each in remedies]

    def _by_alias_elsewhere(self, alias: str) -> list[Remedy]:
        names = [
            name
            for name, each in self._servable.signatures.items()
            if alias in each.inputs and each is not self._signature
        ]
        if len(names) != 1:
            return []
        how = f"set model_spec.signature_name to {quote(names[0])}, which has this alias"
        return [Remedy(how, (SetSignature(names[0]),))]


def _needs_the_client(remedies: list[Remedy]) -> bool:
    """Whether bytes were sent for numbers, or numbers for bytes."""
    return any(isinstance(step, Decode | Encode) for remedy in remedies for step in remedy.steps)


def _of_another_kind(found: list[Violation], proposed: list[list[Remedy]]) -> list[list[Remedy]]:
    """Strings for numbers, or the reverse: their shape is that of something else, and no other shape mends it."""
    kinds = {
        each.alias: [remedy._replace(how="", cause="") for remedy in remedies]
        for each, remedies in zip(found, proposed, strict=True)
        if each.reason is Reason.DTYPE_MISMATCH and _needs_the_client(remedies)
    }
    return [
        kinds[each.alias] if each.alias in kinds and each.reason is not Reason.DTYPE_MISMATCH else remedies
        for each, remedies in zip(found, proposed, strict=True)
    ]


def _if_of(violation: Violation, elsewhere: list[Remedy]) -> list[Remedy]:
    return elsewhere if violation.reason in _OF_SIGNATURE else []


def fitting_signatures(request: RequestView, servable: Servable, names: Collection[str]) -> list[str]:
    """Those signatures of `names`, sorted, that take names, dtypes and shapes of `request`; a bounded number is tried."""
    views = {view.alias: view for view in request.inputs}
    return [
        name for name in sorted(names)[:_MOST_SIGNATURES] if _takes(servable.signatures[name], views, request)
    ]


def _takes(signature: Signature, views: Mapping[str, TensorView], request: RequestView) -> bool:
    inputs = signature.inputs
    return (
        bool(views)
        and views.keys() <= inputs.keys()
        and inputs.keys() - views.keys() <= signature.defaults
        and all(accepts(inputs[alias], view) for alias, view in views.items())
        and set(request.outputs) <= signature.outputs.keys()
    )


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


def _dims_after(dims: Shape, steps: tuple[Step, ...]) -> Shape:
    for step in steps:
        match step:
            case ExpandDims(_, axis):
                dims = (*dims[:axis], 1, *dims[axis:])
            case Squeeze(_, axis):
                dims = dims[:axis] + dims[axis + 1 :]
            case Reshape(_, shape):
                dims = shape
            case Transpose(_, axes):
                dims = tuple(dims[axis] for axis in axes)
    return dims


def _values(view: TensorView) -> int | None:
    """How many values the payload holds by its own account; None: it does not say."""
    kind = DTYPES.get(view.dtype)
    if kind is None or (view.content_length and not kind.size):
        return None
    if view.content_length:
        number, rest = divmod(view.content_length, kind.size)
        return None if rest else number
    return view.counts.get(kind.field, 0) // kind.per_element


def _with_size(view: TensorView, spec: TensorSpec) -> list[Remedy]:
    """A shape with -1, as signatures have it: the payload may say which size is meant."""
    values, dims = _values(view), view.dims
    at = [axis for axis, size in enumerate(dims) if size < 0]
    if len(at) != 1 or dims[at[0]] != UNKNOWN_DIM or not values:
        return []
    others = element_count(dims[: at[0]] + dims[at[0] + 1 :])
    if not others or values % others:
        return []
    wanted = (*dims[: at[0]], values // others, *dims[at[0] + 1 :])
    if not fits(wanted, spec.shape):
        return []
    how = f"by its payload it is {values // others}"
    return [Remedy(how, (SetShape(view.alias, wanted),), exact=True)]
