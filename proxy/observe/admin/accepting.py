"""The door of the admin port: connections until they are open, which are bounded before aiohttp knows of them.

Law: knows sockets and a context. A handshake of TLS has its time, and beyond so many at once the oldest makes room, so
that who opens connections and says nothing takes the place of nobody for long. Where there are no descriptors it waits:
asyncio's own servers ask again and again, for as long as somebody is at the door.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

HANDSHAKE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.1
_ABSENT: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


class Door:
    """Takes in connections, `most` at a time that are not open yet. `protocol` makes what speaks once they are.

    `context` None: in plain text.
    """

    def __init__(
        self, protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None, most: int
    ) -> None:
        self._protocol = protocol
        self._secure: dict[str, Any] = (
            {} if context is None else {"ssl": context, "ssl_handshake_timeout": HANDSHAKE_SECONDS}
        )
        self._most = most
        # Oldest first.
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._sockets: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._under_way)

    def open(self, host: str, port: int) -> int:
        """Begin, and return the port. Raises OSError."""
        self._sockets = _bound(host, port)
        for sock in self._sockets:
            sock.setblocking(False)
            self._listen(sock)
        found: int = self._sockets[0].getsockname()[1]
        return found

    def close(self) -> None:
        """Take in no more."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets = []
        for task in self._under_way:
            task.cancel()

    def _listen(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if listening not in self._sockets:
            return
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # There are no descriptors: the socket stays readable, and is not asked in a loop.
            loop.remove_reader(listening)
            loop.call_later(_PAUSE_SECONDS, self._listen, listening)
            return
        sock.setblocking(False)
        if len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = loop.create_task(self._open(sock))
        self._under_way[task] = None
        task.add_done_callback(lambda task: self._over(task, sock))

    async def _open(self, sock: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, sock, **self._secure)

    def _over(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        self._under_way.pop(task, None)
        if task.cancelled() or task.exception() is not None:
            # A client that left, did not finish in time, or had to make room.
            with suppress(OSError):
                sock.close()


def _bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host that this machine has. Raises OSError."""
    found: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            found.append(socket.create_server(address, family=family))
        except OSError as error:
            if error.errno not in _ABSENT:
                for sock in found:
                    sock.close()
                raise
            missing = error
    if not found and missing is not None:
        raise missing
    return found
