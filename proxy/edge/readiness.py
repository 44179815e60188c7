"""Whether the proxy is ready, and who is told: /readyz and the health service say the same.

Law: ready means that the server can be reached, that it serves every model it is expected to, and that the
proxy is not draining. Liveness never depends on the server.
"""

import asyncio
from collections.abc import Collection, Sequence

from proxy.core.availability import VersionStatus
from proxy.core.drift import Drift
from proxy.core.types import ModelKey
from proxy.edge.local import SERVER_NAMES, Health, model_service
from proxy.observe.admin.views import Check
from proxy.upstream.control import Way
from proxy.upstream.models import ModelState, ModelWatch


class Readiness:
    """Judges readiness from the way to the server and its models; a `Listener` that keeps `health` up to date.

    `expected` are the models without which the proxy is not ready.
    """

    def __init__(self, health: Health, upstream: str, expected: Collection[str]) -> None:
        self._health = health
        self._upstream = upstream
        self._expected = tuple(expected)
        self._way: Way | None = None
        self._models: ModelWatch | None = None
        self._draining = False
        self._why = ""
        self._changed = asyncio.Event()
        self._told: dict[str, bool] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self, way: Way, models: ModelWatch) -> None:
        """Begin to follow what they say."""
        self._way, self._models = way, models
        await self._tell()
        self._task = asyncio.create_task(self._follow(), name="health")

    async def drain(self) -> None:
        """Not ready any more, for good."""
        self._draining = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._health.drain()

    def out_of_reach(self, why: str) -> None:
        """What was found in the way to the server; holds until it is reached."""
        self._why = why

    def checks(self) -> Sequence[Check]:
        """The conditions of readiness as /readyz shows them."""
        up = self._up()
        seen = {True: "reachable", False: "unreachable", None: "not connected yet"}[up]
        why = f": {self._why}" if self._why and up is not True else ""
        return (
            Check("serving", not self._draining, "draining" if self._draining else ""),
            Check("upstream", up is True, f"{self._upstream} {seen}{why}"),
            *(Check(model_service(model), *self._model(model)) for model in self._expected),
        )

    # === what upstream/ tells its listener ===

    def signature_fetched(self, key: ModelKey, result: str, seconds: float) -> None: ...

    def signature_drifted(self, drift: Drift) -> None: ...

    def upstream_changed(self, up: bool) -> None:
        if up:
            self._why = ""
        self._changed.set()

    def versions_changed(self, model: str, versions: tuple[VersionStatus, ...]) -> None:  # noqa: ARG002
        self._changed.set()

    def _up(self) -> bool | None:
        return self._way.up if self._way is not None else None

    def _model(self, name: str) -> tuple[bool, str]:
        state = self._models.model(name) if self._models is not None else None
        if state is None or (state.versions is None and not state.error):
            return False, "not asked yet"
        if state.versions is None:
            return False, state.error
        text = _text(state)
        if state.error and self._up():
            text += f" when it last answered; asked since: {state.error}"
        return bool(state.available), text

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._tell()

    async def _tell(self) -> None:
        up = self._up() is True
        names = {*self._expected, *(state.model for state in self._models.models())} if self._models else ()
        now = {model_service(name): up and self._model(name)[0] for name in names}
        now |= dict.fromkeys(SERVER_NAMES, all(check.ok for check in self.checks()))
        for service, serving in now.items():
            if self._told.get(service) is not serving:
                self._told[service] = serving
                await self._health.tell(service, serving)


def _text(state: ModelState) -> str:
    if not state.versions:
        return "the server does not know it"
    return ", ".join(f"version {each.version} {each.state}" for each in state.versions[:8])
