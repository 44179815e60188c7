"""Recorded requests → the policy that they would keep, for a person to review.

Law: no I/O. Proposes what every request seen so far satisfies, with some room, and says in comments what was
seen; it never proposes to refuse. Of values only extremes and kinds are kept.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import floor, isfinite, isinf, log10
from typing import Final

import yaml

from proxy.core.reasons import Reason
from proxy.core.types import DTYPES
from proxy.core.validate import batch_size
from proxy.core.values import FEWEST_CONSTANT, StringKind, ValueFacts
from proxy.wire.request import parse_predict
from proxy.wire.values import value_facts

FEW_REQUESTS: Final = 100
"""Below this many requests of a model the proposal says that it has seen little."""

_NATURAL: Final = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
"""Ranges that images and scores are scaled to: proposed whole once half of one is filled."""
_ROOM: Final = 0.5
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


@dataclass
class _Input:
    """What was seen of one input. `low` and `high` bound the numbers."""

    dtypes: set[int] = field(default_factory=set)
    low: float | None = None
    high: float | None = None
    finite: bool = True
    infinite: bool = False
    constants: int = 0
    looked_for_constants: int = 0
    strings: Counter[str] = field(default_factory=Counter)

    def add(self, facts: ValueFacts, dtype: int) -> None:
        self.dtypes.add(dtype)
        self.finite &= facts.finite
        bounds = [bound for bound in (facts.low, facts.high) if bound is not None]
        finite = [bound for bound in bounds if isfinite(bound)]
        self.infinite |= any(map(isinf, bounds))
        if finite:
            self.low = min(finite) if self.low is None else min(*finite, self.low)
            self.high = max(finite) if self.high is None else max(*finite, self.high)
        if facts.count >= FEWEST_CONSTANT:
            self.looked_for_constants += 1
            self.constants += facts.constant
        self.strings.update(
            {"all": facts.strings, "image": facts.images, "example": facts.examples, "base64": facts.base64}
        )


@dataclass
class _Model:
    requests: int = 0
    largest_batch: int = 0
    inputs: dict[str, _Input] = field(default_factory=dict)


class Learner:
    """Is shown PredictRequests, and proposes the `models` section of a settings file."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}

    def __len__(self) -> int:
        return sum(model.requests for model in self._models.values())

    def add(self, message: bytes) -> None:
        """Look at one serialised PredictRequest; raises MalformedRequestError."""
        view = parse_predict(message)
        if view.key is None:
            return
        model = self._models.setdefault(view.key.model, _Model())
        model.requests += 1
        model.largest_batch = max(model.largest_batch, batch_size(view) or 0)
        dtypes = {tensor.alias: tensor.dtype for tensor in view.inputs}
        for facts in value_facts(message):
            model.inputs.setdefault(facts.alias, _Input()).add(facts, dtypes[facts.alias])

    def proposal(self) -> str:
        """YAML in the form of `--config`."""
        lines = ["models:"]
        for name, model in sorted(self._models.items()):
            lines += [f"  {_name(name)}:", *(f"    {line}" for line in _of_model(model))]
        return "\n".join(lines) + "\n"


def _of_model(model: _Model) -> Iterator[str]:
    little = ": few; look twice" if model.requests < FEW_REQUESTS else ""
    yield f"# {model.requests} requests seen{little}"
    if model.largest_batch:
        yield f"max_batch: {1 << (model.largest_batch - 1).bit_length()}  # largest seen: {model.largest_batch}"
    reasons = _reasons(model)
    if reasons:
        yield "# warn: forward and tell; refuse them once you trust this"
        yield "severities:"
        yield from (f"  {reason.value}: warn" for reason in reasons)
        yield "# sample: 10  # to look at the values of every tenth request only"
    inputs = [(alias, list(_of_input(seen))) for alias, seen in sorted(model.inputs.items())]
    if any(lines for _, lines in inputs):
        yield "inputs:"
    for alias, lines in inputs:
        if any(not line.startswith("#") for line in lines):
            yield f"  {_name(alias)}:"
            yield from (f"    {line}" for line in lines)
        else:
            yield from (f"  # {_name(alias)}: {line.removeprefix('# ')}" for line in lines)


def _reasons(model: _Model) -> list[Reason]:
    """Which questions all that was seen answers well."""
    inputs = model.inputs.values()
    floats = [seen for seen in inputs if any("float" in DTYPES[dtype].name for dtype in seen.dtypes)]
    strings = [seen for seen in inputs if seen.strings["all"]]
    watched = [seen for seen in inputs if seen.looked_for_constants]
    wanted = {
        Reason.BATCH_TOO_LARGE: model.largest_batch > 0,
        Reason.VALUE_NOT_FINITE: floats and all(seen.finite for seen in floats),
        Reason.VALUE_OUTSIDE_POLICY_RANGE: any(_range(seen) for seen in inputs),
        Reason.VALUE_CONSTANT: watched and not any(seen.constants for seen in watched),
        Reason.STRING_NOT_AN_IMAGE: any(_kind(seen) is StringKind.IMAGE for seen in strings),
        Reason.STRING_NOT_AN_EXAMPLE: any(_kind(seen) is StringKind.EXAMPLE for seen in strings),
        Reason.STRING_LOOKS_BASE64: strings and not any(seen.strings["base64"] for seen in strings),
    }
    return [reason for reason, yes in wanted.items() if yes]


def _of_input(seen: _Input) -> Iterator[str]:
    if seen.low is not None and seen.high is not None:
        told = f"seen: {seen.low:g} to {seen.high:g}" + ("" if seen.finite else ", and NaN or infinity")
        bounds = _range(seen)
        if bounds is None:
            yield f"# {told}"
        else:
            yield f"min: {_number(bounds[0])}  # {told}"
            yield f"max: {_number(bounds[1])}"
    if seen.constants:
        yield f"# {seen.constants} of {seen.looked_for_constants} tensors held one value throughout"
    count = seen.strings["all"]
    if count:
        kind = _kind(seen)
        if kind is not None:
            yield f"kind: {kind.value}  # all of {count} strings"
        else:
            found = {
                name: seen.strings[name] for name in ("image", "example", "base64") if seen.strings[name]
            }
            kinds = ", ".join(f"{number} {name}" for name, number in found.items())
            yield f"# {count} strings: {kinds or 'text or other bytes'}"


def _kind(seen: _Input) -> StringKind | None:
    for kind in StringKind:
        if seen.strings["all"] and seen.strings[kind.value] == seen.strings["all"]:
            return kind
    return None


def _range(seen: _Input) -> tuple[float, float] | None:
    """The range to propose: a natural one, or what was seen with room.

    None where there is no bound, the dtype says as much, or one value says nothing of a range.
    """
    if seen.low is None or seen.high is None or seen.infinite or seen.low == seen.high:
        return None
    low, high = seen.low, seen.high
    bounds = next(
        (
            (bottom, top)
            for bottom, top in _NATURAL
            if bottom <= low and high <= top and high - low >= (top - bottom) / 2
        ),
        None,
    )
    if bounds is None:
        room = _ROOM * (high - low)
        # What was never below zero seldom may be.
        bottom = 0.0 if low >= 0 and low - room < 0 else _outwards(low - room, -1)
        bounds = bottom, _outwards(high + room, 1)
    if all(_covers(bounds, dtype) for dtype in seen.dtypes):
        return None
    return bounds


def _covers(bounds: tuple[float, float], dtype: int) -> bool:
    """Whether every value of the dtype lies within, so that the range says nothing."""
    kind = DTYPES[dtype]
    return kind.low is not None and kind.high is not None and bounds[0] <= kind.low and kind.high <= bounds[1]


def _outwards(value: float, direction: int) -> float:
    """`value` to two digits, away from the middle."""
    if value == 0:
        return 0.0
    step = 10.0 ** (floor(log10(abs(value))) - 1)
    return float(f"{direction * -floor(-direction * value / step) * step:.12g}")


def _number(value: float) -> str:
    """A number that YAML 1.1 reads as one: it takes 1e5 for a text."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else yaml.safe_dump(value).split()[0]


def _name(text: str) -> str:
    """A YAML key on one line, whatever is in it."""
    if _PLAIN_NAME.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return str(yaml.safe_dump(text, default_style='"', width=float("inf"))).strip()
