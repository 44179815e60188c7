"""How many connections of clients the process has descriptors for.

Law: what is left for clients is what the admin port, the connections to the server and files do not need, whatever
the limit is.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.edge.admission import UNLIMITED

MOST_CONNECTIONS: Final = 10_000
"""However many descriptors there are."""

_RESERVE: Final = 256
"""Descriptors for the admin port, the server's connections and files…"""
_RESERVED_PART: Final = 4
"""…but of a small limit only one in so many."""
_LEAST: Final = 4
_IN_USE: Final = 64
"""Assumed where the system does not tell."""


def raise_limit() -> None:
    """Take as many descriptors as the process may have (RLIMIT_NOFILE: the soft limit becomes the hard one)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_allowed(configured: int) -> int:
    """Return the number of client connections at a time; `configured` UNLIMITED: what the limit of open files leaves."""
    if configured != UNLIMITED:
        return configured
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    reserve = min(_RESERVE, soft // _RESERVED_PART)
    return max(_LEAST, min(MOST_CONNECTIONS, soft - _in_use() - reserve))


def _in_use() -> int:
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        with suppress(OSError):
            return len(os.listdir(folder))  # noqa: PTH208 - names are enough
    return _IN_USE
