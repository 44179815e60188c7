"""Listening addresses: HOST:PORT or unix:PATH, and why one cannot be had.

Law: binds and tells; it accepts nothing. A socket in the file system that its process left behind may go, one
that somebody listens on may not, whichever edge asks.
"""

import contextlib
import socket
from pathlib import Path
from typing import Final

from proxy.edge.interface import AddressInUseError

BACKLOG: Final = 1024

_UNIX: Final = "unix:"


def path_of(address: str) -> Path | None:
    """The path of a Unix socket; None: the address is HOST:PORT."""
    return Path(address.removeprefix(_UNIX)) if address.startswith(_UNIX) else None


def bind(address: str) -> tuple[socket.socket, str]:
    """A bound socket and its address, in which port 0 has become a real one. Raises AddressInUseError."""
    path = path_of(address)
    try:
        if path is not None:
            return _bind_path(path), address
        host, _, port = address.rpartition(":")
        name = host.strip("[]")
        family = socket.AF_INET6 if ":" in name else socket.AF_INET
        sock = socket.create_server((name, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        # What Python adds repeats the address.
        why = (error.strerror or str(error)).partition(" (while")[0].lower()
        raise AddressInUseError(f"cannot listen on {address}: {why}") from error
    return sock, f"{host}:{sock.getsockname()[1]}"


def _bind_path(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket() and not _is_alive(path):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    return sock


def _is_alive(path: Path) -> bool:
    """Whether someone listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
