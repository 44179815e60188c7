"""TLS on the admin port: connections in their handshake, which are bounded before aiohttp knows of them.

Law: knows sockets and a context. A handshake has its time, and beyond so many at once the oldest makes room, so that who
opens connections and says nothing takes the place of nobody for long.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

HANDSHAKE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.1


class Handshakes:
    """Takes in connections, `most` in their handshake at a time. `protocol` makes what speaks once that is over."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext, most: int) -> None:
        self._protocol = protocol
        self._context = context
        self._most = most
        # Oldest first.
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._socket: socket.socket | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    def open(self, host: str, port: int) -> int:
        """Begin, and return the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self._socket = socket.create_server((host, port), family=family)
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._accept)
        found: int = sock.getsockname()[1]
        return found

    def close(self) -> None:
        """Take in no more."""
        sock, self._socket = self._socket, None
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        for task in self._under_way:
            task.cancel()

    def _accept(self) -> None:
        loop, listening = asyncio.get_running_loop(), self._socket
        if listening is None:
            return
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # There are no descriptors: the socket stays readable, and is not asked in a loop.
            loop.remove_reader(listening)
            loop.call_later(_PAUSE_SECONDS, self._resume)
            return
        sock.setblocking(False)
        if len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = loop.create_task(self._secure(sock))
        self._under_way[task] = None
        task.add_done_callback(lambda task: self._over(task, sock))

    def _resume(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    async def _secure(self, sock: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            self._protocol, sock, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )

    def _over(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        self._under_way.pop(task, None)
        if task.cancelled() or task.exception() is not None:
            # A client that left, did not finish in time, or had to make room.
            with suppress(OSError):
                sock.close()
