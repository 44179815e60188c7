"""What systemd and a service say to one another: the socket that is handed over, and how far the service is.

Law: the protocols of sd_listen_fds(3) and sd_notify(3), by the standard library; without their variables nothing happens.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

READY: Final = b"READY=1"
STOPPING: Final = b"STOPPING=1"

_FIRST: Final = 3


def handed_over(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket that this process was started with; None: there is none. Raises OSError with a sentence.

    Whoever is started from here gets neither it nor word of it.
    """
    meant_for = environ.pop("LISTEN_PID", None)
    count = environ.pop("LISTEN_FDS", "0")
    environ.pop("LISTEN_FDNAMES", None)
    if meant_for != str(os.getpid()):
        return None
    if count != "1":
        raise OSError(
            f"one socket is taken from systemd, for gRPC, and there are {count}: one ListenStream= is wanted"
        )
    try:
        sock = socket.socket(fileno=_FIRST)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OSError(f"what systemd hands over is no socket: {error.strerror}") from error
    if not listens:
        sock.close()
        raise OSError("the socket from systemd takes no connections: ListenStream= and Accept=no are wanted")
    sock.set_inheritable(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Where a socket listens, written as --listen is."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    host, port, *_ = name
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reloading(monotonic_ns: int) -> bytes:
    """That what follows until READY is a reload, which began at this time (systemd.service(5), `Type=notify-reload`)."""
    return b"RELOADING=1\nMONOTONIC_USEC=%d" % (monotonic_ns // 1000)


def notify(state: bytes) -> None:
    """Tell systemd how far this service is, if it wants to know."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        # A service manager that does not listen is no reason to serve no calls.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state, "\0" + path[1:] if path.startswith("@") else path)
