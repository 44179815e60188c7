"""Faults that are put into the data plane on purpose: a simulation that does not find them proves nothing.

Law: each changes one thing that a person could get wrong; only where the sources are interpreted.
"""

from collections.abc import Callable
from typing import Any

from proxy.edge.load import Load
from proxy.edge.native.client_side import ClientSide
from proxy.edge.native.plane import Plane
from proxy.edge.native.pool import Pool
from proxy.edge.native.slabs import Slabs
from proxy.gate import Admit, Gate


def _octets_are_never_given_back() -> None:
    Load.give_back = lambda self, account, size: None  # type: ignore[method-assign]


def _every_request_passes() -> None:
    Gate.judge_now = lambda self, known: Admit()  # type: ignore[method-assign,assignment]


def _memory_is_used_again_too_early() -> None:
    def taken(self: Any, count: int) -> Any:
        return memoryview(self._current())[self._used : self._used + count]

    Slabs.taken = taken  # type: ignore[method-assign]


def _who_waits_is_forgotten() -> None:
    Pool.serve_waiting = lambda self: None  # type: ignore[method-assign]


def _an_end_is_told_twice() -> None:
    told = Plane.call_ended

    def twice(self: Plane, outcome: Any) -> None:
        told(self, outcome)
        told(self, outcome)

    Plane.call_ended = twice  # type: ignore[method-assign]


def _windows_are_not_opened_again() -> None:
    ClientSide.consume = lambda self, count: None  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (
        _octets_are_never_given_back,
        _every_request_passes,
        _memory_is_used_again_too_early,
        _who_waits_is_forgotten,
        _an_end_is_told_twice,
        _windows_are_not_opened_again,
    )
}
