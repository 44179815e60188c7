"""
One HTTP/2 connection on one socket: octets between an asyncio transport and `http2.Connection`.

Law: moves octets and says when the transport is full; decides nothing about calls. Connections that have something
to write are collected in one list and written when everything has been done that an event caused; where little was
read, that all events of a turn of the loop caused: one write for many of them.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from typing import Final, cast, final

from proxy.edge.load import Load, are_few
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.handler import Writer
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.slabs import COPIED, SIZE, Slabs
from proxy.gate.turns import Client, Rows

_HIGH_WATER: Final = 512 << 10
_CLOSING_SECONDS: Final = 2.0
# CVE-2024-12254: in these versions `writelines` of asyncio's own transports never says that it is full.
_WRITELINES_PAUSES = not (
    (3, 12) <= sys.version_info[:3] < (3, 12, 9) or (3, 13) <= sys.version_info[:3] < (3, 13, 2)
)


SLICE: Final = 0.02
"""Seconds that one read should take at most; whose reads take longer reads less at once, and not again right away."""
_FIRST_ROOM: Final = 16 << 10
_LEAST_ROOM: Final = 1 << 10
# Who reads so little waits for the others of its turn; views of what was read must not.
_LITTLE: Final = COPIED
# So much is copied into one piece before it is written, which costs less than to write it in pieces.
_JOINED: Final = 16 << 10


@final
class Exchange:
    """What the connections of an edge share: memory to read into, who of them has something to write, and turns.

    The turns are for connections whose octets take long to read again and again: one of them a turn of the loop.
    Made while the loop runs.
    """

    __slots__ = ("_afterwards", "_loop", "_slow", "_soon", "load", "ready", "slabs")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.slabs = Slabs()
        self.ready: list[Writer] = []
        self.load: Load | None = None
        """What the calls on these connections hold, set by whose they are."""
        self._slow: Rows[Shell] = Rows()
        # Whether a write is due at the end of this turn of the loop, and what is to be done behind it.
        self._soon = False
        self._afterwards: list[Callable[[], None]] = []

    def put_off(self, shell: "Shell", client: Client) -> None:
        """Have a connection that reads no more read on in its turn."""
        if not self._slow:
            shell.loop.call_soon(self._next_turn, shell.loop)
        self._slow.put(client, shell)

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._slow.take().read_on()
        if self._slow:
            loop.call_soon(self._next_turn, loop)

    def flush(self) -> None:
        """Write what every connection has."""
        ready = self.ready
        for shell in ready:
            shell.write()
        ready.clear()

    @property
    def waits(self) -> bool:
        """Whether a write may wait for the end of the turn: there are so many calls that others share it."""
        return self.load is not None and not are_few(self.load.calls)

    def flush_soon(self) -> None:
        """Write it once everything has been read that there is to read in this turn of the loop."""
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._end_turn)

    def afterwards(self, do: Callable[[], None]) -> None:
        """Have something done behind the next write: nobody waits for it."""
        self._afterwards.append(do)
        self.flush_soon()

    def _end_turn(self) -> None:
        self._soon = False
        self.flush()
        afterwards, self._afterwards = self._afterwards, []
        for do in afterwards:
            do()


class Shell:
    """The common half of both roles; see `downstream` and `upstream`.

    A protocol for the loop, which asks a `BufferedProtocol` for memory to read into; asyncio's own loops tell those
    only by their base class, which would keep this one from being compiled, and hand over what they read instead.
    """

    def __init__(self, exchange: Exchange, limits: Limits, *, server: bool) -> None:
        self.exchange = exchange
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.connection = Connection(self, limits, server=server, ready=exchange.ready)
        self.heard = 0.0
        self.closing = False
        self.lost_because = ""
        # Octets that are read at once: so many that it does not take long, whatever the peer sends.
        self._room = _FIRST_ROOM
        self._slow_before = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(_HIGH_WATER)
        keep_alive(transport.get_extra_info("socket"))
        self.write()
        self.exchange.flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self.exchange.slabs.room()[: self._room]

    def buffer_updated(self, nbytes: int) -> None:
        self.received(self.exchange.slabs.taken(nbytes), nbytes)

    def data_received(self, data: bytes) -> None:
        self.received(data, len(data))

    def received(self, data: bytes | memoryview, count: int) -> None:
        """Take what was read."""
        self.heard = now = time.monotonic()
        self.connection.receive(data, now)
        exchange = self.exchange
        if exchange.ready:
            if count <= _LITTLE and exchange.waits:
                exchange.flush_soon()
            else:
                exchange.flush()
        took = time.monotonic() - now
        if took > SLICE:
            self._room = max(_LEAST_ROOM, int(count * SLICE / took))
            self._read_later()
        else:
            self._slow_before = False
            if count >= self._room:
                self._room = min(2 * count, SIZE)

    def _read_later(self) -> None:
        """Let the others have their turn."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.pause_reading()
        if self._slow_before:
            self.exchange.put_off(self, self.client)
        else:
            self._slow_before = True
            self.loop.call_soon(self.read_on)

    def read_on(self) -> None:
        """Read again after a pause."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    @property
    def client(self) -> Client:
        """Whose turn it is when this connection's is."""
        return ()

    def eof_received(self) -> bool:
        # HTTP/2 has no half-closed connections.
        return False

    def pause_writing(self) -> None:
        self.connection.pause()

    def resume_writing(self) -> None:
        self.connection.resume()
        self.exchange.flush()

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is None:
            return
        self.transport = None
        because = self.lost_because or "Connection closed" + (f": {error}" if error else "")
        self.connection.lost(because)
        self.on_closed(because)
        self.exchange.flush()

    def write(self) -> None:
        """Give the transport what the connection has."""
        transport = self.transport
        if transport is None:
            # Not connected yet: the preface waits for `connection_made`.
            return
        connection = self.connection
        size = connection.output.size
        out = connection.take()
        if out:
            if size > _JOINED and (_WRITELINES_PAUSES or not isinstance(transport, asyncio.Transport)):
                transport.writelines(out)
            else:
                transport.write(out[0] if len(out) == 1 else b"".join(out))
            if connection.table.waiting:
                connection.pump()

    def close(self, because: str) -> None:
        """Close once everything has been written; a peer that does not read is cut off."""
        if self.closing:
            return
        self.closing = True
        self.lost_because = because
        if self.transport is not None:
            self.write()
            self.transport.close()
            self.loop.call_later(_CLOSING_SECONDS, self._abort)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def on_closed(self, because: str) -> None:
        """Learn that the connection is no more; its streams have been told."""

    def on_request(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        """Take a request; only clients send them, so only the server role has something to do."""

    def on_settings(self) -> None:
        pass

    def on_ping_ack(self, payload: bytes) -> None:
        pass

    def on_goaway(self, last_stream: int, code: int, debug: bytes) -> None:
        pass

    def on_reset_waits(self) -> None:
        """Learn that a reset waits; only those of a server's streams do."""

    def on_drained(self) -> None:
        """Learn that a stream ended before its reset; only a server's streams wait for one."""

    def on_fault(self, fault: PeerFault) -> None:
        self.close(f"{frames.error_name(fault.code)}: {fault.text}")


def keep_alive(sock: socket.socket | None) -> None:
    """Have the kernel notice peers that vanished, without a frame of ours: some count pings as abuse."""
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
