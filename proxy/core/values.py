"""What the values of a tensor must be where a policy asks: finite, in range, not constant, images, Examples.

Law: these are questions about meaning that no signature answers, so all are off unless a policy asks. Facts come
in and violations go out: no payload enters here, and no value ever leaves.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from proxy.core.explain import escape, quote
from proxy.core.mending.dtypes import string_remedy
from proxy.core.mending.remedies import Mending
from proxy.core.reasons import Reason
from proxy.core.verdict import Violation

FEWEST_CONSTANT: Final = 16
"""Elements that a tensor must have for a constant to be suspicious: small ones are constant by chance."""

MEANING: Final = (
    Reason.VALUE_NOT_FINITE,
    Reason.VALUE_OUTSIDE_POLICY_RANGE,
    Reason.VALUE_CONSTANT,
    Reason.STRING_NOT_AN_IMAGE,
    Reason.STRING_NOT_AN_EXAMPLE,
    Reason.STRING_LOOKS_BASE64,
)
"""The reasons that need a look at values."""


class StringKind(StrEnum):
    """What the strings of an input are said to be."""

    IMAGE = "image"
    EXAMPLE = "example"


@dataclass(frozen=True, slots=True)
class InputPolicy:
    """What a policy says of one input's values: the range that they lie in (inclusive), what its strings are."""

    low: float | None = None
    high: float | None = None
    kind: StringKind | None = None


@dataclass(frozen=True, slots=True)
class ValueFacts:
    """What the values of one tensor show. `count` is the number of elements.

    `finite` is False when a NaN or an infinity is among them. `low` and `high` bound the others (None: not
    numbers, or none). `strings`, `images`, `examples` and `base64` count the strings, and those that look so;
    `kind` is what the first of them that is no image holds ("": not recognised).
    """

    alias: str
    count: int
    finite: bool = True
    low: float | None = None
    high: float | None = None
    constant: bool = False
    strings: int = 0
    images: int = 0
    examples: int = 0
    base64: int = 0
    kind: str = ""


_ANYTHING: Final = InputPolicy()


def judge_values(facts: Iterable[ValueFacts], inputs: Mapping[str, InputPolicy]) -> list[Violation]:
    """Everything in which the values depart from what `inputs` says of each alias."""
    return [violation for each in facts for violation in _violations(each, inputs.get(each.alias, _ANYTHING))]


def _violations(facts: ValueFacts, policy: InputPolicy) -> Iterator[Violation]:
    def wrong(reason: Reason, expected: str, got: str, hint: str = "") -> Violation:
        alias = facts.alias
        return Violation(
            reason, f'inputs["{escape(alias)}"]', f"input {quote(alias)}", expected, got, hint, alias
        )

    if not facts.finite:
        yield wrong(
            Reason.VALUE_NOT_FINITE, "finite values", "NaN or infinity", "look for a division by zero before"
        )
    below = policy.low is not None and facts.low is not None and facts.low < policy.low
    above = policy.high is not None and facts.high is not None and facts.high > policy.high
    if below or above:
        got = "values below and above" if below and above else "values below" if below else "values above"
        yield wrong(Reason.VALUE_OUTSIDE_POLICY_RANGE, _range(policy), got, _scale_hint(facts, policy))
    if facts.constant and facts.count >= FEWEST_CONSTANT:
        yield wrong(
            Reason.VALUE_CONSTANT,
            "values that differ",
            f"{facts.count} times the same",
            "an empty or lost payload looks like this",
        )
    if policy.kind is StringKind.IMAGE and facts.images < facts.strings:
        got = f"{facts.strings - facts.images} of {facts.strings} strings that are not"
        instead = string_remedy(facts.alias, facts.kind)
        hint = "" if instead else "send the bytes of a JPEG, PNG, GIF or BMP file"
        found = wrong(Reason.STRING_NOT_AN_IMAGE, "encoded images", got, hint)
        yield replace(found, mending=Mending((instead,))) if instead else found
    if policy.kind is StringKind.EXAMPLE and facts.examples < facts.strings:
        got = f"{facts.strings - facts.examples} of {facts.strings} strings that are not"
        yield wrong(
            Reason.STRING_NOT_AN_EXAMPLE,
            "serialised tf.train.Example",
            got,
            "send tf.train.Example(...).SerializeToString()",
        )
    if facts.base64:
        got = f"{facts.base64} of {facts.strings} strings in base64"
        yield wrong(
            Reason.STRING_LOOKS_BASE64, "raw bytes", got, "only TF Serving's REST interface decodes base64"
        )


def _range(policy: InputPolicy) -> str:
    if policy.low is None:
        return f"values up to {policy.high:g}"
    if policy.high is None:
        return f"values from {policy.low:g}"
    return f"values from {policy.low:g} to {policy.high:g}"


def _scale_hint(facts: ValueFacts, policy: InputPolicy) -> str:
    """Pixels of 0..255 where they should be scaled, and the reverse of it."""
    low, high = facts.low, facts.high
    if low is None or high is None or policy.high is None:
        return ""
    if policy.high == 1 and low >= 0 and 1 < high <= 255:
        return "pixels of 0..255 are not scaled yet: preprocess as in training"
    return ""
