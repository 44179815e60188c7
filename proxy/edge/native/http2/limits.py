"""
What a peer may cost: the bounds announced to it, and the size of the budgets that it may spend.

Law: numbers, the same for the whole life of a connection.
"""

from dataclasses import dataclass
from typing import final

from proxy.core.bounds import MAX_METADATA
from proxy.edge.native.http2 import frames


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one connection. The windows are also the most a peer can make us hold for it."""

    stream_window: int = 1 << 20
    """Octets of DATA a peer may send on a stream before we say that they were taken; at least 65 535."""
    connection_window: int = 8 << 20
    """The same for all streams of a connection together; at least 65 535."""
    share_connection_window: bool = True
    """True: octets count against the connection's window until they are consumed, so it bounds what all streams
    hold together. False: only against their stream's, so that streams nobody takes from cannot stop the others
    (for a connection that many clients share)."""
    frame_size: int = 1 << 18
    """Largest frame payload accepted; DATA is handed on while it arrives, never collected."""
    concurrent_streams: int = 1024
    """Streams a client may have open; one more is answered with REFUSED_STREAM, which is safe to retry."""
    header_list_size: int = 64 << 10
    """Announced size of a decoded header section (RFC 9113 §6.5.2 counts 32 octets extra for each field)."""
    header_fields: int = MAX_METADATA
    """Fields in a client's header section; one with more is refused in words, one with four times as many ends the
    connection."""
    continuations: int = 64
    """CONTINUATION frames in one header section."""
    control_backlog: int = 1000
    """Answers (acknowledgements, resets) queued for a peer that does not read them."""
    remembered_resets: int = 2048
    """Reset streams of a client remembered, so that frames already on their way are told from frames of a broken
    one."""
    reset_burst: float = 1000
    """Streams that a client may reset, or have reset, beyond those that run to their end (CVE-2023-44487,
    CVE-2025-8671)…"""
    reset_rate: float = 100
    """…and how many more each second."""
    pace_resets: bool = True
    """Whether a server's streams are reset at a pace that no server takes for an attack (see `pacing`); not needed
    where the server is our own."""
    head_burst: float = 65_536
    """What reading a client's large header sections may cost beyond those of calls that are answered: one for each
    field and for each 16 octets beyond 256, unless the same section came before…"""
    head_rate: float = 4000
    """…and how much more each second."""
    nuisance_burst: float = 2000
    """Frames that carry nothing (PING, SETTINGS, empty DATA, …) beyond those that answer what we send…"""
    nuisance_rate: float = 200
    """…and how many more each second."""

    def __post_init__(self) -> None:
        # A smaller initial window or frame size would only hold once the peer has acknowledged it.
        if min(self.stream_window, self.connection_window) < frames.DEFAULT_WINDOW:
            raise ValueError(f"flow-control windows start at {frames.DEFAULT_WINDOW} octets")
        if max(self.stream_window, self.connection_window) > frames.LARGEST_WINDOW:
            raise ValueError(f"a flow-control window has at most {frames.LARGEST_WINDOW} octets")
        if not frames.DEFAULT_FRAME_SIZE <= self.frame_size <= frames.LARGEST_FRAME_SIZE:
            raise ValueError("frame_size is between 16384 and 16777215")
