"""
Who is charged for frames that make us work for nothing, and what useful work earns.

Law: arithmetic and what a peer is told when a budget is spent (RFC 9113 §10.5). Which frame costs what is said where it
is read; time is what `now` says.
"""

from typing import Final, final

from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.frames import ENHANCE_YOUR_CALM
from proxy.edge.native.http2.limits import Limits

# One useful frame that we sent entitles the peer to this many frames that carry nothing (it acknowledges,
# measures and widens windows because of what we send).
_NUISANCE_CREDIT: Final = 8
# What a call that was answered entitles its client to: no good client's metadata cost as much.
_HEAD_CREDIT: Final = 1024
_OCTETS_OF_A_FIELD: Final = 16
# So much of each is not charged, however many calls a client begins at once.
_FREE: Final = 256


@final
class Budget:
    """
    A token bucket that useful work refills too.

    `earned` is any counter of useful work that only grows; each step gives `credit` tokens back, so that a
    busy peer is never taken for a hostile one, and the hot path pays for it with one integer addition.
    """

    __slots__ = ("_burst", "_credit", "_earned", "_rate", "_then", "_tokens")

    def __init__(self, burst: float, rate: float, credit: float) -> None:
        self._burst = self._tokens = burst
        self._rate = rate
        self._credit = credit
        self._earned = 0
        self._then: float | None = None

    def spend(self, now: float, earned: int, tokens: float = 1) -> bool:
        """Take tokens; False when there are not so many."""
        elapsed = 0.0 if self._then is None else max(0.0, now - self._then)
        gained = elapsed * self._rate + (earned - self._earned) * self._credit
        self._then = now
        self._earned = earned
        self._tokens = min(self._burst, self._tokens + gained) - tokens
        return self._tokens >= 0


@final
class Budgets:
    """What one peer may cost. Each `charge_…` raises PeerFault when there is nothing left."""

    __slots__ = (
        "_backlog",
        "_heads",
        "_most_backlog",
        "_nuisances",
        "_resets",
        "_server",
        "_vain",
        "completed",
        "now",
        "sent_frames",
    )

    def __init__(self, limits: Limits, *, server: bool) -> None:
        self._server = server
        # When the last octets came, in seconds of whoever calls `receive`.
        self.now = 0.0
        # Useful work: frames that we sent for the application, and streams that ran to their end.
        self.sent_frames = 0
        self.completed = 0
        self._nuisances = Budget(limits.nuisance_burst, limits.nuisance_rate, _NUISANCE_CREDIT)
        self._resets = Budget(limits.reset_burst, limits.reset_rate, 1)
        self._heads = Budget(limits.head_burst, limits.head_rate, _HEAD_CREDIT)
        # Answers that earn nothing: they say that a head was too much.
        self._vain = 0
        self._backlog = 0
        self._most_backlog = limits.control_backlog

    def charge_nuisance(self) -> None:
        """Charge the peer for a frame that carries nothing."""
        if not self._nuisances.spend(self.now, self.sent_frames):
            raise PeerFault(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def charge_reset(self) -> None:
        """Charge a client for a stream that it reset, or had reset by a fault of its own."""
        if self._server and not self._resets.spend(self.now, self.completed):
            raise PeerFault(ENHANCE_YOUR_CALM, "too many streams were reset")

    def charge_answer(self, *, paused: bool) -> None:
        """Charge the peer for an answer that it provoked, while it does not read."""
        if not paused:
            self._backlog = 0
            return
        self._backlog += 1
        if self._backlog > self._most_backlog:
            raise PeerFault(ENHANCE_YOUR_CALM, "too many answers wait for a peer that does not read")

    def charge_head(self, fields: int, octets: int, *, refused: bool) -> None:
        """Charge a client for a header section that had to be decoded; `refused` for its size."""
        if not self._server:
            return
        if refused:
            self._vain += 1
        cost = fields + octets / _OCTETS_OF_A_FIELD - _FREE
        if cost > 0 and not self._heads.spend(self.now, self.completed - self._vain, cost):
            raise PeerFault(ENHANCE_YOUR_CALM, "too many and too large header sections")
