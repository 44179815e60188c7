"""What a batch is, learnt from the server: inputs that it has answered although they disagree need not agree."""

import pytest

from proxy.core.policy import Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.gate import PREDICT, Gate, Message
from proxy.gate.independence import MOST
from tests.judging import FixedSignatures, decide, predict, servable, signature, tensor

INPUTS = {"query": ("float32", (-1, 4)), "items": ("float32", (-1, 4))}
PAIR = servable(signature(INPUTS))


def request(queries=1, items=3, model="m", name=""):
    return predict(
        model, name, query=tensor("float32", (queries, 4)), items=tensor("float32", (items, 4))
    ).SerializeToString()


def warnings(gate, message=None):
    return [each.reason for each in decide(gate, message or request()).verdict.warnings]


def test_an_answer_to_inputs_that_disagree_ends_the_warning():
    gate = Gate(FixedSignatures(PAIR), Policies())
    decision = decide(gate, request())
    assert decision.unsettled
    gate.learn(decision)
    assert warnings(gate) == []
    assert not decide(gate, request(2, 5)).unsettled


def test_a_request_that_is_known_by_heart_warns_no_more_either():
    gate = Gate(FixedSignatures(PAIR), Policies())
    for _ in range(4):
        assert warnings(gate) == [Reason.BATCH_MISMATCH]
    gate.learn(gate.judge_now(Message(PREDICT, request())))
    for _ in range(4):
        assert warnings(gate) == []


def test_it_is_learnt_where_values_are_looked_at_too():
    policy = Policy.of(severities={Reason.VALUE_NOT_FINITE: Severity.REFUSE})
    gate = Gate(FixedSignatures(PAIR), Policies(policy))
    gate.learn(decide(gate, request()))
    assert warnings(gate) == []


def test_inputs_that_agree_settle_nothing():
    gate = Gate(FixedSignatures(PAIR), Policies())
    assert not decide(gate, request(3, 3)).unsettled


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(servable(signature(INPUTS), version=2), id="another version"),
        pytest.param(
            servable(signature(INPUTS | {"more": ("float32", (-1,))}, defaults=frozenset({"more"}))),
            id="other signatures of the same version",
        ),
    ],
)
def test_it_is_forgotten_with_the_servable(other):
    signatures = FixedSignatures(PAIR)
    gate = Gate(signatures, Policies())
    gate.learn(decide(gate, request()))
    signatures.servables["m"] = other
    assert warnings(gate) == [Reason.BATCH_MISMATCH]


def test_another_signature_of_the_model_is_not_meant():
    both = servable(signature(INPUTS), signature(INPUTS, name="other"))
    gate = Gate(FixedSignatures(both), Policies())
    gate.learn(decide(gate, request()))
    assert warnings(gate, request(name="serving_default")) == []
    assert warnings(gate, request(name="other")) == [Reason.BATCH_MISMATCH]


def test_of_very_many_signatures_the_oldest_are_forgotten():
    count = MOST + 1
    gate = Gate(
        FixedSignatures(*(servable(signature(INPUTS), model=f"m{at}") for at in range(count))), Policies()
    )
    for at in range(count):
        gate.learn(decide(gate, request(model=f"m{at}")))
    assert warnings(gate, request(model="m0")) == [Reason.BATCH_MISMATCH]
    assert warnings(gate, request(model="m1")) == []


async def test_what_is_learnt_while_a_refusal_is_confirmed_counts_for_it_and_for_those_like_it():
    class LearntMeanwhile(FixedSignatures):
        async def recheck(self, *args, **kwargs):
            for decision in answered:
                gate.learn(decision)
            return await super().recheck(*args, **kwargs)

    gate = Gate(LearntMeanwhile(PAIR), Policies())
    wrong = predict("m", query=tensor("float32", (1, 4)), items=tensor("int32", (3, 4))).SerializeToString()
    answered = []
    for _ in range(3):
        refused = await gate.judge(Message(PREDICT, wrong))
        assert [each.reason for each in refused.verdict.warnings] == [Reason.BATCH_MISMATCH]
    answered.append(decide(gate, request()))
    for _ in range(3):
        refused = await gate.judge(Message(PREDICT, wrong))
        assert [each.reason for each in refused.verdict.violations] == [Reason.DTYPE_MISMATCH]
        assert refused.verdict.warnings == ()
