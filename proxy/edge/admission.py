"""What a call must meet before anyone looks at its tensors: method, deadline, size, load.

Law: rules and their wording, without grpc, clocks or sockets, so that every edge refuses alike. The verdicts
become statuses the same way as those of the gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.core.explain import quote
from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation

UNLIMITED = -1

RETRY_SECONDS = 1.0
"""What a client is told to wait when the proxy is full."""

_LEAST_RETRY: Final = 0.001
"""Seconds; less would be rounded to none on its way."""

BYTES: Final = "inflight_bytes"
CALLS: Final = "calls"
LOCAL_CALLS: Final = "local_calls"
CONNECTIONS: Final = "connections"
CONNECTIONS_OF_A_PEER: Final = "connections_of_a_peer"
STALLED: Final = "stalled"
UNFINISHED_HEAD: Final = "unfinished_head"
UNREAD: Final = "unread"
METADATA: Final = "metadata"
CLIENT_RATE: Final = "client_rate"
MODEL_CALLS: Final = "model_calls"
UPSTREAM_CALLS: Final = "upstream_calls"
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
    CLIENT_RATE,
    MODEL_CALLS,
    UPSTREAM_CALLS,
)
"""What a client can run into, as the metric and the log name it."""

MOST_LOCAL_BYTES: Final = 64 << 10
"""Octets of a message to a service that the proxy answers itself."""
MOST_LOCAL_CALLS: Final = 512
"""Calls at a time of such services, those aside that are answered at once."""
MOST_LOCAL_CALLS_OF_A_CONNECTION: Final = 8

LEAST_RATE: Final = 1024
"""Octets a second below which a request that has begun falls behind."""


def forbidden(method: str, reason: Reason) -> Verdict:
    """The refusal of a method that only an operator needs, with the reason that `methods` gives."""
    where = f"method {quote(method)}"
    if reason is Reason.PROFILER_FORBIDDEN:
        return _refusal(
            reason,
            where,
            "a method that clients need",
            "TensorFlow's profiler, which slows the server down and writes where its caller says",
            "let TensorBoard profile the server's own address, or start the proxy with "
            f"--severity {reason}=off",
        )
    return _refusal(
        reason,
        where,
        "a method that does not change the server",
        "one that does",
        "call the server directly, or start the proxy with --allow-admin-methods",
    )


def not_allowed(method: str) -> Verdict:
    """The refusal of a method that the operator does not let through."""
    return _refusal(
        Reason.METHOD_FORBIDDEN,
        f"method {quote(method)}",
        "one that --allow-method names",
        "another",
        "start the proxy with --allow-method for it too, if clients need it",
    )


def unauthenticated(got: str) -> Verdict:
    """The refusal of a call without a token that the proxy knows; `got` says what it has instead, and never the token."""
    return _refusal(
        Reason.CLIENT_UNAUTHENTICATED,
        "metadata authorization",
        "one Bearer token that the proxy knows",
        got,
        "send the metadata `authorization: Bearer TOKEN`, with a token from the operator of the proxy",
    )


_NAMES_SHOWN = 3


def client_not_allowed(names: Sequence[str]) -> Verdict:
    """The refusal of a client whose certificate carries these names, none of which may call."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return _refusal(
        Reason.CLIENT_NOT_ALLOWED,
        "client certificate",
        "a name that may call",
        f"{', '.join(map(quote, names[:_NAMES_SHOWN]))}{more}" if names else "no DNS name and no URI in it",
        "use a certificate with such a name, or have the operator add this one with --client-san",
    )


LEAST_SECONDS: Final = 0.001
"""Less time left than this is none: event loops keep time in milliseconds, and no server answers that fast."""


def expired() -> Verdict:
    """The refusal of a call that has no time left."""
    return _refusal(
        Reason.DEADLINE_EXPIRED,
        "deadline",
        "time left to ask the server",
        "a deadline that had passed before the request could be sent",
        "the server was not asked; give the call more time",
    )


def too_large(size: int, limit: int) -> Verdict:
    """The refusal of one message of `size` bytes."""
    return _refusal(
        Reason.MESSAGE_TOO_LARGE,
        "message",
        f"at most {limit} bytes",
        f"{size}",
        "split the batch, or raise --max-message-bytes of the proxy",
    )


def never_fits(size: int, limit: int) -> Verdict:
    """The refusal of one message of `size` bytes that would be too much even if nothing else were in flight."""
    return _refusal(
        Reason.MESSAGE_TOO_LARGE,
        "message",
        f"at most {limit} bytes, all that may be in flight",
        f"{size}",
        "split the batch, or raise --max-inflight-bytes of the proxy",
    )


def too_much_inside(limit: int, compressed: int) -> Verdict:
    """The refusal of a message that holds more than `limit` bytes of plain text in `compressed` ones."""
    return _refusal(
        Reason.MESSAGE_TOO_LARGE,
        "message",
        f"at most {limit} bytes when decompressed",
        f"more in {compressed} compressed bytes",
        "send it uncompressed, or split the batch",
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


def too_many_of_a_model(limit: int, judged: Verdict) -> Verdict:
    """The refusal of a call beyond `limit` at a time of the model that it was judged against."""
    verdict = _overloaded(
        f"at most {limit} calls at a time of model {quote(judged.model or '')}",
        "one more",
        "retry with backoff, or raise --max-model-calls, or max_calls of this model in the file",
    )
    return verdict._replace(model=judged.model, version=judged.version, signature=judged.signature)


def too_many_for_the_server(limit: int) -> Verdict:
    """The refusal of a call beyond the `limit` that the server was found to bear."""
    return _overloaded(
        f"at most {limit} calls at the server at a time, as it answers now (--adaptive)",
        "one more",
        "retry with backoff, or add servers",
    )


def too_often(rate: float, seconds: float) -> Verdict:
    """The refusal of a call of a client that has no token for `seconds` more."""
    return _refusal(
        Reason.OVERLOADED,
        "client",
        f"at most {rate:g} calls a second",
        f"one more, {max(seconds, _LEAST_RETRY):.3g} s too early",
        "wait as long as RetryInfo says, or raise --client-rate",
        max(seconds, _LEAST_RETRY),
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
    return _refusal(
        Reason.MESSAGE_TOO_LARGE,
        "message",
        f"at most {limit} bytes to a service of the proxy itself",
        "more",
        "health checks and reflection need no more",
    )


def encoding_invalid(got: str) -> Verdict:
    """The refusal of a message that is compressed so that nobody can read it; `got` says how."""
    return _refusal(
        Reason.REQUEST_ENCODING_INVALID,
        "message",
        "gzip, deflate or identity, named once in grpc-encoding",
        got,
        "send it uncompressed",
    )


def stalled(octets: int, seconds: float, least_rate: int) -> Verdict:
    """The refusal of a request of which only `octets` came in `seconds`, at `least_rate` octets a second or less."""
    return _refusal(
        Reason.REQUEST_STALLED,
        "message",
        f"at least {least_rate} bytes a second",
        f"{octets} bytes in {seconds:.0f} s",
        "see what slows the way to the proxy down, or raise --stall-seconds",
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
    go; `max_connections`: UNLIMITED for as many as descriptors allow; `hold_seconds`: how long a call waits while there is
    no connection to the server; `max_connection_age`: after which a connection is asked to go, None: never, and
    `age_grace` how long its calls then have; `client_rate` calls a second of each client, None: any number, and
    `client_burst` at once. `max_model_calls` of each model at a time, where `model_calls` does not say otherwise.
    `methods` that may pass, none: all. `adaptive`: whether to find out how many calls the server bears.
    """

    default_deadline: float | None = None
    max_message_bytes: int = UNLIMITED
    max_inflight_bytes: int = UNLIMITED
    max_concurrent_calls: int = UNLIMITED
    max_connections: int = UNLIMITED
    idle_seconds: float = 300.0
    stall_seconds: float = 10.0
    hold_seconds: float = 0.0
    max_connection_age: float | None = None
    age_grace: float = 30.0
    client_rate: float | None = None
    client_burst: float = 1.0
    max_model_calls: int = UNLIMITED
    methods: tuple[str, ...] = ()
    adaptive: bool = False
    model_calls: Mapping[str, int] = field(default_factory=dict)


def _overloaded(expected: str, got: str, remedy: str) -> Verdict:
    return _refusal(Reason.OVERLOADED, "proxy", expected, got, remedy, RETRY_SECONDS)


def _refusal(
    reason: Reason, where: str, expected: str, got: str, remedy: str, retry_seconds: float | None = None
) -> Verdict:
    violation = Violation(reason, "", where, expected, got, remedy)
    return Verdict(violations=(violation,), retry_seconds=retry_seconds)
