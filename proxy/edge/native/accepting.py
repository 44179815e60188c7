"""
The door: connections are taken in one by one, and whose they are is known before anything is read of them.

Law: a connection counts from its accept on, through its TLS handshake, until its descriptor is closed. Whether there
is room is decided by whoever keeps the connections (`clients`).
"""

import asyncio
import errno
import ipaddress
import select
import socket
import ssl
from typing import Any, Final, cast, final

from proxy.edge.listening import BACKLOG
from proxy.edge.native.clients import Clients
from proxy.edge.native.downstream import DownstreamShell

HANDSHAKE_SECONDS: Final = 10.0
"""For TLS, from the accept on."""

_AT_ONCE: Final = 64
_PAUSE_SECONDS: Final = 0.05
# There are no descriptors, or no memory for one more.
_SHORT: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NETWORK_V6: Final = 64


@final
class Door:
    """Takes in connections on a bound socket."""

    def __init__(self, sock: socket.socket, clients: Clients, tls: ssl.SSLContext | None) -> None:
        self._socket = sock
        self._clients = clients
        self.secure(tls)
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None

    def secure(self, tls: ssl.SSLContext | None) -> None:
        """Meet who comes from now on in TLS with this context."""
        self._secure: dict[str, Any] = (
            {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_SECONDS}
        )

    def open(self) -> None:
        """Begin to take in connections."""
        self._socket.setblocking(False)
        self._socket.listen(BACKLOG)
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Take in no more; safe to call twice."""
        if self._paused is not None:
            self._paused.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            # Whoever waits here is connected already, as far as he can tell, and would be reset.
            for _ in range(0, BACKLOG, _AT_ONCE):
                self._accept()
            self._socket.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self._clients.crowded:
                # What made room has its descriptors still; the next turn of the loop closes them.
                return
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                # The system says so before it has looked whether anyone is there.
                if self._someone_waits() and not self._clients.make_room():
                    # The socket stays readable: do not ask it in a loop.
                    self._pause()
                return
            shell = self._clients.admitted(client_address(address))
            if shell is None:
                sock.close()
                continue
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._opening(shell, sock)

    def _someone_waits(self) -> bool:
        looking = select.poll()
        looking.register(self._socket, select.POLLIN)
        return bool(looking.poll(0))

    def _opening(self, shell: DownstreamShell, sock: socket.socket) -> None:
        task = self._loop.create_task(self._open(shell, sock))
        # A task that is cancelled before it runs would leave the socket to the garbage collector.
        self._loop.call_soon(shell.opens, task)

    async def _open(self, shell: DownstreamShell, sock: socket.socket) -> None:
        try:
            if shell.unwanted:
                raise ConnectionAbortedError
            # A shell has what a protocol has (see `Shell`).
            protocol = cast("asyncio.BufferedProtocol", shell)
            await self._loop.connect_accepted_socket(lambda: protocol, sock, **self._secure)
        except (OSError, asyncio.CancelledError):
            # A client that left, did not finish in time, or had to make room; ssl.SSLError is an OSError.
            if shell.transport is None:
                sock.close()
                shell.never_opened()
            else:
                # Cancelled between `connection_made` and the end of the opening: uvloop closes and tells nobody.
                shell.connection_lost(None)

    def _pause(self) -> None:
        self._loop.remove_reader(self._socket)
        self._paused = self._loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._socket, self._accept)


def client_address(name: Any) -> str:
    """Whose share a connection is counted to: an IPv4 address, an IPv6 network of one site, or all Unix sockets."""
    if not isinstance(name, tuple):
        return "unix:"
    host = str(name[0])
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _NETWORK_V6), strict=False))
