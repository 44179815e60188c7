"""
A way through a forward proxy: CONNECT (RFC 9110 §9.3.6) and what comes back.

Law: hands over a socket on which the next octet is the server's, or raises OSError saying why there is none. How
long it may take is the caller's to bound.
"""

import asyncio
import os
import re
import socket
from typing import Final

from proxy.core.explain import escape
from proxy.upstream.endpoints import Endpoint
from proxy.upstream.forward_proxy import Tunnel

_LONGEST_ANSWER: Final = 16 << 10
_SHOWN: Final = 80
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n").fullmatch


async def through(tunnel: Tunnel, endpoint: Endpoint) -> socket.socket:
    """Have the forward proxy connect to the endpoint, whose name only the forward proxy resolves."""
    sock = await _dial(tunnel)
    try:
        await asyncio.get_running_loop().sock_sendall(sock, _request(tunnel, endpoint))
        await _read_answer(tunnel, sock)
    except (BrokenPipeError, ConnectionResetError):
        sock.close()
        raise ConnectionError(f"{tunnel} hung up on CONNECT") from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _dial(tunnel: Tunnel) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(tunnel.host, tunnel.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as unresolved:
        reason = getattr(unresolved, "strerror", None) or unresolved
        raise ConnectionError(f"the name of {tunnel} cannot be resolved: {reason}") from unresolved
    why = "it has no address"
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            why = said(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise ConnectionError(f"{tunnel} cannot be reached: {why}")


def said(error: OSError) -> str:
    """Tell a system's error in its own words; asyncio puts an address in their place."""
    number = error.errno
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else str(error)


def _request(tunnel: Tunnel, endpoint: Endpoint) -> bytes:
    where = str(endpoint).encode()
    lines = [b"CONNECT %s HTTP/1.1" % where, b"Host: %s" % where]
    if tunnel.authorization:
        lines.append(b"Proxy-Authorization: %s" % tunnel.authorization)
    return b"\r\n".join((*lines, b"", b""))


async def _read_answer(tunnel: Tunnel, sock: socket.socket) -> None:
    left = _LONGEST_ANSWER
    line = await _read_line(tunnel, sock, left)
    status = _STATUS_LINE(line)
    if status is None:
        raise ConnectionError(f"{tunnel} does not speak HTTP/1")
    if not status[1].startswith(b"2"):
        text = escape(b" ".join(filter(None, status.groups())).decode("latin-1"), _SHOWN)
        raise ConnectionError(f"{tunnel} answered {text} to CONNECT")
    while line.strip():
        left -= len(line)
        line = await _read_line(tunnel, sock, left)


async def _read_line(tunnel: Tunnel, sock: socket.socket, most: int) -> bytes:
    """Read octet by octet: what follows the answer is for the next who reads."""
    loop = asyncio.get_running_loop()
    line = bytearray()
    while not line.endswith(b"\n"):
        if len(line) >= most:
            raise ConnectionError(f"{tunnel} answered more than {_LONGEST_ANSWER} bytes to CONNECT")
        octet = await loop.sock_recv(sock, 1)
        if not octet:
            raise ConnectionError(f"{tunnel} hung up on CONNECT")
        line += octet
    return bytes(line)
