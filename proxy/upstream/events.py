"""What this floor has to tell, to whoever listens.

Law: one direction. A listener is told after the fact and can change nothing; this floor knows no metric, no
log and no health service.
"""

from enum import StrEnum
from typing import Protocol

from proxy.core.availability import VersionStatus
from proxy.core.drift import Drift
from proxy.core.types import ModelKey


class FetchResult(StrEnum):
    """How one question for a signature ended."""

    OK = "ok"
    ABSENT = "absent"
    """The server says that it has no such servable."""
    UNAVAILABLE = "unavailable"
    """No answer: unreachable, too slow, or too busy."""
    ERROR = "error"
    """An answer that is of no use: not supported, unreadable, a fault."""


class Listener(Protocol):
    """Told synchronously on the event loop; must return at once."""

    def signature_fetched(self, key: ModelKey, result: FetchResult, seconds: float) -> None:
        """A question for the signatures of `key` has ended after `seconds`."""

    def signature_drifted(self, drift: Drift) -> None:
        """A model's latest or labelled version has moved (also when no signature changed)."""

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None:
        """The versions of a model or their states changed; empty: the server does not know the model."""

    def upstream_changed(self, up: bool) -> None:
        """The connection to the server came up or went down."""


class NullListener:
    """A listener that does nothing."""

    def signature_fetched(self, key: ModelKey, result: FetchResult, seconds: float) -> None: ...

    def signature_drifted(self, drift: Drift) -> None: ...

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None: ...

    def upstream_changed(self, up: bool) -> None: ...
