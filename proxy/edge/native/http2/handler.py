"""
Who is told of the connection as a whole; who is told of one stream is a `StreamSink` (see `stream`).

Law: what is told, and when; nothing of how.
"""

from typing import Protocol

from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Stream


class Writer(Protocol):
    """Who writes what a connection has to say."""

    def write(self) -> None:
        """Take the connection's output and write it. Called by who keeps the list `ready`, never by the core."""


class ConnectionHandler(Writer, Protocol):
    """Who is told what happens on the connection as a whole."""

    def on_request(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """
        Take a stream that a client opened (server role only): give it a sink, answer it or reset it.

        `block.oversized` says that it must be refused for the size of its header section.
        """

    def on_settings(self) -> None:
        """Learn that the peer's settings have arrived or changed."""

    def on_ping_ack(self, payload: bytes) -> None:
        """Learn that a PING of ours came back."""

    def on_goaway(self, last_stream: int, code: int, debug: bytes) -> None:
        """Learn that the peer takes no stream beyond `last_stream`; our own beyond it are already reset."""

    def on_reset_waits(self) -> None:
        """Learn that a reset waits for its turn: `reset_due` is to be called after `pacing.AGE` seconds."""

    def on_drained(self) -> None:
        """Learn that a stream that was waiting to be reset has ended by itself."""

    def on_fault(self, fault: PeerFault) -> None:
        """Write what there is and close: the connection is over for a fault of the peer."""
