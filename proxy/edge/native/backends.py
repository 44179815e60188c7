"""
How the servers behind one name are doing, and which of them calls should go to.

Law: arithmetic on what it is told, the time and the chance handed in; knows no connection and no call. One that fails
again and again is left out for a time that grows and is bounded, then tried with single calls, and is back after
the first that succeeds. Whether anyone else is left is for whoever asks to see: here nobody is spared.
"""

from collections.abc import Callable, Iterable
from typing import final

from proxy.upstream.control import EJECTED, SERVING, TRIAL, UNREACHABLE, BackendState
from proxy.upstream.endpoints import Endpoint


@final
class Backend:
    """What is known of one address. `until`: before it, an address that is left out is left alone."""

    __slots__ = ("address", "failures", "since", "state", "times", "until")

    def __init__(self, address: Endpoint, now: float) -> None:
        self.address = address
        self.state = UNREACHABLE
        self.since = now
        self.until = 0.0
        # Failures in a row, and how often in a row it was left out for them.
        self.failures = 0
        self.times = 0


@final
class Backends:
    """
    The addresses of a name. `most_failures` in a row put an answering one out; `first` and `longest` bound for how long
    it is, times what `spread` gives (about 1); `trial` seconds lie between calls to one that is tried again.
    """

    def __init__(
        self,
        most_failures: int,
        first: float,
        longest: float,
        trial: float,
        spread: Callable[[], float],
    ) -> None:
        self._most_failures = most_failures
        self._first = first
        self._longest = longest
        self._trial = trial
        self._spread = spread
        self._backends: dict[Endpoint, Backend] = {}
        self.out = 0
        """How many do not just serve."""

    def know(self, addresses: Iterable[Endpoint], now: float) -> None:
        """Keep to these addresses."""
        known = self._backends
        self._backends = {each: known.get(each) or Backend(each, now) for each in addresses}
        self._count()

    def reached(self, address: Endpoint, now: float) -> None:
        """A connection to an address stands."""
        backend = self._backends.get(address)
        if backend is not None and backend.state == UNREACHABLE:
            self._becomes(backend, TRIAL if backend.times else SERVING, now)

    def unreachable(self, address: Endpoint, now: float) -> None:
        """No connection to an address can be had."""
        backend = self._backends.get(address)
        if backend is not None:
            self._leave_out(backend, UNREACHABLE, now)

    def answered(self, address: Endpoint, now: float, *, failed: bool) -> None:
        """A call has ended; `failed`: it was the server that could not take it."""
        backend = self._backends.get(address)
        if backend is None:
            return
        if not failed:
            backend.failures = 0
            if backend.state == TRIAL:
                self._becomes(backend, SERVING, now)
            return
        backend.failures += 1
        if backend.state == TRIAL or (
            backend.state == SERVING and backend.failures >= self._most_failures > 0
        ):
            self._leave_out(backend, EJECTED, now)

    def takes(self, address: Endpoint, now: float) -> bool:
        """Whether a call should go there. One to an address that is tried again counts as such."""
        backend = self._backends.get(address)
        if backend is None or backend.state == SERVING:
            return True
        if now < backend.until:
            return False
        if backend.state == EJECTED:
            self._becomes(backend, TRIAL, now)
        backend.until = now + self._trial
        return True

    def serves(self, address: Endpoint) -> bool:
        """Whether an address is not left out, nor tried."""
        backend = self._backends.get(address)
        return backend is None or backend.state == SERVING

    def is_due(self, address: Endpoint, now: float) -> bool:
        """Whether it is time to try again to connect."""
        backend = self._backends.get(address)
        return backend is None or backend.state != UNREACHABLE or now >= backend.until

    def next_due(self, now: float) -> float | None:
        """Seconds until the next unreachable address is due; None: there is none."""
        return min(
            (max(0.0, each.until - now) for each in self._backends.values() if each.state == UNREACHABLE),
            default=None,
        )

    def states(self, offset: float) -> list[BackendState]:
        """Each of them as it is now; `offset` makes Unix time of the time that is handed in here."""
        known = self._backends.values()
        return [BackendState(str(each.address), each.state, each.since + offset) for each in known]

    def until(self, address: Endpoint) -> float:
        """Before which an address that is left out is left alone."""
        return self._backends[address].until

    def _leave_out(self, backend: Backend, state: str, now: float) -> None:
        if backend.state == SERVING and now - backend.since >= self._longest:
            # It has been well for long.
            backend.times = 0
        backend.failures = 0
        seconds = min(self._first * 2.0 ** min(backend.times, 20), self._longest)
        backend.times += 1
        backend.until = now + seconds * self._spread()
        self._becomes(backend, state, now)

    def _becomes(self, backend: Backend, state: str, now: float) -> None:
        if backend.state != state:
            backend.state, backend.since = state, now
            self._count()

    def _count(self) -> None:
        self.out = sum(1 for each in self._backends.values() if each.state != SERVING)
