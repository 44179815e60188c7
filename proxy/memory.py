"""Memory that a peak needed goes back to the system when the peak is over.

Law: looks at what the process has and at what it holds, once a second, and asks for nothing while much is under way.
What is freed stays with the C library, whose heap only shrinks from its end: 256 requests of a megabyte left 250 MiB
(measured), and on the grpcio edge, where gRPC's core has its own threads and heaps, 700.
"""

import asyncio
import ctypes
import gc
from collections import deque
from collections.abc import Callable
from pathlib import Path
from resource import getpagesize
from typing import Any, Final

from proxy.edge.interface import Edge, Usage

_STEP_SECONDS: Final = 1.0
_CALM_SECONDS: Final = 3
"""So long a peak must be over."""
_PAUSE_SECONDS: Final = 5
"""So long nothing is given back again: each time, what is needed once more has to be had from the system anew."""
_LEAST: Final = 16 << 20
"""Less is no peak."""
_SELDOM_SECONDS: Final = 60
_LITTLE: Final = 2 << 20
"""After so long without, less is given back, and while calls are under way: what many small peaks leave adds up."""
_CALL: Final = 64 << 10
_CONNECTION: Final = 16 << 10
"""What either takes beside messages, on the edge where it takes more, rounded up."""

_STATM: Final = Path("/proc/self/statm")


class Peaks:
    """Tells when a peak is over, of what `over` is told once a second; at first the process has `resident` octets."""

    def __init__(self, resident: int) -> None:
        self._held: deque[int] = deque(maxlen=_CALM_SECONDS)
        # What the process has when it holds nothing, as far as has been seen.
        self._floor = resident
        self._since = _PAUSE_SECONDS

    def over(self, resident: int, usage: Usage) -> bool:
        """Whether the process has far more than it needs: `resident` octets, for this and what there was lately."""
        self._held.append(
            usage.inflight_bytes + usage.calls * _CALL + max(0, usage.connections) * _CONNECTION
        )
        self._since += 1
        self._floor = min(self._floor, resident)
        more, held = resident - self._floor, max(self._held)
        if self._since >= _SELDOM_SECONDS:
            return more > _LITTLE + held
        return self._since >= _PAUSE_SECONDS and more > _LEAST + 2 * held

    def given_back(self, resident: int) -> None:
        """Learn what the process has now: what did not go back is needed, but for what is held."""
        self._floor = max(0, resident - self._held[-1])
        self._since = 0


async def keep_giving_back(edge: Edge) -> None:
    """Give memory back after every peak of this edge, until cancelled. Where the C library is another, do nothing."""
    trim = _trim()
    if trim is None:
        return
    peaks = Peaks(_resident())
    while True:
        await asyncio.sleep(_STEP_SECONDS)
        if peaks.over(_resident(), edge.usage()):
            edge.let_go()
            gc.collect()
            # What calls of gRPC's core are made of, its own threads free.
            await asyncio.sleep(_STEP_SECONDS)
            # About a tenth of a millisecond for each megabyte: not the loop's time.
            await asyncio.to_thread(trim, 0)
            peaks.given_back(_resident())


def _resident() -> int:
    return int(_STATM.read_bytes().split()[1]) * getpagesize()


def _trim() -> Callable[[int], Any] | None:
    """The C library's `malloc_trim`, which only glibc has; and nobody but Linux tells what a process has."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if _STATM.exists() else None
