"""What the proxy holds at the moment, whose it is, and whether there is room for more.

Law: books and arithmetic, without clocks or sockets; the words of a refusal are those of `admission`. What makes
room is known elsewhere, and only asked for here.
"""

import sys
from collections.abc import Callable
from typing import Final

from proxy.core.verdict import Verdict
from proxy.edge.admission import (
    BYTES,
    CALLS,
    LOCAL_CALLS,
    MOST_LOCAL_CALLS,
    MOST_LOCAL_CALLS_OF_A_CONNECTION,
    UNLIMITED,
    Limits,
    never_fits,
    too_large,
    too_large_a_share,
    too_many_bytes,
    too_many_calls,
    too_many_local_calls,
)


class Account:
    """What a client holds: a connection, or all connections of one address (then `peer` is itself)."""

    __slots__ = ("address", "calls", "connections", "held", "local", "peer")

    def __init__(self, address: str, peer: "Account | None" = None) -> None:
        self.address = address
        self.peer = self if peer is None else peer
        self.held = 0
        self.calls = 0
        self.local = 0
        self.connections = 0

    @property
    def client(self) -> tuple[str, int]:
        """Who takes turns: the address, and within it the connection."""
        return self.address, id(self)


_MEMORY_OF_A_CALL: Final = 4096
"""Octets that a call costs beside its messages (measured, rounded up): bounds the calls where nothing else does."""
_LEAST_CALLS: Final = 1024

_OPEN: Final = 0.75
"""The part of a limit that is given to whoever comes; the rest is for those who hold little."""
_SMALL: Final = 1 / 16
"""A connection that holds no more than this part of the limit is not held to the share of its address…"""
_KEPT: Final = 1 / 8
"""…while this part of the limit is left for other addresses."""


_FEW: Final = 2


def are_few(calls: int) -> bool:
    """Whether so few calls are under way that what makes one of them faster counts for more than what it costs."""
    return calls <= _FEW


class Load:
    """How much the proxy holds at the moment, against its limits, and whose it is.

    Every octet that waits belongs to an `Account`. Three quarters of a limit are for whoever comes. Of the last
    quarter a connection gets what leaves it with no more than half of what is then still free, and so does an
    address; one that holds little is let off the latter. So there is always room for one who holds nothing, and a
    message that fits the limit is never refused when nothing else is held.

    `make_room`, where an edge sets it, turns away one request for the sake of an account that wants so many octets
    more, and tells whether there was one. `hit` is told the name of a bound that was hit.
    """

    __slots__ = (
        "_bytes",
        "_calls",
        "_connections",
        "_limits",
        "_local",
        "_most_bytes",
        "_most_calls",
        "_most_message",
        "_open_bytes",
        "_open_calls",
        "_peers",
        "hit",
        "make_room",
    )

    def __init__(self, limits: Limits, hit: Callable[[str], None] = lambda _: None) -> None:
        self.hit = hit
        self.make_room: Callable[[Account, int], bool] = lambda _account, _size: False
        self._bytes = 0
        self._calls = 0
        self._local = 0
        self._connections = 0
        self._peers: dict[str, Account] = {}
        self.adopt(limits)

    def adopt(self, limits: Limits) -> None:
        """Hold callers to other limits from now on; what is held already stays."""
        self._limits = limits
        self._most_message = _unbounded(limits.max_message_bytes)
        self._most_bytes = _unbounded(limits.max_inflight_bytes)
        self._most_calls = _unbounded(limits.max_concurrent_calls)
        if limits.max_concurrent_calls == UNLIMITED and limits.max_inflight_bytes != UNLIMITED:
            self._most_calls = max(_LEAST_CALLS, limits.max_inflight_bytes // _MEMORY_OF_A_CALL)
        self._open_bytes = int(self._most_bytes * _OPEN)
        self._open_calls = int(self._most_calls * _OPEN)

    @property
    def most_bytes(self) -> int:
        """Octets that may be held; UNLIMITED: any number."""
        return self._limits.max_inflight_bytes

    @property
    def most_calls(self) -> int:
        """Calls that may be held."""
        return self._most_calls

    @property
    def bytes(self) -> int:
        """Octets held now."""
        return self._bytes

    @property
    def calls(self) -> int:
        """Calls held now."""
        return self._calls

    @property
    def connections(self) -> int:
        """Accounts of connections that are open now."""
        return self._connections

    def joined(self, address: str) -> Account:
        """Open the account of a connection from an address. It must be closed with `left`."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = Account(address)
        peer.connections += 1
        self._connections += 1
        return Account(address, peer)

    def left(self, account: Account) -> None:
        """Close the account of a connection that is over; what its calls took they give back themselves."""
        peer = account.peer
        peer.connections -= 1
        self._connections -= 1
        if not peer.connections:
            self._peers.pop(peer.address, None)

    def enter(self, account: Account) -> Verdict | None:
        """Take in a call, or say why not. What was taken in must leave."""
        if self._calls >= self._open_calls:
            while not self._may_enter(account):
                if not self.make_room(account, 0):
                    self.hit(CALLS)
                    return too_many_calls(self._most_calls)
        self._calls += 1
        account.calls += 1
        return None

    def leave(self, account: Account) -> None:
        """A call that was taken in is over."""
        self._calls -= 1
        account.calls -= 1

    def enter_local(self, account: Account) -> Verdict | None:
        """Take in a call of a service that the proxy answers itself, or say why not. It must leave."""
        for limit, count, whose in (
            (MOST_LOCAL_CALLS_OF_A_CONNECTION, account.local, "on a connection"),
            (MOST_LOCAL_CALLS, self._local, "in all"),
        ):
            if count >= limit:
                self.hit(LOCAL_CALLS)
                return too_many_local_calls(limit, whose)
        self._local += 1
        account.local += 1
        return None

    def leave_local(self, account: Account) -> None:
        """A call that was taken in with `enter_local` is over."""
        self._local -= 1
        account.local -= 1

    def take(self, account: Account, size: int, own: int = 0) -> Verdict | None:
        """Take in `size` octets for a call that holds `own`, or say why not. What was taken must be given back."""
        if size > self._most_message or (
            self._bytes + size > self._open_bytes and not self._fits(account, size, own)
        ):
            return self._turn_away(account, size)
        self._bytes += size
        account.held += size
        account.peer.held += size
        return None

    def give_back(self, account: Account, size: int) -> None:
        """Octets that were taken in are no longer held."""
        self._bytes -= size
        account.held -= size
        account.peer.held -= size

    def _turn_away(self, account: Account, size: int) -> Verdict:
        if size > self._most_message:
            return too_large(size, self._most_message)
        self.hit(BYTES)
        limit = self._most_bytes
        if size > limit:
            return never_fits(size, limit)
        if self._bytes + size > limit:
            return too_many_bytes(size, self._bytes, limit)
        return too_large_a_share(size, account.held, self._bytes, limit)

    def _may_enter(self, account: Account) -> bool:
        free = self._most_calls - self._calls
        # Nobody else is there, or it has few.
        return free > 0 and (self._calls == account.calls or account.calls <= free / 2)

    def _fits(self, account: Account, size: int, own: int) -> bool:
        while not self._has_room(account, size, own):
            if account.held + size > self._most_bytes * _SMALL or not self.make_room(account, size):
                return False
        return True

    def _has_room(self, account: Account, size: int, own: int) -> bool:
        limit = self._most_bytes
        free = limit - self._bytes
        if size > free:
            return False
        if self._bytes <= own:
            return True
        wanted = account.held + size
        if wanted > free / 2:
            return False
        return account.peer.held + size <= free or (wanted <= limit * _SMALL and free - size >= limit * _KEPT)


def _unbounded(limit: int) -> int:
    return sys.maxsize if limit == UNLIMITED else limit
