"""The push scanner shows what the full parse shows, for any request cut at any places."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy import Policies
from proxy.core.types import RequestView
from proxy.gate import Decision, Gate, Glimpse, Refuse
from proxy.wire.fields import MalformedRequestError
from proxy.wire.push import PushScanner
from proxy.wire.wire_format import UnusualError
from tests.judging import FixedSignatures, decide
from tests.property import wire
from tests.property.tensors import valid_requests
from tests.property.test_scanner import expected_of, outcome


def pieces_of(data: bytes, cuts: list[int]) -> list[memoryview]:
    borders = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [memoryview(data)[start:stop] for start, stop in itertools.pairwise(borders)]


def assert_alike(data: bytes, cuts: list[int], least: int) -> None:
    """At the end the views are the same; before, an announced view is the final one if nothing follows."""
    scanner = PushScanner(len(data), least)
    early: RequestView | type[Exception] | None = None
    for piece in pieces_of(data, cuts):
        if scanner.feed(piece) and scanner.tail == 0:
            try:
                early = scanner.view()
            except UnusualError:
                early = None
    assert not scanner.gave_up
    assert scanner.seen == len(data)
    expected = expected_of(data)
    assert outcome(lambda _: scanner.view(), data) == expected
    if early is not None:
        assert expected is not MalformedRequestError
        assert outcome(lambda _: early, data) == expected


cuts = st.lists(st.integers(0, 10_000), max_size=8)
leasts = st.integers(1, 12)


@given(wire.requests, cuts, leasts)
def test_any_encoding_cut_anywhere(data, cuts, least):
    assert_alike(data, cuts, least)


@given(wire.mutated(), cuts, leasts)
def test_any_damaged_request_cut_anywhere(data, cuts, least):
    assert_alike(data, cuts, least)


@given(st.binary(max_size=60), cuts, leasts)
def test_any_bytes_cut_anywhere(data, cuts, least):
    assert_alike(data, cuts, least)


def told(decision: Decision) -> object:
    """What the client and the operator learn of a decision."""
    if isinstance(decision, Refuse):
        return decision.verdict, decision.status
    return decision.verdict, decision.would_refuse, decision.batch_size, decision.failed


def decide_arrived(gate: Gate, scanner: PushScanner) -> Decision:
    now = gate.judge_now(Glimpse(scanner))
    if now is not None:
        return now
    try:
        gate.judge(Glimpse(scanner)).send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the gate waits for something")


@given(valid_requests(), st.data(), cuts, leasts)
def test_the_verdict_is_that_on_the_whole_message(case, data, cuts, least):
    servable, request = case
    message = request.SerializeToString(deterministic=True)
    if data.draw(st.booleans()):
        message = data.draw(wire.mutated(st.just(message)))
    gate = Gate(FixedSignatures(servable), Policies())
    scanner = PushScanner(len(message), least)
    for piece in pieces_of(message, cuts):
        if scanner.feed(piece) and scanner.tail == 0:
            early = gate.judge_now(Glimpse(scanner))
            if early is not None:
                assert told(early) == told(decide(gate, message))
    assert told(decide_arrived(gate, scanner)) == told(decide(gate, message))
