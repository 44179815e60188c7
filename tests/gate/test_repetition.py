"""What the gate remembers of requests that repeat never changes what it decides."""

import asyncio
import gc
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy import Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.types import ModelKey, Servable
from proxy.gate import PREDICT, Admit, Gate, Message, Refuse
from proxy.gate.repetition import MOST, MOST_OCTETS, Repetition
from tests.judging import predict, servable, signature, tensor

SERVABLE = servable(signature({"x": ("float32", (-1, 3))}))


class Live:
    """A source of signatures that a test replaces."""

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self.peeks = 0
        self.rechecks = 0
        # What the server turns out to have once it is asked again.
        self.next: Servable | None = None

    def peek(self, key):
        self.peeks += 1
        return self.servable

    async def lookup(self, key, timeout, client):
        return self.servable

    async def recheck(self, key, seen, timeout, arrived, client):
        self.rechecks += 1
        if self.next is not None:
            self.servable, self.next = self.next, None
        return self.servable


@pytest.fixture
def live() -> Live:
    return Live(SERVABLE)


@pytest.fixture
def gate(live: Live) -> Gate:
    return Gate(live, Policies())


def message(fill: int = 0, dims: tuple[int, ...] = (2, 3)) -> bytes:
    request = predict("m", x=tensor("float32", dims))
    size = len(request.inputs["x"].tensor_content)
    request.inputs["x"].tensor_content = bytes([fill]) * size
    return request.SerializeToString()


def test_the_same_request_with_other_values_gets_the_same_answer(gate):
    decisions = [gate.judge_now(Message(PREDICT, message(fill))) for fill in range(5)]
    assert all(decision == decisions[0] for decision in decisions)
    assert isinstance(decisions[0], Admit)
    assert decisions[0].batch_size == 2
    assert decisions[4] is decisions[2]  # it was not read again


def test_a_request_of_the_same_length_and_another_shape_is_judged_anew(gate):
    for fill in range(3):
        assert isinstance(gate.judge_now(Message(PREDICT, message(fill))), Admit)
    assert gate.judge_now(Message(PREDICT, message(dims=(3, 2)))) is None


def test_a_new_signature_is_judged_by_at_once(gate, live):
    for fill in range(3):
        assert isinstance(gate.judge_now(Message(PREDICT, message(fill))), Admit)
    live.servable = servable(signature({"x": ("float32", (-1, 4))}), version=2)
    assert gate.judge_now(Message(PREDICT, message())) is None
    live.servable = servable(signature({"x": ("float32", (-1, 3))}), version=3)
    for fill in range(3):
        assert gate.judge_now(Message(PREDICT, message(fill))).verdict.version == 3


def test_without_a_signature_nothing_remembered_counts(gate, live):
    for fill in range(3):
        gate.judge_now(Message(PREDICT, message(fill)))
    live.servable = None
    assert gate.judge_now(Message(PREDICT, message())) is None


def of_many_inputs(model: str, count: int = 1, fill: int = 0) -> bytes:
    inputs = {f"feature_{number}": tensor("float32", (1, 3)) for number in range(count)}
    for each in inputs.values():
        each.tensor_content = bytes([fill]) * 12
    return predict(model, **inputs).SerializeToString()


def test_what_clients_invent_does_not_grow_it_and_what_came_first_goes_first():
    repetition = Repetition()
    octets = [of_many_inputs(f"m{number}") for number in range(MOST + 300)]
    for each in octets:
        for _ in range(2):
            repetition.remember(each, ModelKey("m"), SERVABLE, Admit())
        assert repetition.of(each) is not None
        assert len(repetition) <= MOST
    assert repetition.of(octets[299]) is None
    assert repetition.of(octets[300]) is not None


def test_what_is_remembered_of_long_requests_is_bounded_in_octets():
    repetition = Repetition()
    for number in range(700):
        octets = of_many_inputs(f"m{number}", count=150)
        for _ in range(2):
            repetition.remember(octets, ModelKey("m"), SERVABLE, Admit())
    assert repetition.of(octets) is not None
    assert 300 < len(repetition) < MOST_OCTETS // 60_000


async def test_refusals_of_requests_with_hundreds_of_invented_inputs_take_a_few_megabytes_at_most(gate):
    names = [f"{number:x}" for number in range(600)]

    def invented(length: int) -> bytes:
        request = predict("m", x=tensor("float32", (2, 3)))
        for name in names:
            request.inputs[name].dtype = 1
        request.inputs["x"].tensor_content = bytes(length)
        return request.SerializeToString()

    tracemalloc.start()
    try:
        for length in range(100):
            for _ in range(2):
                assert isinstance(await decide(gate, invented(length)), Refuse)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 << 20


def test_inputs_in_another_order_make_the_same_request_and_one_that_came_twice_does_not(live):
    names = [f"feature_{number:02}" for number in range(20)]
    live.servable = servable(signature(dict.fromkeys(names, ("float32", (-1, 3)))))
    gate = Gate(live, Policies())

    def in_order(order, fill):
        """Octets as a client writes them that keeps its inputs in this order."""
        octets = predict("m").SerializeToString()
        for name in order:
            one = tensor("float32", (1, 3))
            one.tensor_content = bytes([fill]) * 12
            octets += predict("", **{name: one}).SerializeToString().removeprefix(b"\x0a\x00")
        return octets

    decisions = [gate.judge_now(Message(PREDICT, in_order(names, fill))) for fill in range(3)]
    assert decisions[2] is decisions[1]
    for turn in range(1, 20):
        assert gate.judge_now(Message(PREDICT, in_order(names[turn:] + names[:turn], turn))) is decisions[1]
    twice = gate.judge_now(Message(PREDICT, in_order([names[0], names[0], *names[2:]], 0)))
    assert twice is None, "one input came twice and another not at all"


def test_nothing_is_known_again_once_it_is_forgotten():
    repetition = Repetition()
    for _ in range(2):
        repetition.remember(message(), ModelKey("m"), SERVABLE, Admit())
    repetition.forget()
    assert repetition.of(message()) is None
    assert len(repetition) == 0


def test_two_kinds_of_request_of_one_length_are_both_answered(live):
    live.servable = servable(signature({"x": ("float32", (-1, -1))}))
    gate = Gate(live, Policies())
    for fill in range(4):
        assert gate.judge_now(Message(PREDICT, message(fill, (2, 3)))).batch_size == 2
        assert gate.judge_now(Message(PREDICT, message(fill, (3, 2)))).batch_size == 3


async def decide(gate, octets):
    message = Message(PREDICT, octets)
    return gate.judge_now(message) or await gate.judge(message)


async def test_a_mistake_that_repeats_is_confirmed_each_time_and_put_into_words_twice(gate, live):
    decisions = [await decide(gate, message(fill, (3, 2))) for fill in range(5)]
    assert [type(each) for each in decisions] == [Refuse] * 5
    assert {each.status for each in decisions} == {decisions[0].status}
    assert decisions[4] is decisions[1]
    assert live.rechecks == 5


async def test_what_the_server_has_by_now_admits_what_was_refused_before(gate, live):
    for fill in range(3):
        assert isinstance(await decide(gate, message(fill, (3, 2))), Refuse)
    live.next = servable(signature({"x": ("float32", (-1, 2))}), version=2)
    assert isinstance(await decide(gate, message(9, (3, 2))), Admit)
    assert isinstance(await decide(gate, message(9, (2, 3))), Refuse)


SERVABLES = [
    servable(signature({"x": ("float32", (-1, size))}), version=version)
    for version, size in enumerate((2, 3, -1), 1)
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([(2, 3), (3, 2), (6, 1)]), st.integers(0, 255), st.sampled_from([None, 0, 1, 2])
        ),
        max_size=40,
    )
)
def test_whatever_came_before_each_request_is_decided_on_as_by_a_gate_that_remembers_nothing(sequence):
    async def run():
        live = Live(SERVABLES[0])
        gate = Gate(live, Policies())
        for dims, fill, swap in sequence:
            live.next = None if swap is None else SERVABLES[swap]
            decided, before = await decide(gate, message(fill, dims)), live.servable
            fresh = await decide(Gate(Live(before), Policies()), message(fill, dims))
            assert type(decided) is type(fresh)
            if isinstance(fresh, Refuse):
                assert decided.status == fresh.status

    asyncio.run(run())


async def test_what_another_policy_decided_is_not_remembered_not_even_of_a_request_that_waited(live, gate):
    bad = Message(PREDICT, message(dims=(2, 4)))
    for _ in range(3):
        assert isinstance(await gate.judge(bad), Refuse)
    lenient = Policies(Policy.of(severities={Reason.SHAPE_MISMATCH: Severity.OFF}))
    strict = Policies(Policy.of(severities={Reason.SHAPE_MISMATCH: Severity.REFUSE}))
    gate.adopt(lenient)
    assert isinstance(gate.judge_now(bad), Admit)
    assert isinstance(gate.judge_now(bad), Admit)
    gate.adopt(strict)
    assert gate.judge_now(bad) is None
    adopted = [lenient]

    async def recheck(*_):
        # The policy changes while it waits.
        if adopted:
            gate.adopt(adopted.pop())
        return live.servable

    live.recheck = recheck
    assert isinstance(await gate.judge(bad), Refuse)
    assert isinstance(await gate.judge(bad), Admit)
    assert isinstance(gate.judge_now(bad), Admit)


async def test_a_policy_that_cannot_be_followed_changes_nothing(gate, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ModuleNotFoundError):
        gate.adopt(Policies(Policy.of(severities={Reason.VALUE_NOT_FINITE: Severity.REFUSE})))
    assert isinstance(await gate.judge(Message(PREDICT, message())), Admit)
