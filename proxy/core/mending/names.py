"""Which input was meant by an alias that the signature does not have: one name for one input, over all at once.

Law: never against dtype, rank or shape, never one name for two inputs, and nothing where it is a toss-up. The same
request always gets the same words, in whatever order its map was written. Works on a bounded number of names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Final

from proxy.core.explain import quote
from proxy.core.mending.dtypes import string_kind
from proxy.core.mending.remedies import (
    DropInput,
    Encode,
    Remedy,
    renamed,
)
from proxy.core.mending.writing import by_stem, plain_stem, same_writing, stem_of, writings_of
from proxy.core.types import DT_STRING, RequestView, Signature, TensorSpec, TensorView, fits

_MOST_UNKNOWN: Final = 256
_MOST_COMPARED: Final = 12
"""Unknown and missing names that are compared each with each."""
_TYPO: Final = 0.85
_LARGEST_COUNTER: Final = 999
"""Larger numbers are years and the like, which nobody counts anew."""
_EXAMPLE_ALIASES: Final = ("examples", "example", "serialized", "serialized_examples", "input_example_tensor")


@dataclass(frozen=True, slots=True)
class Names:
    """What was found about the names of a request's inputs.

    `remedies` are by unknown alias. `filled` are the missing inputs that a certain remedy brings, and `moved` the
    aliases that the signature has and whose tensors belong under others, each with that remedy.
    """

    remedies: Mapping[str, list[Remedy]] = field(default_factory=dict)
    filled: Mapping[str, Remedy] = field(default_factory=dict)
    moved: Mapping[str, Remedy] = field(default_factory=dict)


def accepts(spec: TensorSpec, view: TensorView) -> bool:
    """Whether dtype and dimensions are what `spec` allows."""
    return spec.dtype in {view.dtype, 0} and fits(view.dims, spec.shape)


def name_remedies(request: RequestView, signature: Signature) -> Names:
    """What every alias of `request` that `signature` does not have was meant to be."""
    views = {view.alias: view for view in request.inputs}
    unknown = sorted(views.keys() - signature.inputs.keys())
    absent = sorted(signature.inputs.keys() - views.keys())
    if len(unknown) > _MOST_UNKNOWN:
        return Names({alias: [] for alias in unknown})
    matching = _Matching(views, signature, unknown, absent)
    matching.same_names()
    matching.series()
    matching.examples()
    matching.by_spec()
    matching.typos()
    return matching.names()


class _Matching:
    """One name after the other finds its input; what is found is taken out of what is left."""

    def __init__(
        self, views: Mapping[str, TensorView], signature: Signature, unknown: list[str], absent: list[str]
    ) -> None:
        self._views = views
        self._signature = signature
        self._unknown = unknown
        self._absent = absent
        required = [alias for alias in absent if alias not in signature.defaults]
        self._required = bool(required)
        self._missing = required or list(absent)
        self._remedies: dict[str, list[Remedy]] = {}
        self._filled: dict[str, Remedy] = {}
        self._moved: dict[str, Remedy] = {}

    def names(self) -> Names:
        for alias in self._unknown:
            if not self._absent and not self._of_a_series(alias, alias):
                self._remedies[alias] = [Remedy("leave it out", (DropInput(alias),), exact=True)]
            else:
                self._remedies.setdefault(alias, [])
        return Names(self._remedies, self._filled, self._moved)

    def _fits(self, alias: str, target: str) -> bool:
        return accepts(self._signature.inputs[target], self._views[alias])

    def _left(self) -> list[str]:
        return [alias for alias in self._unknown if alias not in self._remedies]

    def _take(self, alias: str, target: str, remedies: list[Remedy]) -> None:
        self._remedies[alias] = remedies
        if target in self._missing:
            self._missing.remove(target)
        if target in self._absent and len(remedies) == 1 and remedies[0].exact:
            self._filled[target] = remedies[0]

    def same_names(self) -> None:
        """Names that are the alias in another writing: case, separators, `:0`, the name in the graph."""
        pairs = same_writing(self._unknown, writings_of(self._signature))
        strayed = {plain_stem(each) for each in self._unknown if each not in pairs}
        for alias, (target, how) in pairs.items():
            if target not in self._absent:
                continue
            if plain_stem(alias) in strayed and len(self._signature.inputs) > 1:
                # Others of its series are there under numbers that the signature has not: all may have moved.
                self._take(alias, target, [])
                continue
            if not self._fits(alias, target):
                # It was meant, and it does not fit: neither is anyone else's.
                self._take(alias, target, [])
                continue
            self._take(alias, target, [Remedy(how, (renamed({alias: target}),), exact=True)])

    def series(self) -> None:
        """Numbered series, of which a tool counted all anew: every member moves by the same number."""
        ours, sent = by_stem(self._signature.inputs), by_stem(self._views)
        for stem, theirs in sent.items():
            wanted = ours.get(stem, {})
            left = [
                alias for alias in theirs.values() if alias in self._unknown and alias not in self._remedies
            ]
            if not left or len(theirs) != len(wanted) or len(theirs) < 2:
                continue
            pairs = list(zip(sorted(theirs), sorted(wanted), strict=True))
            moves = {theirs[at]: wanted[to] for at, to in pairs if theirs[at] != wanted[to]}
            if not all(self._fits(*each) for each in moves.items()):
                continue
            if max(wanted) > _LARGEST_COUNTER:
                continue
            steps = {to - at for at, to in pairs}
            if len(steps) == 1:
                self._shifted(moves, steps.pop())
            elif moves.keys() != set(left):
                # Either some that the signature has moved too, or these alone took the numbers that are missing.
                self._remedies |= {alias: [] for alias in left}

    def _shifted(self, moves: Mapping[str, str], by: int) -> None:
        first, *others = sorted(moves)
        shown = f"send {quote(first)} as {quote(moves[first])}"
        shown += f", {quote(others[0])} as {quote(moves[others[0]])}" if others else ""
        more = len(moves) - 2
        shown += f" and so on with {more} more" if more > 0 else ""
        cause = (
            f"the numbers of this series are off by {abs(by)}"
            if by
            else "these numbers are written otherwise"
        )
        steps = (renamed(moves),)
        told = False
        for alias in sorted(moves):
            remedy = Remedy("" if told else shown, steps, exact=True, cause="" if told else cause)
            if alias in self._unknown:
                told = True
                self._take(alias, moves[alias], [remedy])
            else:
                self._moved[alias] = Remedy("", steps, exact=True)
        lost = [target for target in moves.values() if target in self._absent]
        self._filled |= dict.fromkeys(lost, Remedy("", steps, exact=True))
        self._missing = [each for each in self._missing if each not in lost]

    def examples(self) -> None:
        """A signature that takes serialised tf.train.Example, and features sent as they are."""
        alias = example_alias(self._signature)
        if alias is None or alias not in self._missing:
            return
        raw = [each for each in self._left() if not self._holds_examples(each)]
        for number, each in enumerate(raw):
            how = (
                f"build one from these features and send it as {quote(alias)}"
                if len(raw) > 1
                else f"build one with this as a feature and send it as {quote(alias)}"
            )
            words = Remedy(
                "" if number else how,
                (Encode(each),),
                cause="" if number else "this signature takes serialised tf.train.Example",
            )
            self._remedies[each] = [words]

    def _holds_examples(self, alias: str) -> bool:
        view = self._views[alias]
        return view.dtype == DT_STRING and "Example" in string_kind(view.head)

    def by_spec(self) -> None:
        """Names of any kind where dtype and shape leave one input alone for each."""
        left, missing = self._left(), list(self._missing)
        if max(len(left), len(missing)) > _MOST_COMPARED:
            return
        homes = {alias: [target for target in missing if self._fits(alias, target)] for alias in left}
        for alias, targets in homes.items():
            rivals = [each for each in left if targets and targets[0] in homes[each]]
            if len(targets) != 1 or len(rivals) != 1:
                continue
            target = targets[0]
            if any(self._fits(alias, other) for other in self._signature.inputs if other != target):
                # One may be too many and another forgotten: names alone tell, if anything does.
                continue
            exact = self._required and not self._of_a_series(alias, target)
            remedies = [Remedy(f"did you mean {quote(target)}?", (renamed({alias: target}),), exact)]
            if not self._required:
                remedies.append(Remedy("leave it out", (DropInput(alias),)))
            self._take(alias, target, remedies)
        for alias in self._left():
            if not self._missing and not self._of_a_series(alias, alias):
                self._remedies[alias] = [Remedy("leave it out", (DropInput(alias),))]

    def _of_a_series(self, alias: str, target: str) -> bool:
        """Whether both are of one numbered series of which more was sent: that may have moved as well."""
        stem = stem_of(alias)
        return stem == stem_of(target) and any(stem_of(each) == stem for each in self._views if each != alias)

    def typos(self) -> None:
        """Names one slip away from an input, where that is the only one of its like."""
        left, missing = self._left(), list(self._missing)
        if max(len(left), len(missing)) > _MOST_COMPARED:
            return
        near = {
            alias: [each for each in missing if self._fits(alias, each) and _one_slip(alias, each)]
            for alias in left
        }
        for alias, targets in near.items():
            if len(targets) == 1 and sum(targets[0] in each for each in near.values()) == 1:
                how = f"did you mean {quote(targets[0])}?"
                self._take(alias, targets[0], [Remedy(how, (renamed({alias: targets[0]}),))])


def _one_slip(name: str, other: str) -> bool:
    if max(len(name), len(other)) > 64 or re.findall(r"\d+", name) != re.findall(r"\d+", other):
        return False
    return SequenceMatcher(None, name.casefold(), other.casefold(), autojunk=False).ratio() >= _TYPO


def example_alias(signature: Signature) -> str | None:
    """The only input of a signature that takes serialised tf.train.Example, as far as its name and spec tell."""
    if len(signature.inputs) != 1:
        return None
    (spec,) = signature.inputs.values()
    is_example = spec.alias in _EXAMPLE_ALIASES or spec.graph_name.partition(":")[0] in _EXAMPLE_ALIASES
    return spec.alias if is_example and spec.dtype == DT_STRING and spec.shape in {(-1,), None} else None
