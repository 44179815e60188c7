"""
One connection to the server: when it takes calls, when no more, and whether the server is still there.

Law: knows its connection and its clock; which calls it gets and what comes after it is the pool's business.
"""

import asyncio
import time
from typing import Final, Protocol, final

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.pacing import AGE
from proxy.edge.native.pool_options import PoolOptions
from proxy.edge.native.shell import Exchange, Shell
from proxy.upstream.endpoints import Endpoint

_PING: Final = b"tfsproxy"
_SHOWN_DEBUG: Final = 200


class Connections(Protocol):
    """All connections to the server, as one of them sees them."""

    def serve_waiting(self) -> None:
        """Hand out what can be had: the connection may take more calls than before."""

    def freed(self, connection: Connection) -> None:
        """Learn that a call on the connection is over."""

    def look_again(self) -> None:
        """Learn that a connection may be worn out."""

    def retired(self, shell: "UpstreamShell") -> None:
        """Learn that a connection takes no more calls, or is closed."""


@final
class UpstreamShell(Shell):
    """A connection to the server."""

    def __init__(
        self, pool: Connections, exchange: Exchange, options: PoolOptions, address: Endpoint
    ) -> None:
        super().__init__(exchange, options.limits, server=False)
        self._pool = pool
        self._options = options
        self.address = address
        self.usable = False
        self.settled: asyncio.Future[None] = self.loop.create_future()
        self._pinged = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._resets: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<UpstreamShell {self.address} {self.connection!r}>"

    def on_settings(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)
            self.usable = True
            self._watch = self.loop.call_later(self._options.keepalive, self._check_silence)
        self._pool.serve_waiting()

    def on_goaway(self, last_stream: int, code: int, debug: bytes) -> None:  # noqa: ARG002
        if code != frames.NO_ERROR:
            text = debug[:_SHOWN_DEBUG].decode("utf-8", "replace")
            self.lost_because = f"the server ended the connection with {frames.error_name(code)}: {text!r}"
        self.retire()

    def on_reset_waits(self) -> None:
        if self._resets is None:
            self._resets = self.loop.call_later(AGE, self._reset_due)
        if self.usable and self.connection.worn:
            self._pool.look_again()

    def on_drained(self) -> None:
        self._pool.freed(self.connection)

    def on_fault(self, fault: PeerFault) -> None:
        super().on_fault(fault)
        self._failed(fault.text)

    def on_closed(self, because: str) -> None:
        for timer in (self._watch, self._resets):
            if timer is not None:
                timer.cancel()
        self._failed(because)
        if self.usable:
            self.usable = False
        self._pool.retired(self)

    def retire(self) -> None:
        """Take no more calls, and close once the last one is over."""
        if self.usable:
            self.usable = False
            self._pool.retired(self)
        self.close_when_idle()

    def close_when_idle(self) -> None:
        """Close a connection that takes no more calls once its last one is over."""
        if not self.usable and self.connection.idle and self.settled.done():
            self.close("it takes no more calls")

    def _reset_due(self) -> None:
        self._resets = None
        self.connection.reset_due(time.monotonic())
        if self.connection.closing.pacing:
            self._resets = self.loop.call_later(AGE, self._reset_due)
        self._pool.freed(self.connection)
        self.exchange.flush()

    def _failed(self, because: str) -> None:
        if not self.settled.done():
            self.settled.set_exception(ConnectionError(because))

    def _check_silence(self) -> None:
        """Ping a connection that has calls and was silent for long; close it when nothing comes back."""
        options = self._options
        now = time.monotonic()
        silent = now - self.heard
        wait = options.keepalive - silent
        if self._pinged > self.heard:
            wait = options.keepalive_timeout - (now - self._pinged)
            if wait <= 0:
                self.close("the server does not answer pings")
                self._abort()
                return
        elif wait <= 0:
            wait = options.keepalive
            if self.connection.streams:
                self._pinged = now
                wait = options.keepalive_timeout
                self.connection.send_ping(_PING)
                self.exchange.flush()
        self._watch = self.loop.call_later(max(wait, 0.01), self._check_silence)
