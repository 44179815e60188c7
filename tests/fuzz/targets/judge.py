"""The gate decides on any message: it never raises, decides the same again, and says it within its bounds.

The first octet chooses the method. What `observe` would have refused is what `enforce` refuses.
"""

from google.rpc import status_pb2

from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.gate import JUDGED_METHODS, Admit, Decision, Gate, Refuse
from proxy.wire.status import DETAILS_BUDGET, TEXT_BUDGET
from tests.fuzz.messages import requests
from tests.judging import FixedSignatures, decide, servable, signature

_METHODS = sorted(JUDGED_METHODS, key=lambda path: not path.endswith("/Predict"))
_SERVABLES = [
    servable(
        signature(
            {
                "x": ("float32", (-1, 2)),
                "ids": ("int64", None),
                "flag": ("bool", (-1,)),
                "half": ("float16", (2,)),
            },
            {"y": ("float32", (-1,)), "z": ("float32", None)},
            defaults=frozenset({"ids", "flag", "half"}),
        ),
        signature(
            {"größe": ("string", (-1,)), "": ("bfloat16", ())}, name="x", method="tensorflow/serving/classify"
        ),
        model=model,
    )
    for model in ("m", "detector", "größe")
]
_ALL = Policy.of(severities=dict.fromkeys(Reason, Severity.WARN), max_batch=1)


def _gate(policy: Policy) -> Gate:
    return Gate(FixedSignatures(*_SERVABLES), Policies(policy))


_ENFORCING, _OBSERVING, _WARNING = (_gate(each) for each in (Policy(), Policy(Mode.OBSERVE), _ALL))


def seeds() -> list[bytes]:
    return [bytes((number % 4,)) + each for number, each in enumerate(requests() * 2)]


def check(data: bytes) -> None:
    if not data:
        return
    method, message = _METHODS[data[0] % len(_METHODS)], data[1:]
    decision = decide(_ENFORCING, message, method)
    _check_told(decision)
    assert told(decide(_ENFORCING, message, method)) == told(decision)
    if data[0] & 0x80:
        assert told(decide(_gate(Policy()), message, method)) == told(decision)
    observed, warned = decide(_OBSERVING, message, method), decide(_WARNING, message, method)
    assert isinstance(observed, Admit)
    if isinstance(decision, Refuse):
        assert observed.would_refuse == decision.verdict.violations
    else:
        assert observed.would_refuse == ()
    _check_told(warned)


def told(decision: Decision) -> object:
    """What the client and the operator learn of a decision."""
    if isinstance(decision, Refuse):
        return decision.verdict, decision.status
    return decision.verdict, decision.would_refuse, decision.batch_size, decision.failed


def _check_told(decision: Decision) -> None:
    if not isinstance(decision, Refuse):
        assert not decision.failed
        return
    code, text, details = decision.status
    assert code == decision.verdict.status_code
    assert 0 < len(text) <= TEXT_BUDGET
    assert all(" " <= character <= "~" for character in text)
    assert len(details) <= DETAILS_BUDGET
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (code, text)
