"""ModelWatch: which versions of which models the server has, polled with GetModelStatus.

Law: TF Serving pushes nothing, so it is asked, gently, one model at a time. What changes is told to the
signature cache and to the listener; nobody waits here for a request.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from proxy.core.availability import AVAILABLE, VersionStatus
from proxy.core.types import ModelKey
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.control import ControlPlane
from proxy.upstream.events import Listener, NullListener
from proxy.upstream.signatures import SignatureCache

_MAX_BACKOFF = 5
"""An unreachable server is asked up to this many times less often."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """What the server last said of one model.

    `versions` newest first; empty: it does not know the model; None: it has not answered yet. `error` says
    why the newest question has no answer (empty: it has one), `asked_at` is when it was asked, in seconds of
    the watch's clock.
    """

    model: str
    configured: bool
    versions: tuple[VersionStatus, ...] | None = None
    error: str = ""
    asked_at: float = 0.0

    @property
    def available(self) -> tuple[int, ...]:
        """The versions that can be asked for, newest first."""
        return tuple(each.version for each in self.versions or () if each.state == AVAILABLE)


class ModelWatch:
    """The state of every model that is configured or that the cache has seen served.

    `interval` and `timeout` are in seconds. Models come from `cache.known_models()`, at most `max_models`,
    the configured ones first.
    """

    def __init__(
        self,
        control: ControlPlane,
        cache: SignatureCache,
        *,
        configured: Iterable[str] = (),
        listener: Listener | None = None,
        interval: float = 2.0,
        timeout: float = 5.0,
        max_models: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = ServingClient(control, timeout)
        self._cache = cache
        self._listener = listener or NullListener()
        self._interval = interval
        self._timeout = timeout
        self._max_models = max_models
        self._clock = clock
        self._states = {model: ModelState(model, configured=True) for model in configured}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def models(self) -> tuple[ModelState, ...]:
        """The state of every watched model, by name."""
        return tuple(self._states[model] for model in sorted(self._states))

    def model(self, name: str) -> ModelState | None:
        """The state of one model; None: it is not watched."""
        return self._states.get(name)

    async def start(self) -> None:
        """Begin to ask, at once and then every `interval`."""
        self._task = asyncio.create_task(self._watch(), name="model status")

    async def stop(self) -> None:
        """Stop asking. Call it before letting go of the way to the server."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Ask now instead of at the end of the interval (the server has just come back)."""
        self._wake.set()

    async def _watch(self) -> None:
        backoff = 1
        while True:
            reached = await self._round()
            backoff = 1 if reached else min(2 * backoff, _MAX_BACKOFF)
            # Replicas started together must not ask together.
            pause = self._interval * backoff * random.uniform(0.9, 1.1)  # noqa: S311
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                backoff = 1
            except TimeoutError:
                pass
            self._wake.clear()

    async def _round(self) -> bool:
        """Ask for each model once; False as soon as the server gives no answer."""
        for model in self._cache.known_models():
            if model not in self._states and len(self._states) < self._max_models:
                self._states[model] = ModelState(model, configured=False)
        for model in list(self._states):
            if not await self._ask(model):
                return False
        return True

    async def _ask(self, model: str) -> bool:
        before = self._states[model]
        asked_at = self._clock()
        try:
            versions = await self._client.versions(model)
        except NoAnswerError as error:
            self._states[model] = replace(before, error=str(error), asked_at=asked_at)
            return False
        state = replace(before, versions=versions, error="", asked_at=asked_at)
        self._states[model] = state
        if before.versions is not None and set(state.available) != set(before.available):
            self._cache.invalidate(model)
        else:
            # What was learnt between two rounds was never compared with anything.
            self._cache.observe_status(model, versions, asked_at)
        if before.versions != versions:
            self._listener.versions_changed(model, versions)
        key = ModelKey(model)
        if state.available and self._cache.peek(key) is None:
            # So that the first request need not wait, and drift is seen before it hurts.
            await self._cache.lookup(key, self._timeout)
        return True
