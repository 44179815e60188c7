"""Whatever arrives, the gate decides: it does not raise, and judging it does not fail inside either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.gate import JUDGED_METHODS, Admit, Gate, Refuse, Unjudged
from proxy.wire.protos import inference_pb2
from tests.judging import FixedSignatures, decide, servable, signature
from tests.property import wire
from tests.property.tensors import valid_requests

SERVABLES = [
    servable(
        signature(
            {"x": ("float32", (-1, 2)), "image_tensor": ("uint8", (-1, -1, -1, 3)), "ids": ("int64", None)}
        ),
        signature(
            {"größe": ("string", (-1,)), "": ("bfloat16", ())}, name="x", method="tensorflow/serving/classify"
        ),
        model=model,
    )
    for model in ("x", "ids", "größe")
]
WARN_OF_ALL = Policy.of(severities=dict.fromkeys(Reason, Severity.WARN), max_batch=1)
GATES = [
    Gate(FixedSignatures(*SERVABLES), Policies()),
    Gate(FixedSignatures(*SERVABLES), Policies(Policy(Mode.OBSERVE))),
    Gate(FixedSignatures(*SERVABLES), Policies(Policy(Mode.OFF))),
    Gate(FixedSignatures(*SERVABLES), Policies(WARN_OF_ALL)),
]


def assert_decided(message: bytes, method: str) -> None:
    for gate in GATES:
        decision = decide(gate, message, method)
        assert isinstance(decision, Admit | Refuse)
        unreadable = isinstance(decision, Admit) and decision.view is None and decision.verdict is None
        assert unreadable or isinstance(decision, Refuse) or not decision.failed


methods = pytest.mark.parametrize("method", sorted(JUDGED_METHODS), ids=lambda path: path.rpartition("/")[2])


@methods
@given(st.binary(max_size=80))
def test_on_any_bytes(method, message):
    assert_decided(message, method)


@methods
@given(wire.requests | wire.mutated())
def test_on_any_encoding_and_on_damaged_ones(method, message):
    assert_decided(message, method)


@given(wire.mutated(valid_requests().map(lambda case: case[1].SerializeToString())))
def test_on_damaged_valid_requests(message):
    assert_decided(message, "/tensorflow.serving.PredictionService/Predict")


@given(
    st.lists(
        st.tuples(wire.specs, st.sampled_from((b"", b"tensorflow/serving/classify", b"regress"))), max_size=3
    )
)
def test_on_any_tasks_of_multi_inference(tasks):
    message = b"".join(
        wire.length_delimited(1, spec + wire.length_delimited(2, method)) for spec, method in tasks
    )
    assert inference_pb2.MultiInferenceRequest.DESCRIPTOR.fields_by_name["tasks"].number == 1
    assert_decided(message, "/tensorflow.serving.PredictionService/MultiInference")


def test_on_a_method_that_is_not_judged():
    decision = decide(GATES[0], b"", "/tensorflow.serving.PredictionService/GetModelMetadata")
    assert decision == Admit(unjudged=Unjudged.FAULT)
