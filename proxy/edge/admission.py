"""What a call must meet before anyone looks at its tensors: method, deadline, size, load.

Law: rules and their wording, without grpc, clocks or sockets, so that every edge refuses alike. The verdicts
become statuses the same way as those of the gate.
"""

from dataclasses import dataclass
from typing import Final

from proxy.core.explain import quote
from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation

UNLIMITED = -1

RETRY_SECONDS = 1.0
"""What a client is told to wait when the proxy is full."""


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
    return _verdict(
        Violation(
            Reason.OVERLOADED,
            "",
            "proxy",
            f"room for {size} more request bytes",
            f"{held} of {limit} in flight",
            "retry with backoff, add replicas, or raise --max-inflight-bytes",
        ),
        RETRY_SECONDS,
    )


def too_many_calls(limit: int) -> Verdict:
    """The refusal of a call beyond `limit` at a time."""
    return _verdict(
        Violation(
            Reason.OVERLOADED,
            "",
            "proxy",
            f"at most {limit} calls at a time",
            "one more",
            "retry with backoff, add replicas, or raise --max-concurrent-calls",
        ),
        RETRY_SECONDS,
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

    `default_deadline` (seconds) is for calls that come without one; None: they may take for ever.
    """

    default_deadline: float | None = None
    allow_admin_methods: bool = False
    max_message_bytes: int = UNLIMITED
    max_inflight_bytes: int = UNLIMITED
    max_concurrent_calls: int = UNLIMITED


class Load:
    """How much the proxy holds at the moment, against its limits."""

    __slots__ = ("_bytes", "_calls", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self._calls = 0

    @property
    def bytes(self) -> int:
        """Request bytes held now."""
        return self._bytes

    @property
    def calls(self) -> int:
        """Calls held now."""
        return self._calls

    def enter(self) -> Verdict | None:
        """Take in a call, or say why not. What was taken in must leave."""
        limit = self._limits.max_concurrent_calls
        if limit != UNLIMITED and self._calls >= limit:
            return too_many_calls(limit)
        self._calls += 1
        return None

    def leave(self) -> None:
        """A call that was taken in is over."""
        self._calls -= 1

    def take(self, size: int) -> Verdict | None:
        """Take in a message, or say why not. What was taken in must be given back."""
        limits = self._limits
        if limits.max_message_bytes != UNLIMITED and size > limits.max_message_bytes:
            return too_large(size, limits.max_message_bytes)
        if limits.max_inflight_bytes != UNLIMITED and self._bytes + size > limits.max_inflight_bytes:
            return too_many_bytes(size, self._bytes, limits.max_inflight_bytes)
        self._bytes += size
        return None

    def give_back(self, size: int) -> None:
        """A message that was taken in is no longer held."""
        self._bytes -= size


def _verdict(violation: Violation, retry_seconds: float | None = None) -> Verdict:
    return Verdict(violations=(violation,), retry_seconds=retry_seconds)
