"""Judges one request against one servable: every violation, not only the first.

Law: decides what is wrong and, by the policy's severities, whether that refuses or warns; knows nothing of
modes, caches or wires. A request that fits costs one pass over its inputs.
"""

from heapq import nsmallest
from itertools import islice

from proxy.core import explain, rules
from proxy.core.explain import quote
from proxy.core.mending.deciding import decided, fitting_signatures
from proxy.core.mending.remedies import Mending
from proxy.core.mending.signatures import signature_remedies
from proxy.core.policy import Policy
from proxy.core.reasons import Code, Reason, Severity
from proxy.core.types import DEFAULT_SIGNATURE, RequestView, Servable, Signature, element_count
from proxy.core.verdict import Verdict, Violation

MAX_UNKNOWN = 10
"""So many unknown inputs, and as many unknown outputs, are told: a client can send any number of them."""

_ANY = 2**127
_SHAPE_REASONS = frozenset({Reason.RANK_MISMATCH, Reason.SHAPE_MISMATCH, Reason.SHAPE_INVALID})


def judge(request: RequestView, servable: Servable, policy: Policy, *, independent: bool = False) -> Verdict:
    """The verdict on a PredictRequest; TF Serving runs Predict on a signature of any method.

    `independent`: the inputs are known to have no batch in common.
    """
    signature = servable.signature(request.signature)
    if signature is None:
        return _sorted_out([_signature_not_found(request, servable)], policy, servable, None)
    found = _inputs(request, signature, policy, independent)
    if request.outputs:
        found += islice(rules.output_filter(request.outputs, signature), MAX_UNKNOWN)
    return _sorted_out(decided(found, request, signature, servable), policy, servable, signature)


def with_values(verdict: Verdict, found: list[Violation], policy: Policy) -> Verdict:
    """The verdict on a request that fits its signature, with what was `found` in its values."""
    severities = policy.severities
    return verdict._replace(
        violations=tuple(each for each in found if severities[each.reason] is Severity.REFUSE),
        warnings=verdict.warnings + tuple(each for each in found if severities[each.reason] is Severity.WARN),
    )


def judge_method(request: RequestView, servable: Servable, policy: Policy, method: str) -> Verdict:
    """The verdict on a Classify, Regress or MultiInference task, whose Examples are opaque.

    `method` is the method_name of TF Serving (`tensorflow/serving/classify`). Unlike Predict they answer
    INVALID_ARGUMENT for a signature that does not exist (measured).
    """
    signature = servable.signature(request.signature)
    if signature is None:
        verdict = _sorted_out([_signature_not_found(request, servable)], policy, servable, None)
        return verdict._replace(code=Code.INVALID_ARGUMENT)
    violation = rules.method(signature, method)
    return _sorted_out([violation] if violation else [], policy, servable, signature)


def judge_spec(request: RequestView, policy: Policy) -> Verdict | None:
    """The verdict on a request that names no model, or None where it names one; needs no servable."""
    if request.key is None:
        violation = Violation(
            Reason.MODEL_SPEC_MISSING,
            "model_spec",
            "model_spec",
            "a model name",
            "no model_spec",
            "set model_spec.name",
        )
    elif not request.key.model:
        violation = Violation(
            Reason.MODEL_NAME_MISSING,
            "model_spec.name",
            "model_spec.name",
            "a model name",
            "nothing",
            "set model_spec.name",
        )
    else:
        return None
    return _sorted_out([violation], policy, None, None)


def batch_size(request: RequestView) -> int | None:
    """The leading dimension of the first input that has one."""
    for view in request.inputs:
        if view.dims:
            return view.dims[0]
    return None


def _inputs(request: RequestView, signature: Signature, policy: Policy, independent: bool) -> list[Violation]:
    found: list[Violation] = []
    specs = signature.inputs
    unknown: list[str] = []
    pairs = []
    room = _ANY if policy.max_fill_bytes is None else policy.max_fill_bytes
    for view in request.inputs:
        spec = specs.get(view.alias)
        if spec is None:
            unknown.append(view.alias)
            continue
        pairs.append((view, spec))
        count = element_count(view.dims)
        if count is None:
            elements: Violation | None = rules.shape_invalid(view)
        else:
            elements = rules.payload(view, count, min(room, rules.MAX_FILLED_BYTES))
            if elements is None or elements.reason is not Reason.PAYLOAD_MISSING:
                # What is refused fills nothing, and is no fault of the others.
                room -= rules.filled_bytes(view, count)
        found += filter(None, (rules.dtype(view, spec), rules.shape(view, spec), elements))
    if len(found) > 1:
        # A map on the wire has no order.
        found.sort(key=lambda each: each.alias)
    if unknown or len(pairs) != len(specs):
        found = _aliases(request, unknown, signature) + found
    if found:
        # Of a shape that is refused nobody knows which dimension is the batch.
        misfits = {
            each.alias
            for each in found
            if each.reason in _SHAPE_REASONS and policy.severities[each.reason] is Severity.REFUSE
        }
        pairs = [each for each in pairs if each[0].alias not in misfits]
    return found + rules.batch(pairs, signature, policy.max_batch, independent=independent)


def _aliases(request: RequestView, unknown: list[str], signature: Signature) -> list[Violation]:
    absent = signature.inputs.keys() - {view.alias for view in request.inputs} - signature.defaults
    found = [rules.input_unknown(alias, signature) for alias in nsmallest(MAX_UNKNOWN, unknown)]
    return found + [rules.input_missing(signature.inputs[alias]) for alias in sorted(absent)]


def _signature_not_found(request: RequestView, servable: Servable) -> Violation:
    asked = request.signature
    fitting = fitting_signatures(request, servable, servable.signatures)
    got = quote(asked) if asked else f"no name, and the model has no {quote(DEFAULT_SIGNATURE)}"
    return Violation(
        Reason.SIGNATURE_NOT_FOUND,
        "model_spec.signature_name",
        "signature",
        explain.listing(servable.signatures),
        got,
        mending=Mending(tuple(signature_remedies(fitting, servable.signatures, asked))),
    )


def _sorted_out(
    found: list[Violation], policy: Policy, servable: Servable | None, signature: Signature | None
) -> Verdict:
    model = servable.model if servable else None
    version = servable.version if servable else None
    name = signature.name if signature else ""
    if not found:
        return Verdict(model=model, version=version, signature=name)
    severities = policy.severities
    refusing = tuple(each for each in found if severities[each.reason] is Severity.REFUSE)
    warnings = tuple(each for each in found if severities[each.reason] is Severity.WARN)
    accepts = str(signature) if signature and refusing else ""
    return Verdict(refusing, warnings, model, version, name, accepts)
