"""Which metadata travels on, and how the proxy's own is written.

Law: pure functions over (key, value) pairs; order, duplicates and `-bin` values stay as they came.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from proxy.core.verdict import Violation
from proxy.edge.request_ids import REQUEST_ID
from proxy.wire.diagnosis import TRAILER, Annotated
from proxy.wire.status import sentence_of

Pair = tuple[str, str | bytes]

HOP_BY_HOP: Final = frozenset(
    {
        # Connection-specific fields (RFC 9113, 8.2.2) and what HTTP/2 carries as pseudo-header fields.
        "connection",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        # What each hop of gRPC states for itself (gRPC over HTTP/2, Request-Headers).
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-message-type",
        "grpc-timeout",
        "user-agent",
    }
)
"""Request metadata that ends at the proxy; the next hop gets its own."""

DETAILS: Final = "grpc-status-details-bin"
WARNING: Final = "tfs-proxy-warning"
DIAGNOSIS: Final = TRAILER

_WARNINGS_SHOWN = 4
_WARNING_BYTES = 512


def forwarded(metadata: Iterable[Pair]) -> tuple[Pair, ...]:
    """The request metadata for the next hop."""
    return tuple(pair for pair in metadata if pair[0] not in HOP_BY_HOP)


def diagnosed(trailing: Iterable[Pair], annotated: Annotated) -> tuple[Pair, ...]:
    """Trailing metadata with the sentence of a diagnosis, and with its details instead of the server's."""
    details = ((DETAILS, annotated.details),) if annotated.details else ()
    return (
        *(pair for pair in trailing if pair[0] != DETAILS),
        *details,
        (DIAGNOSIS, annotated.sentence),
    )


def identified(trailing: tuple[Pair, ...], request_id: str) -> tuple[Pair, ...]:
    """Trailing metadata with the id of the request behind it, unless the server says one itself."""
    if any(key == REQUEST_ID for key, _ in trailing):
        return trailing
    return (*trailing, (REQUEST_ID, request_id))


def details_of(trailing: Iterable[Pair]) -> bytes:
    """What `grpc-status-details-bin` holds, if it is there."""
    values = (value for key, value in trailing if key == DETAILS)
    return next((value for value in values if isinstance(value, bytes)), b"")


def warnings(violations: Sequence[Violation]) -> tuple[Pair, ...]:
    """Trailing metadata that tells the client of warnings: at most four, each one line of ASCII."""
    return tuple(
        (WARNING, f"{violation.reason}: {sentence_of(violation)}"[:_WARNING_BYTES])
        for violation in violations[:_WARNINGS_SHOWN]
    )
