"""How often each client may call: a token bucket for each, in a table that is bounded.

Law: arithmetic on the time that is handed in. A bucket is one number, the moment at which it will be full again (the
generic cell rate algorithm): what lies in the past is a full bucket and need not be kept, so clients that are not
known have full ones, and whoever is forgotten gains no more than that.
"""

from typing import Final

from proxy.edge.admission import Limits
from proxy.edge.load import Account
from proxy.observe.outcome import Outcome

MOST_CLIENTS: Final = 16_384
"""Clients that are remembered. Beyond them those whose buckets are full, or are so first, are forgotten."""
_EXACT: Final = 1e-6
"""Seconds; less is what rounding makes of none."""
_FORGOTTEN_TOGETHER: Final = 8
"""That part of the table at a time, so that a look through it is rare."""


def client_identity(outcome: Outcome, account: Account) -> str:
    """Who a client is: the identity that it has shown, else its address; all Unix sockets are one."""
    return outcome.identity or account.peer.address


class Rates:
    """`rate` calls a second for each client, and `burst` at once."""

    __slots__ = ("_full_at", "_most", "_slack", "_step", "rate")

    def __init__(self, rate: float, burst: float, most: int = MOST_CLIENTS) -> None:
        self.rate = rate
        self._step = 1 / rate
        self._slack = (burst - 1) * self._step
        self._most = most
        self._full_at: dict[str, float] = {}

    def take(self, client: str, now: float) -> float:
        """Take a token of a client; 0, or the seconds until there is one."""
        full_at = self._full_at.get(client)
        if full_at is None:
            if len(self._full_at) >= self._most:
                self._forget(now)
            full_at = now
        wait = full_at - self._slack - now
        if wait > _EXACT:
            return wait
        self._full_at[client] = max(full_at, now) + self._step
        return 0.0

    @property
    def clients(self) -> int:
        """How many are remembered."""
        return len(self._full_at)

    def _forget(self, now: float) -> None:
        kept = {client: full_at for client, full_at in self._full_at.items() if full_at > now}
        room = self._most - self._most // _FORGOTTEN_TOGETHER
        if len(kept) >= room:
            latest = sorted(kept.items(), key=lambda each: each[1], reverse=True)
            kept = dict(latest[: room - 1])
        self._full_at = kept


def rates_of(limits: Limits) -> Rates | None:
    """The rates that the limits ask for; None: there are none, and nothing is counted."""
    return None if limits.client_rate is None else Rates(limits.client_rate, limits.client_burst)
