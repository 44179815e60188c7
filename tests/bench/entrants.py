"""Contestants that are up, and the server behind them.

Law: starts, places and checks; measures nothing. Who is said to judge must be seen to judge before it is measured.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cgroup import quota
from tests.bench.contestants import Contestant, Site
from tests.bench.installation import Tools
from tests.bench.load import Loader
from tests.bench.payloads import Files
from tests.bench.processes import BenchError, Placement, Service, free_port, running, wait_for_listeners
from tests.bench.scenarios import Setting

_INVALID_ARGUMENT = "status 3:"


@dataclass(frozen=True)
class Upstream:
    """The server: where it listens, and how many calls of Predict it has answered."""

    port: int
    counter: Path
    service: Service

    def answered(self) -> int:
        """Calls so far."""
        return int(struct.unpack("<Q", self.counter.read_bytes())[0])


@dataclass(frozen=True)
class Entrant:
    """A contestant that is up: where to call it, and its processes (None: no proxy)."""

    contestant: Contestant
    upstream: Upstream
    port: int
    service: Service | None


@dataclass(frozen=True)
class Stage:
    """Where all of it runs. `placement` is that of the settings that bind to cores."""

    tools: Tools
    files: Files
    folder: Path
    placement: Placement

    def loader(self, setting: Setting) -> Loader:
        """The load generators, where the setting has them."""
        return Loader(self.tools, self._placement(setting).rest, self.folder)

    def arrange(self, entrant: Entrant, setting: Setting) -> None:
        """Put contestant and server where the setting has them."""
        placement = self._placement(setting)
        entrant.upstream.service.place(placement.rest)
        if entrant.service is not None:
            entrant.service.place(placement.proxy)

    def limited(self, entrant: Entrant, setting: Setting) -> contextlib.AbstractContextManager[None]:
        """For that time the contestant has no more of the CPU than the setting gives it."""
        if entrant.service is None or setting.share is None:
            return contextlib.nullcontext()
        groups = entrant.service.workers()
        if len(groups) != entrant.contestant.workers:
            raise BenchError(f"{len(groups)} workers stand where {entrant.contestant.workers} should")
        return quota(groups, setting.share)

    def _placement(self, setting: Setting) -> Placement:
        return self.placement if setting.bound else Placement()

    @contextlib.contextmanager
    def upstream(self, name: str = "upstream", delay_ms: int = 0) -> Iterator[Upstream]:
        """Run a server that answers each Predict after `delay_ms`."""
        port, counter = free_port(), self.folder / f"{name}.counter"
        address = f"127.0.0.1:{port}"
        command = [str(self.tools.server), address, str(self.files.answers), str(counter), str(delay_ms)]
        log = self.folder / f"{name}.log"
        with running([command], [port], self.placement.rest, log) as service:
            yield Upstream(port, counter, service)

    def take_part(self, contestant: Contestant, upstream: Upstream, stack: contextlib.ExitStack) -> Entrant:
        """Start a contestant, to be stopped by `stack`. Raises BenchError when it does not come up."""
        if contestant.launch is None:
            return Entrant(contestant, upstream, upstream.port, None)
        folder = self.folder / contestant.name
        folder.mkdir(exist_ok=True)
        site = Site(upstream.port, free_port(), folder, self.tools, self.files)
        launch = contestant.launch(site)
        service = stack.enter_context(
            running(launch.commands, launch.ports, self.placement.proxy, folder / "log")
        )
        if contestant.workers > 1:
            wait_for_listeners(site.listen, contestant.workers)
        return Entrant(contestant, upstream, site.listen, service)

    def check_judgement(self, entrant: Entrant, setting: Setting) -> None:
        """Whoever judges must refuse a wrong dtype, and whoever does not must let it through."""
        told = "it passed"
        try:
            self.loader(setting).cpp(entrant.port, self.files.wrong_requests, 0)
        except BenchError as error:
            told = str(error)
        if entrant.contestant.judges != (_INVALID_ARGUMENT in told):
            raise BenchError(f"a request with a wrong dtype: {told}")
