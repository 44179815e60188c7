"""One observer made of several, none of which can break traffic or each other.

Law: an observer's own exception stops here; it is counted, told, and the next observer is called.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.core.availability import VersionStatus
from proxy.core.drift import Drift
from proxy.core.types import ModelKey
from proxy.observe.outcome import EndObserver, Observer, Outcome


class Listener(Protocol):
    """What upstream/ tells; the same shape as its own protocol, which this floor must not import."""

    def signature_fetched(self, key: ModelKey, result: str, seconds: float) -> None: ...

    def signature_drifted(self, drift: Drift) -> None: ...

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None: ...

    def upstream_changed(self, up: bool) -> None: ...


class Fanout:
    """An `Observer` and a `Listener` that tells each of `observers`, `ends` and `listeners`, in order.

    Those in `ends` hear only of calls that are over.

    `failed` is told of an observer that raised, and with what; should it raise too, that is dropped.
    """

    def __init__(
        self,
        observers: Sequence[Observer],
        ends: Sequence[EndObserver],
        listeners: Sequence[Listener],
        failed: Callable[[object, Exception], None],
    ) -> None:
        self._observers = tuple(observers)
        self._ends = (*observers, *ends)
        self._listeners = tuple(listeners)
        self._failed = failed

    def call_started(self, method: str, grpc_type: str) -> None:
        for observer in self._observers:
            try:
                observer.call_started(method, grpc_type)
            except Exception as error:  # noqa: BLE001  observation must not break traffic
                self._tell(observer, error)

    def call_ended(self, outcome: Outcome) -> None:
        for observer in self._ends:
            try:
                observer.call_ended(outcome)
            except Exception as error:  # noqa: BLE001  observation must not break traffic
                self._tell(observer, error)

    def signature_fetched(self, key: ModelKey, result: str, seconds: float) -> None:
        self._each(lambda listener: listener.signature_fetched(key, result, seconds))

    def signature_drifted(self, drift: Drift) -> None:
        self._each(lambda listener: listener.signature_drifted(drift))

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None:
        self._each(lambda listener: listener.versions_changed(model, versions))

    def upstream_changed(self, up: bool) -> None:
        self._each(lambda listener: listener.upstream_changed(up))

    def _each(self, tell: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            try:
                tell(listener)
            except Exception as error:  # noqa: BLE001  observation must not break the watch on the upstream
                self._tell(listener, error)

    def _tell(self, observer: object, error: Exception) -> None:
        with contextlib.suppress(Exception):  # there is nobody left to tell
            self._failed(observer, error)
