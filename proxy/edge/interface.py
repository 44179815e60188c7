"""What the composition root knows of an edge, whichever it is."""

from typing import Any, NamedTuple, Protocol

from proxy.edge.access import Access
from proxy.edge.admission import Limits


class Usage(NamedTuple):
    """How much of what clients share is in use; a limit below zero is none."""

    connections: int
    connections_limit: int
    inflight_bytes: int
    inflight_bytes_limit: int
    calls: int
    upstream_calls: int = -1
    """Calls at the server; below zero: not counted."""
    upstream_calls_limit: int = -1


class Edge(Protocol):
    """A data plane: accepts calls, asks the gate, relays."""

    @property
    def address(self) -> str:
        """HOST:PORT (port 0 has become a real one) or unix:PATH, as bound."""

    async def start(self) -> None:
        """Begin to accept calls."""

    def adopt(self, limits: Limits, access: Access | None, tls: Any, *, tells_all: bool) -> None:
        """Take other limits, ask other things of clients, and meet new ones with another certificate, from now on;
        `tls` is what this edge makes of the files. `tells_all`: somebody hears of every call. Cannot fail.
        """

    def usage(self) -> Usage:
        """Tell how near the bounds are."""

    def let_go(self) -> None:
        """Drop memory that is kept only to be used again."""

    async def stop(self, grace: float) -> None:
        """Accept no more calls, give those under way `grace` seconds, then cancel what is left."""


class AddressInUseError(OSError):
    """The listening address cannot be had; the text says which and why."""
