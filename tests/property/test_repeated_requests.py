"""A gate that has seen a request before decides about the next one as a gate that has not."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy import Policies
from proxy.gate import Gate
from tests.judging import FixedSignatures, decide
from tests.property import wire
from tests.property.tensors import valid_requests


@st.composite
def with_other_bytes(draw: st.DrawFn, message: bytes) -> bytes:
    """The message with a few bytes changed in place: what a repeated request most resembles."""
    data = bytearray(message)
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@given(valid_requests(smallest=1), st.data())
def test_a_request_that_resembles_earlier_ones_is_still_judged(case, data):
    servable, request = case
    message = request.SerializeToString()
    gate = Gate(FixedSignatures(servable), Policies())
    for _ in range(3):
        decide(gate, message)
    for _ in range(5):
        other = data.draw(with_other_bytes(message) | wire.mutated(st.just(message)))
        assert decide(gate, other) == decide(Gate(FixedSignatures(servable), Policies()), other)
