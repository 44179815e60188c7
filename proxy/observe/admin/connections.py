"""The connections of the admin port: how many there may be, and how long each may take for what.

Whoever reaches the port can open connections and say nothing, say it slowly, or not take the answer. Each of these has
a time, and at the bound the least useful connection makes room for the new one, so that probes and scrapers are
answered whatever the others do.

Law: knows octets, times and aiohttp's protocol; what is asked and answered is server.py's business.
"""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import web


class Bounds(NamedTuple):
    """Times in seconds; `head_octets` is what a client may send for one request, its body included."""

    connections: int = 64
    head_seconds: float = 10.0
    idle_seconds: float = 15.0
    answer_seconds: float = 15.0
    head_octets: int = 32 << 10


BOUNDS: Final = Bounds()

TRIED_OCTETS: Final = 4 << 20
"""What a client may send for a request to try (pages/), which alone has a body."""
_TRIED: Final = b"POST /try HTTP/"

_LEAST: Final = 4
_PART: Final = 16


def affordable() -> Bounds:
    """The bounds of a process that may open few files: the admin port takes one in 16 of them (RLIMIT_NOFILE)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return BOUNDS
    return BOUNDS._replace(connections=max(_LEAST, min(BOUNDS.connections, soft // _PART)))


_FIELD_OCTETS: Final = 8190
"""Cookies of other services on localhost come along, and may be long."""

_FIELDS: Final = 64


class Connection(web.RequestHandler):
    """One connection. It is cut off when a request, the next one, or the taking of an answer takes too long."""

    __slots__ = ("_connections", "_idle", "_lost", "_most", "_octets", "_timer", "answering", "host")

    def __init__(self, server: web.Server, connections: "Connections") -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as AppRunner would: no line per request
            # aiohttp's own timer waits until what was written has been taken, however long that is.
            keepalive_timeout=2 * connections.bounds.idle_seconds,
            # Nobody sends a body here: none is waited for, and none inflated.
            lingering_time=0.0,
            auto_decompress=False,
            max_line_size=_FIELD_OCTETS,
            max_field_size=_FIELD_OCTETS,
            max_headers=_FIELDS,
        )
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Callable[[], None] | None = None
        self._idle = False
        self._octets = 0
        self._most = 0
        self.answering = False
        self.host = ""

    @property
    def bounds(self) -> "Bounds":
        """The times that hold here."""
        return self._connections.bounds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the place of another where there are too many."""
        self.host = str((transport.get_extra_info("peername") or ("",))[0])
        super().connection_made(transport)
        self._connections.admit(self)
        self._within(self._connections.bounds.head_seconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        self._within(None)
        self._connections.release(self)
        super().connection_lost(exc)
        if self._lost is not None:
            self._lost()

    def data_received(self, data: bytes) -> None:
        """Count what comes before the next answer is made."""
        if self._idle:
            self._idle = False
            self._within(self._connections.bounds.head_seconds)
        if self._octets == 0:
            tries = data.startswith(_TRIED)
            self._most = TRIED_OCTETS if tries else self._connections.bounds.head_octets
        self._octets += len(data)
        if self._octets > self._most:
            self.cut()
            return
        super().data_received(data)

    def begin(self) -> None:
        """A whole request is there; its answer is to be made, and taken, in time."""
        self.answering = True
        self._idle = False
        self._within(self._connections.bounds.answer_seconds)

    def stream(self, lost: Callable[[], None]) -> None:
        """The answer has no end; whoever writes it sees that it is taken, and is told when nobody is there any more."""
        self._lost = lost
        self._within(None)

    def done(self) -> None:
        """The answer is taken, but for what a socket holds; the next request may come."""
        self.answering = False
        self._lost = None
        self._octets = 0
        self._idle = True
        self._within(self._connections.bounds.idle_seconds)

    def cut(self) -> None:
        """End the connection at once, whatever has not been taken."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and what failed, in one plain line; only a failure of ours is worth a traceback."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            super().handle_error(request, status, exc, message)
        answer = web.Response(status=status, text=f"{int(status)} {HTTPStatus(status).phrase}\n")
        answer.headers.update(self._connections.headers)
        answer.force_close()
        return answer

    def _within(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None and self.transport is not None:
            # The transport is bound now: aiohttp forgets it as soon as it has asked it to close in peace.
            self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.abort)


class Connections:
    """Every open connection, oldest first. `headers` go with answers made here; `full` is told at the bound."""

    def __init__(
        self, headers: dict[str, str], full: Callable[[], None] = lambda: None, bounds: Bounds = BOUNDS
    ) -> None:
        self.headers = headers
        self.bounds = bounds
        self._full = full
        self._told_at = -_QUIET_SECONDS
        self._open: dict[Connection, asyncio.Transport] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> None:
        """Count a new connection, and end the least useful other one at the bound.

        That is one that has not sent a whole request or does not take its answer; among those one of the peer that
        has most; among those the oldest.
        """
        if len(self._open) >= self.bounds.connections:
            shares = Counter(each.host for each in self._open)
            last = min(
                self._open,
                key=lambda each: (each.answering and not each.writing_paused, -shares[each.host]),
            )
            # Its end is told to it later; its place is free now.
            self._open.pop(last).abort()
            now = time.monotonic()
            if now - self._told_at >= _QUIET_SECONDS:
                self._told_at = now
                self._full()
        assert connection.transport is not None
        self._open[connection] = connection.transport

    def release(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        self._open.pop(connection, None)


_QUIET_SECONDS: Final = 60.0
"""Between two words about the bound."""
