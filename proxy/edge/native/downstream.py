"""
The server side: connections of clients, each request a call.

Law: takes connections in and sees them out; what a request means is `call`'s.
"""

import asyncio
from typing import Final

from proxy.edge.native import rpc
from proxy.edge.native.call import Call
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.not_grpc import NotGrpc
from proxy.edge.native.plane import Plane
from proxy.edge.native.shell import Shell

PREFACE_SECONDS: Final = 10.0
"""From the connection to the client's first SETTINGS."""

_TOO_LARGE: Final = "tfs-proxy: the metadata of the call is larger than the %d bytes announced"


class Clients:
    """The connections of all clients, bounded."""

    def __init__(self, plane: Plane, limits: Limits, max_connections: int) -> None:
        self.plane = plane
        self.limits = limits
        self.max_connections = max_connections
        self.shells: set[DownstreamShell] = set()
        self.draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __call__(self) -> "DownstreamShell":
        """Make the protocol of a new connection."""
        return DownstreamShell(self)

    def joined(self, shell: "DownstreamShell") -> None:
        self.shells.add(shell)
        self._empty.clear()
        if len(self.shells) > self.max_connections or self.draining:
            shell.abort()

    def left(self, shell: "DownstreamShell") -> None:
        self.shells.discard(shell)
        if not self.shells:
            self._empty.set()

    async def drain(self, grace: float) -> None:
        """Let calls under way end for `grace` seconds, then cut the rest off with a status."""
        self.draining = True
        for shell in list(self.shells):
            shell.drain()
        self.plane.flush()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            for shell in list(self.shells):
                shell.cut_off()
            self.plane.flush()
            for shell in list(self.shells):
                shell.close("the proxy is stopping")
            # A client that does not take its last octets is cut off (see `Shell.close`).
            await self._empty.wait()


class DownstreamShell(Shell):
    """A connection of a client."""

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients.plane.exchange, clients.limits, server=True)
        self._clients = clients
        self._plane = clients.plane
        self._greeting = self.loop.call_later(PREFACE_SECONDS, self._too_slow)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._clients.joined(self)

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        if self._clients.draining:
            self._close_when_idle()

    def on_settings(self) -> None:
        self._greeting.cancel()

    def on_closed(self, because: str) -> None:  # noqa: ARG002
        self._greeting.cancel()
        self._clients.left(self)

    def on_request(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        if block.oversized:
            text = _TOO_LARGE % self.connection.limits.header_list_size
            self.connection.send_head(
                stream, rpc.status_block(rpc.RESOURCE_EXHAUSTED, text, alone=True), end=True
            )
            return
        plane = self._plane
        head: rpc.RequestHead | None = block.memo
        if head is None:
            pool = plane.pool_for((block.get(b":path") or b"").decode("latin-1"))
            head = block.memo = rpc.RequestHead(block, pool.scheme, pool.authority)
        if not head.is_grpc:
            sink = NotGrpc(self.connection)
            stream.sink = sink
            sink.begin(stream, ended=ended)
            return
        call = Call(plane, plane.pool_for(head.method), self.connection, stream, head)
        stream.sink = call
        call.begin(ended=ended)

    def write(self) -> None:
        super().write()
        if self._clients.draining:
            self._close_when_idle()

    def drain(self) -> None:
        """Ask the client to open no more calls here."""
        if self._greeting.cancelled():
            self.connection.drain()
        else:
            self.abort()

    def cut_off(self) -> None:
        """End every call with UNAVAILABLE."""
        for stream in list(self.connection.streams.values()):
            if isinstance(stream.sink, Call):
                stream.sink.cut_off()
            else:
                self.connection.reset(stream, frames.CANCEL)

    def abort(self) -> None:
        """Close without a word."""
        self._abort()

    def _close_when_idle(self) -> None:
        connection = self.connection
        if (
            not self.closing
            and connection.last_accepted != frames.LARGEST_STREAM_ID
            and not connection.streams
        ):
            self.close("drained")

    def _too_slow(self) -> None:
        self.close("no HTTP/2 preface in time")
        self.abort()
