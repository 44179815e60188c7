"""What the call itself tells: which input `arg[i]` is, and how the request contradicts the signature.

Law: the same judgement that refuses requests explains the errors of those that were let through (policies
`observe` and `off`, or rules made lenient); it is asked only once an error is there.
"""

from proxy.core.policy import Policy
from proxy.core.reasons import Reason
from proxy.core.types import Signature, TensorSpec
from proxy.core.validate import batch_size, judge
from proxy.core.verdict import Violation
from proxy.diagnosis.answer import Call

_STRICT = Policy()

SHAPE_REASONS = frozenset({Reason.RANK_MISMATCH, Reason.SHAPE_MISMATCH, Reason.BATCH_MISMATCH})


def input_of_arg(signature: Signature, index: int) -> TensorSpec | None:
    """The input that TensorFlow calls `arg[index]`: inputs count in the order of their graph tensor names.

    Measured: with inputs `text` and `ids` (graph names serving_default_text:0 and serving_default_ids:0),
    arg[0] is `ids`. None where a graph name is unknown or the signature has fewer inputs.
    """
    specs = sorted(signature.inputs.values(), key=lambda spec: spec.graph_name)
    if index >= len(specs) or not all(spec.graph_name for spec in specs):
        return None
    return specs[index]


def contradictions(call: Call) -> tuple[Violation, ...]:
    """Everything in which a PredictRequest departs from its signature, warnings included."""
    if call.request is None or call.servable is None or not call.method.endswith("/Predict"):
        return ()
    verdict = judge(call.request, call.servable, _STRICT, independent=call.independent)
    return verdict.violations + verdict.warnings


def told(violation: Violation) -> str:
    """One violation in words."""
    hint = f" ({violation.hint})" if violation.hint else ""
    return f"{violation.where}: expected {violation.expected}, got {violation.got}{hint}"


def batch_of(call: Call) -> int | None:
    """The batch size that was sent, where the request shows one."""
    return batch_size(call.request) if call.request is not None else None
