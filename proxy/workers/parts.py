"""What part of each limit of the settings one of several workers gets.

Law: arithmetic on settings. What all workers get together is never more than the settings say, and each gets
something.
"""

import math
from dataclasses import replace
from typing import Any, Final

from proxy.capture.files import Turn
from proxy.config import Settings
from proxy.edge.admission import UNLIMITED
from proxy.edge.descriptors import MOST_CONNECTIONS, connections_allowed

_DIVIDED: Final = (
    "max_inflight_bytes",
    "max_concurrent_calls",
    "max_connections",
    "max_model_calls",
    "capture_max_bytes",
)


def part_of(settings: Settings, turn: Turn) -> Settings:
    """The settings of the worker whose turn this is."""
    limits = {name: getattr(settings, name) for name in _DIVIDED}
    parts: dict[str, Any] = {name: share(limit, turn) for name, limit in limits.items() if limit != UNLIMITED}
    if settings.max_connections == UNLIMITED:
        # Of descriptors each process has its own.
        most = share(MOST_CONNECTIONS, turn)
        parts["max_connections"] = max(1, min(connections_allowed(UNLIMITED), most))
    parts["models"] = {
        name: own
        if own.max_calls in {None, UNLIMITED}
        else replace(own, max_calls=share(own.max_calls, turn))
        for name, own in settings.models.items()
    }
    if settings.client_rate is not None:
        # A connection stays with one worker, and so does the burst of a client that has only one.
        parts["client_rate"] = settings.client_rate / turn.of
        parts["client_burst"] = share(math.ceil(settings.burst), turn)
    return replace(settings, workers=1, **parts)


def share(limit: int, turn: Turn) -> int:
    """An equal part of a limit; what is left over goes to the first."""
    return max(1, limit // turn.of + (turn.which < limit % turn.of))
