"""Where it is decided what each violation of a request is told to be mended by.

Law: sees all violations of a request together, because one mistake can cause several; looks at a bounded number of
them. A mending of the whole request by another signature stands beside what would mend it under this one.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Final

from proxy.core.components import Family, described, input_families
from proxy.core.explain import quote
from proxy.core.mending.dtypes import dtype_remedies, field_remedies, length_remedies
from proxy.core.mending.names import Names, accepts, name_remedies
from proxy.core.mending.remedies import (
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
)
from proxy.core.mending.shapes import shape_remedies, unset_shape_remedies
from proxy.core.mending.signatures import signature_remedies
from proxy.core.mending.swaps import needs_the_client, with_swaps
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

MOST_MENDED: Final = 512
"""So many violations of a request are told how to be mended: a table of some hundred columns has one for each."""
_MOST_SEARCHED: Final = 32
_SEARCHED_RANK: Final = 5
"""From this rank on the search for a shape may take a millisecond: that many tensors of a request are searched."""
_MOST_SIGNATURES: Final = 32

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
        self._searched = 0

    def over(self, found: list[Violation]) -> list[Violation]:
        names = Names()
        if any(each.reason is Reason.INPUT_UNKNOWN for each in found):
            names = name_remedies(self._request, self._signature)
        elsewhere = self._elsewhere(found)
        looked_at = found[:MOST_MENDED]
        proposed = [self._proposed(each, names, elsewhere) for each in looked_at]
        proposed = with_swaps(
            looked_at, _of_another_kind(looked_at, proposed), self._views, self._signature.inputs
        )
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
        own = list(violation.mending.remedies)
        if reason is Reason.INPUT_UNKNOWN:
            return names.remedies.get(alias) or ([] if elsewhere else self._by_alias_elsewhere(alias))
        if alias in names.moved and reason in _OF_TENSOR:
            return [names.moved[alias]]
        if reason is Reason.INPUT_MISSING and alias in names.filled:
            return [names.filled[alias]._replace(how="", cause="")]
        view, spec = self._views.get(alias), self._signature.inputs.get(alias)
        if view is None or spec is None:
            return own
        if reason in {Reason.DTYPE_MISMATCH, Reason.DTYPE_INVALID}:
            return dtype_remedies(view, spec)
        if reason in _OF_TENSOR:
            return self._of_shape(view, spec)
        if reason is Reason.SHAPE_INVALID:
            return self._suiting(view, spec, _with_size(view, spec))
        return self._of_payload(reason, view, spec) if reason in _OF_PAYLOAD else own

    def _of_shape(self, view: TensorView, spec: TensorSpec) -> list[Remedy]:
        if any(view.alias in family.aliases for family in input_families(self._signature)):
            # The dense tensor stands there: no other shape makes a component of it.
            return []
        values = _values(view)
        if not view.dims and values not in {None, 0, 1}:
            return self._suiting(view, spec, unset_shape_remedies(view.alias, values or 0, spec.shape))
        self._searched += len(view.dims) >= _SEARCHED_RANK
        if self._searched > _MOST_SEARCHED:
            return []
        return self._suiting(view, spec, shape_remedies(view.alias, view.dims, spec.shape or (), spec.dtype))

    def _suiting(self, view: TensorView, spec: TensorSpec, remedies: list[Remedy]) -> list[Remedy]:
        """The remedies of a shape, of which those are not certain that the other inputs do not suit.

        The batch would be another than that of the inputs that fit, or an input of unknown rank shares the mistake.
        """
        batches, of_unknown_rank = self._others
        alone = of_unknown_rank[view.dims] == (spec.shape is None)
        if not batches or not spec.shape or spec.shape[0] != UNKNOWN_DIM:
            return [each._replace(exact=each.exact and alone) for each in remedies]
        return [
            each._replace(
                exact=each.exact and alone and batches <= set(_dims_after(view.dims, each.steps)[:1])
            )
            for each in remedies
        ]

    @cached_property
    def _others(self) -> tuple[set[int], Counter[Shape]]:
        """The batches of the inputs that fit, and how many of unknown rank have which dimensions."""
        batches: set[int] = set()
        of_unknown_rank: Counter[Shape] = Counter()
        for alias, view in self._views.items():
            spec = self._signature.inputs.get(alias)
            if spec is None:
                continue
            if spec.shape is None:
                of_unknown_rank[view.dims] += 1
            elif (
                spec.shape[:1] == (UNKNOWN_DIM,)
                and min(view.dims, default=-1) >= 0
                and fits(view.dims, spec.shape)
            ):
                batches.add(view.dims[0])
        return batches, of_unknown_rank

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
            return self._suiting(view, spec, unset_shape_remedies(view.alias, values or 0, spec.shape))
        if reason is Reason.PAYLOAD_FIELD_MISMATCH:
            return field_remedies(view, kind)
        if reason is Reason.PAYLOAD_LENGTH_MISMATCH and kind.size:
            return length_remedies(view, kind, element_count(view.dims) or 1)
        return []

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


def _of_another_kind(found: list[Violation], proposed: list[list[Remedy]]) -> list[list[Remedy]]:
    """Strings for numbers, or the reverse: their shape is that of something else, and no other shape mends it."""
    kinds = {
        each.alias: [remedy._replace(how="", cause="") for remedy in remedies]
        for each, remedies in zip(found, proposed, strict=True)
        if each.reason is Reason.DTYPE_MISMATCH and needs_the_client(remedies)
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


def _dims_after(dims: Shape, steps: tuple[Step, ...]) -> Shape:
    for step in steps:
        match step:
            case ExpandDims(_, axis):
                dims = (*dims[:axis], 1, *dims[axis:])
            case Squeeze(_, axis):
                dims = dims[:axis] + dims[axis + 1 :]
            case Reshape(_, shape) | SetShape(_, shape):
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
