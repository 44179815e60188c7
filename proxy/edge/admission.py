"""What a call must meet before anyone looks at its tensors: method, deadline, size, load.

Law: rules and their wording, without grpc, clocks or sockets, so that every edge refuses alike. The verdicts
become statuses the same way as those of the gate.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.core.explain import quote
from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation

UNLIMITED = -1

RETRY_SECONDS = 1.0
"""What a client is told to wait when the proxy is full."""

BYTES: Final = "inflight_bytes"
CALLS: Final = "calls"
LOCAL_CALLS: Final = "local_calls"
CONNECTIONS: Final = "connections"
CONNECTIONS_OF_A_PEER: Final = "connections_of_a_peer"
STALLED: Final = "stalled"
UNFINISHED_HEAD: Final = "unfinished_head"
UNREAD: Final = "unread"
METADATA: Final = "metadata"
BOUNDS: Final = (
    BYTES,
    CALLS,
    LOCAL_CALLS,
    CONNECTIONS,
    CONNECTIONS_OF_A_PEER,
    STALLED,
    UNFINISHED_HEAD,
    UNREAD,
    METADATA,
)
"""What a client can run into, as the metric and the log name it."""

MOST_LOCAL_BYTES: Final = 64 << 10
"""Octets of a message to a service that the proxy answers itself."""
MOST_LOCAL_CALLS: Final = 512
"""Calls at a time of such services, those aside that are answered at once."""
MOST_LOCAL_CALLS_OF_A_CONNECTION: Final = 8

LEAST_RATE: Final = 1024
"""Octets a second below which a request that has begun falls behind."""


def forbidden(method: str) -> Verdict:
    """The refusal of a method that changes the server."""
    return _verdict(
        Violation(
            Reason.METHOD_FORBIDDEN,
            "",
            f"method {quote(method)}",
            "a method that does not change the server",
            "one that does",
            "call the server directly, or start the proxy with --allow-admin-methods",
        )
    )


LEAST_SECONDS: Final = 0.001
"""Less time left than this is none: event loops keep time in milliseconds, and no server answers that fast."""


def expired() -> Verdict:
    """The refusal of a call that has no time left."""
    return _verdict(
        Violation(
            Reason.DEADLINE_EXPIRED,
            "",
            "deadline",
            "time left to ask the server",
            "a deadline that had passed before the request could be sent",
            "the server was not asked; give the call more time",
        )
    )


def too_large(size: int, limit: int) -> Verdict:
    """The refusal of one message of `size` bytes."""
    return _verdict(
        Violation(
            Reason.MESSAGE_TOO_LARGE,
            "",
            "message",
            f"at most {limit} bytes",
            f"{size}",
            "split the batch, or raise --max-message-bytes of the proxy",
        )
    )


def never_fits(size: int, limit: int) -> Verdict:
    """The refusal of one message of `size` bytes that would be too much even if nothing else were in flight."""
    return _verdict(
        Violation(
            Reason.MESSAGE_TOO_LARGE,
            "",
            "message",
            f"at most {limit} bytes, all that may be in flight",
            f"{size}",
            "split the batch, or raise --max-inflight-bytes of the proxy",
        )
    )


def too_much_inside(limit: int, compressed: int) -> Verdict:
    """The refusal of a message that holds more than `limit` bytes of plain text in `compressed` ones."""
    return _verdict(
        Violation(
            Reason.MESSAGE_TOO_LARGE,
            "",
            "message",
            f"at most {limit} bytes when decompressed",
            f"more in {compressed} compressed bytes",
            "send it uncompressed, or split the batch",
        )
    )


def too_many_bytes(size: int, held: int, limit: int) -> Verdict:
    """The refusal of `size` bytes while `held` of `limit` are in flight."""
    return _overloaded(
        f"room for {size} more bytes",
        f"{held} of {limit} in flight",
        "retry with backoff, add replicas, or raise --max-inflight-bytes",
    )


def too_large_a_share(size: int, own: int, held: int, limit: int) -> Verdict:
    """The refusal of `size` bytes to a client that holds `own` of the `held` bytes: what is left is for others."""
    return _overloaded(
        f"room for {size} more bytes of this client",
        f"{own} of its own in flight, {held} of {limit} in all",
        "retry with backoff, add replicas, or raise --max-inflight-bytes",
    )


def turned_away(pace: float) -> Verdict:
    """The refusal of a request that came with `pace` bytes a second when others needed the room."""
    return _overloaded(
        "room for the requests of others",
        f"a request that comes with {pace:.0f} bytes a second",
        "retry with backoff, send faster, or raise --max-inflight-bytes",
    )


def too_many_calls(limit: int) -> Verdict:
    """The refusal of a call beyond `limit` at a time."""
    return _overloaded(
        f"at most {limit} calls at a time",
        "one more",
        "retry with backoff, add replicas, or raise --max-concurrent-calls",
    )


def too_many_local_calls(limit: int, whose: str) -> Verdict:
    """The refusal of a call of a service that the proxy answers itself, beyond `limit` of a connection or in all."""
    return _overloaded(
        f"at most {limit} calls of the proxy's own services {whose}",
        "one more",
        "close those that are not needed, or retry with backoff",
    )


def local_too_large(limit: int) -> Verdict:
    """The refusal of a message to a service that the proxy answers itself."""
    return _verdict(
        Violation(
            Reason.MESSAGE_TOO_LARGE,
            "",
            "message",
            f"at most {limit} bytes to a service of the proxy itself",
            "more",
            "health checks and reflection need no more",
        )
    )


def encoding_invalid(got: str) -> Verdict:
    """The refusal of a message that is compressed so that nobody can read it; `got` says how."""
    return _verdict(
        Violation(
            Reason.REQUEST_ENCODING_INVALID,
            "",
            "message",
            "gzip, deflate or identity, named once in grpc-encoding",
            got,
            "send it uncompressed",
        )
    )


def stalled(octets: int, seconds: float, least_rate: int) -> Verdict:
    """The refusal of a request of which only `octets` came in `seconds`, at `least_rate` octets a second or less."""
    return _verdict(
        Violation(
            Reason.REQUEST_STALLED,
            "",
            "message",
            f"at least {least_rate} bytes a second",
            f"{octets} bytes in {seconds:.0f} s",
            "see what slows the way to the proxy down, or raise --stall-seconds",
        )
    )


def is_late(now: float, began: float, deadline: float | None) -> bool:
    """Whether a client that gives up now does so because of its deadline, as far as it can be told.

    What travels as `grpc-timeout` is rounded, and counts from its arrival here.
    """
    return deadline is not None and now >= deadline - 0.03 * (deadline - began) - 0.01


def time_allowed(remaining: float | None, default: float | None) -> float | None:
    """The seconds a call may take: the client's own, else the default; None: no limit.

    Zero or less: expired.
    """
    return default if remaining is None else remaining


@dataclass(frozen=True, slots=True)
class Limits:
    """What an edge holds its callers to. Sizes in bytes of uncompressed messages, UNLIMITED: no limit.

    `default_deadline` (seconds) is for calls that come without one; None: they may take for ever. `stall_seconds`:
    how far a request may fall behind LEAST_RATE; `idle_seconds`: after which a connection without calls is asked to
    go; `max_connections`: UNLIMITED for as many as descriptors allow.
    """

    default_deadline: float | None = None
    allow_admin_methods: bool = False
    max_message_bytes: int = UNLIMITED
    max_inflight_bytes: int = UNLIMITED
    max_concurrent_calls: int = UNLIMITED
    max_connections: int = UNLIMITED
    idle_seconds: float = 300.0
    stall_seconds: float = 10.0


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
        self._limits = limits
        self.hit = hit
        self.make_room: Callable[[Account, int], bool] = lambda _account, _size: False
        self._bytes = 0
        self._calls = 0
        self._local = 0
        self._connections = 0
        self._most_message = _unbounded(limits.max_message_bytes)
        self._most_bytes = _unbounded(limits.max_inflight_bytes)
        self._most_calls = _unbounded(limits.max_concurrent_calls)
        if limits.max_concurrent_calls == UNLIMITED and limits.max_inflight_bytes != UNLIMITED:
            self._most_calls = max(_LEAST_CALLS, limits.max_inflight_bytes // _MEMORY_OF_A_CALL)
        self._open_bytes = int(self._most_bytes * _OPEN)
        self._open_calls = int(self._most_calls * _OPEN)
        self._peers: dict[str, Account] = {}

    @property
    def most_bytes(self) -> int:
        """Octets that may be held; UNLIMITED: any number."""
        return self._limits.max_inflight_bytes

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


def _overloaded(expected: str, got: str, remedy: str) -> Verdict:
    return _verdict(Violation(Reason.OVERLOADED, "", "proxy", expected, got, remedy), RETRY_SECONDS)


def _verdict(violation: Violation, retry_seconds: float | None = None) -> Verdict:
    return Verdict(violations=(violation,), retry_seconds=retry_seconds)
