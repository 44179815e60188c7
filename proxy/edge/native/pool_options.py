"""
How a pool of connections to the server behaves.

Law: figures only, each with its reason.
"""

from dataclasses import dataclass
from typing import Final, final

from proxy.edge.native.http2.limits import Limits

# Heads as large as those of a channel (see `upstream.channel`): beyond, the connection of all clients ends.
MANY_CLIENTS: Final = Limits(
    stream_window=1 << 17, share_connection_window=False, header_list_size=1 << 20, continuations=256
)


@final
@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a pool behaves. Times in seconds."""

    max_addresses: int = 16
    """Addresses of a name that are connected to."""
    connections_per_address: int = 8
    """Connections to one address, opened only when the server's MAX_CONCURRENT_STREAMS is reached on all."""
    connect_timeout: float = 5.0
    """For TCP, a forward proxy, TLS and the server's first SETTINGS together."""
    first_backoff: float = 0.2
    longest_backoff: float = 3.0
    hold: float = 0.0
    """How long who wants a connection may wait while none can be had."""
    resolve_every: float = 30.0
    """Servers that join or leave a name are noticed within this time."""
    resolve_after_loss: float = 5.0
    """The same, when a connection was lost meanwhile: in a rollout a new address takes the place of the old one."""
    eject_failures: int = 5
    """Calls in a row that one of several servers fails with UNAVAILABLE until it is left out; 0 or less: any number.
    The figure of Envoy's outlier detection."""
    first_ejection: float = 2.0
    longest_ejection: float = 60.0
    """For how long it is, and one that cannot be reached: twice as long each time. Restarts take seconds, and what
    is left out wrongly costs capacity; Envoy's 30 and 300 s are for fleets that have more to spare."""
    trial: float = 1.0
    """Between calls to one that is tried again."""
    keepalive: float = 310.0
    """Silence on a connection with calls after which it is pinged: servers of gRPC's core answer pings more
    frequent than 5 minutes with GOAWAY (grpc/doc/keepalive.md)."""
    keepalive_timeout: float = 20.0
    limits: Limits = MANY_CLIENTS
    """A connection carries the calls of many clients: what one of them does not take is bounded by its streams'
    windows and leaves the others alone."""
