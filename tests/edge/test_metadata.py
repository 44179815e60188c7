"""Which metadata travels on."""

from proxy.core.reasons import Reason
from proxy.core.verdict import Violation
from proxy.edge.metadata import HOP_BY_HOP, WARNING, forwarded, warnings


def test_order_duplicates_and_binary_values_stay():
    pairs = (("b", "1"), ("a", "2"), ("b", "3"), ("x-bin", b"\x00"))
    assert forwarded(pairs) == pairs


def test_what_belongs_to_one_hop_ends_here():
    assert forwarded([(key, "x") for key in HOP_BY_HOP]) == ()


def test_tracing_context_travels_on():
    pairs = (("traceparent", "00-1-2-01"), ("grpc-trace-bin", b"1"), ("x-b3-traceid", "1"))
    assert forwarded(pairs) == pairs


def violation(name: str) -> Violation:
    return Violation(Reason.BATCH_EMPTY, "f", f"input '{name}'", "a batch", "none", "send one")


def test_a_warning_is_one_line_of_ascii():
    ((key, value),) = warnings([violation("größe\n")])
    assert key == WARNING
    assert value.isascii()
    assert value.isprintable()
    assert value.startswith("BATCH_EMPTY: input 'gr")


def test_warnings_are_bounded_in_number_and_length():
    told = warnings([violation("x" * 5000)] * 100)
    assert len(told) == 4
    assert all(len(value) <= 512 for _, value in told)
