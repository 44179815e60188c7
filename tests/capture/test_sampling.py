"""Which requests are chosen, and that choosing changes no decision."""

import pytest

from proxy.capture.sampling import SamplingGate
from proxy.core.availability import Unanswered
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.types import PREDICT_METHOD, ModelKey, Servable, Signature, TensorSpec
from proxy.gate import PREDICT, Admit, Gate, Glimpse, Message, Refuse
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict

SPEC = TensorSpec("x", 1, (-1,), "x:0")
SERVABLE = Servable(
    "m", 1, {"serving_default": Signature("serving_default", PREDICT_METHOD, {"x": SPEC}, {})}
)


class Known:
    def peek(self, key):
        return SERVABLE if key.model == "m" else None

    async def lookup(self, key, timeout, client):
        return Unanswered("no such method", kept=True)

    async def recheck(self, key, seen, timeout, arrived, client):
        return seen


def message(dtype=1, model="m"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].dtype = dtype
    request.inputs["x"].tensor_shape.dim.add(size=1)
    request.inputs["x"].tensor_content = bytes(4)
    return request.SerializeToString()


def gate(share=1.0, models=(), mode=Mode.ENFORCE):
    return SamplingGate(Gate(Known(), Policies(Policy.of(mode))), share=share, models=models)


async def test_an_admitted_request_is_chosen_as_it_came():
    data = message()
    decision = gate().judge_now(Message(PREDICT, data))
    assert isinstance(decision, Admit)
    assert decision.sample is data
    assert (await gate().judge(Message(PREDICT, data))).sample is data


async def test_a_request_chosen_once_does_not_stay_with_the_gate():
    one = gate(share=0.5)
    data = message()
    samples = [one.judge_now(Message(PREDICT, data)).sample for _ in range(400)]
    assert 100 < sum(sample is data for sample in samples) < 300
    assert {sample for sample in samples if sample is not data} == {None}


async def test_what_is_wrong_or_unjudged_is_never_chosen():
    assert isinstance(await gate().judge(Message(PREDICT, message(dtype=3))), Refuse)
    observed = await gate(mode=Mode.OBSERVE).judge(Message(PREDICT, message(dtype=3)))
    assert observed.would_refuse
    assert observed.sample is None
    unknown = await gate().judge(Message(PREDICT, message(model="other")))
    assert unknown.failed
    assert unknown.sample is None
    assert (await gate(mode=Mode.OFF).judge(Message(PREDICT, message()))).sample is None


def test_only_the_models_asked_for_are_chosen():
    assert gate(models=["m"]).judge_now(Message(PREDICT, message())).sample is not None
    assert gate(models=["n"]).judge_now(Message(PREDICT, message())).sample is None


@pytest.mark.parametrize("data", [message(), message(dtype=3)])
async def test_decisions_are_those_of_the_gate(data):
    plain = await Gate(Known(), Policies()).judge(Message(PREDICT, data))
    sampled = await gate().judge(Message(PREDICT, data))
    assert type(plain) is type(sampled)
    assert plain.verdict == sampled.verdict
    assert ModelKey("m") == sampled.view.key


async def test_the_answer_to_an_admitted_request_is_chosen_apart_from_recording():
    data = message()
    watching = SamplingGate(Gate(Known(), Policies()), outputs=1.0)
    decision = watching.judge_now(Message(PREDICT, data))
    assert (decision.watched, decision.sample) == (data, None)
    assert (await watching.judge(Message(PREDICT, data))).watched is data
    recorded = gate().judge_now(Message(PREDICT, data))
    assert (recorded.watched, recorded.sample) == (None, data)


async def test_models_that_are_recorded_do_not_limit_whose_answers_are_looked_at():
    both = SamplingGate(Gate(Known(), Policies()), share=1.0, models=["n"], outputs=1.0)
    decision = both.judge_now(Message(PREDICT, message()))
    assert (decision.watched, decision.sample) == (message(), None)


async def test_the_answer_to_what_observe_let_through_is_not_chosen():
    watching = SamplingGate(Gate(Known(), Policies(Policy.of(Mode.OBSERVE))), outputs=1.0)
    assert (await watching.judge(Message(PREDICT, message(dtype=3)))).watched is None


def test_what_may_be_chosen_is_not_decided_on_before_it_is_whole():
    class Seen:
        def view(self):
            return parse_predict(message())

    glimpse = Glimpse(Seen())
    assert gate(share=0.01).judge_now(glimpse) is None
    assert gate(share=0.01, models=["m"]).judge_now(glimpse) is None
    assert isinstance(gate(models=["n"]).judge_now(glimpse), Admit)
