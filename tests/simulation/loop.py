"""An event loop without sockets, threads or a clock of its own: what is due next happens next.

Law: time passes only when nothing is left to do, and then jumps to the next thing that is due; a seed decides all
that a machine would leave to chance. Import it before anything of the proxy: `time.monotonic` is replaced.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from random import Random
from typing import Any


class Clock:
    """Seconds since the world began."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()
time.monotonic = CLOCK


class StuckError(Exception):
    """Everybody waits, and nothing is due: in the real world, a hang."""


class _Selector:
    """Where a real loop would sleep."""

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise StuckError
        CLOCK.now += max(0.0, timeout)
        return []

    def close(self) -> None:
        pass


class SimulatedLoop(asyncio.BaseEventLoop):
    """`dial(host, port)` is asked for what a connection leads to."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._selector = _Selector()
        self._clock_resolution = 1e-9
        self.random = random
        self.steps = 0
        self.dial: Callable[[Callable[[], Any], str, int], Any] | None = None

    def time(self) -> float:
        return CLOCK.now

    def _run_once(self) -> None:
        self.steps += len(self._ready)
        super()._run_once()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        await asyncio.sleep(self.random.uniform(0, 0.01))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int, **_: Any) -> Any:
        await asyncio.sleep(self.random.uniform(0, 0.01))
        assert self.dial is not None
        protocol = self.dial(factory, host, port)
        if protocol is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return protocol.transport, protocol

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """What a thread would do is done some time later, at once."""
        done = self.create_future()

        def do() -> None:
            if not done.cancelled():
                try:
                    done.set_result(func(*args))
                except Exception as error:  # noqa: BLE001  as an executor hands it on
                    done.set_exception(error)

        self.call_later(self.random.uniform(0, 0.05), do)
        return done
