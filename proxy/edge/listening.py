"""Listening addresses: HOST:PORT or unix:PATH, and why one cannot be had.

Law: binds and tells; it accepts nothing. A socket in the file system that its process left behind may go, one
that somebody listens on may not, whichever edge asks.
"""

import contextlib
import socket
from pathlib import Path
from typing import Final, NamedTuple

from proxy.edge.interface import AddressInUseError

BACKLOG: Final = 1024


class Place(NamedTuple):
    """How a listening address is had: by one process, or by several beside one another.

    `shared`: its port is taken together with others who say so too (SO_REUSEPORT; the kernel deals connections out).
    `sock` listens already, and others accept from it too.
    """

    shared: bool = False
    sock: socket.socket | None = None


ALONE: Final = Place()

_UNIX: Final = "unix:"


def path_of(address: str) -> Path | None:
    """The path of a Unix socket; None: the address is HOST:PORT."""
    return Path(address.removeprefix(_UNIX)) if address.startswith(_UNIX) else None


def bind(address: str, *, shared: bool = False) -> tuple[socket.socket, str]:
    """A bound socket and its address, in which port 0 has become a real one. Raises AddressInUseError."""
    path = path_of(address)
    try:
        if path is not None:
            return _bind_path(path), address
        host, port, family = _parts(address)
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        raise _complaint(address, error) from error
    return sock, _address(address, sock)


def reserve(address: str, *, shared: bool = False) -> tuple[socket.socket, str]:
    """Hold an address that several processes will share, and return it as `bind` does. Raises AddressInUseError.

    A port is bound and not listened on: no connection comes here, and whoever says `shared` may take it too; unless
    it is `shared` here, none may have it already. A path is listened on, for there is only one socket.
    """
    path = path_of(address)
    try:
        if path is not None:
            sock = _bind_path(path)
            sock.listen(BACKLOG)
            return sock, address
        host, port, family = _parts(address)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                # As create_server does.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
            sock.bind((host, port))
            # Not before, unless asked for: a port that somebody else shares among his own must count as taken. And from now on for
            # those who share it alone: beside one that does not listen, SO_REUSEADDR would let in anyone.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise _complaint(address, error) from error
    return sock, _address(address, sock)


def _parts(address: str) -> tuple[str, int, socket.AddressFamily]:
    host, _, port = address.rpartition(":")
    name = host.strip("[]")
    return name, int(port), socket.AF_INET6 if ":" in name else socket.AF_INET


def _address(address: str, sock: socket.socket) -> str:
    return f"{address.rpartition(':')[0]}:{sock.getsockname()[1]}"


def _complaint(address: str, error: OSError) -> AddressInUseError:
    # What Python adds repeats the address.
    why = (error.strerror or str(error)).partition(" (while")[0].lower()
    return AddressInUseError(f"cannot listen on {address}: {why}")


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
