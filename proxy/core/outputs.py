"""What the outputs of a model must not be, whatever the request: NaN, or the same for different inputs.

Law: facts of one answer come in, findings go out; what is remembered of a signature is handed in and back. No value
enters here, and no clock: how often one looks, and at what, is for others to decide.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.core.explain import quote

FEWEST_DISTINCT: Final = 8
"""Different inputs in a row that must have had one and the same answer: two or three may by chance."""


class OutputKind(StrEnum):
    """What can be wrong with outputs."""

    NOT_FINITE = "not_finite"
    IDENTICAL = "identical"


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What one answer shows.

    `inputs` and `outputs` are digests of all values of the request and of the answer. `measures`: at least one
    output holds floating-point values; labels and counts repeat themselves by nature. `not_finite` names the outputs
    with NaN or infinity in them, `inputs_not_finite` the inputs (read only where an output is not finite).
    """

    inputs: bytes
    outputs: bytes
    measures: bool = True
    not_finite: tuple[str, ...] = ()
    inputs_not_finite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputFinding:
    """One thing that is wrong, and a sentence on it for a person; it holds names and counts, never values."""

    kind: OutputKind
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """Answers in a row that were one and the same, with the different inputs that got it, FEWEST_DISTINCT at most."""

    outputs: bytes = b""
    inputs: frozenset[bytes] = field(default=frozenset())

    def followed_by(self, facts: OutputFacts) -> "Run":
        """The run after one more answer."""
        if not facts.measures:
            return self
        if facts.outputs != self.outputs:
            return Run(facts.outputs, frozenset((facts.inputs,)))
        if facts.inputs in self.inputs or len(self.inputs) >= FEWEST_DISTINCT:
            return self
        return Run(self.outputs, self.inputs | {facts.inputs})


def judge_outputs(facts: OutputFacts, run: Run) -> list[OutputFinding]:
    """Everything that is wrong with an answer; `run` includes it."""
    findings = []
    if facts.not_finite:
        outputs = f"NaN or infinity in output {_names(facts.not_finite)}"
        if facts.inputs_not_finite:
            text = (
                f"{outputs}, and in input {_names(facts.inputs_not_finite)}: mend the client, "
                "or refuse such requests with --severity VALUE_NOT_FINITE=refuse"
            )
        else:
            text = (
                f"{outputs}, though the inputs are finite: look for a division by zero or an overflow in the "
                "model, and for inputs in another range than in training"
            )
        findings.append(OutputFinding(OutputKind.NOT_FINITE, text))
    if facts.measures and facts.outputs == run.outputs and len(run.inputs) >= FEWEST_DISTINCT:
        text = (
            f"at least {FEWEST_DISTINCT} different inputs in a row had the very same outputs: look for inputs that "
            "are not preprocessed as in training (values that saturate), weights that were not restored, or an "
            "export that does not use its input"
        )
        findings.append(OutputFinding(OutputKind.IDENTICAL, text))
    return findings


_MOST_NAMES: Final = 5


def _names(aliases: tuple[str, ...]) -> str:
    more = f" and {len(aliases) - _MOST_NAMES} more" if len(aliases) > _MOST_NAMES else ""
    return ", ".join(map(quote, aliases[:_MOST_NAMES])) + more
