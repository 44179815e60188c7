"""The supervisor's life: reserve → admin port → workers → drain → stop. It serves no call itself.

Law: puts together and keeps the order; whoever stands on a post is `post`'s business. The port is reserved here first,
so that one that is taken is told once, and stays ours while no worker stands.
"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.config import MEANINGS, Settings, plain
from proxy.config.again import Change, Effective
from proxy.edge.descriptors import raise_limit
from proxy.edge.listening import path_of, reserve
from proxy.edge.private_folder import PrivateFolder
from proxy.life import (
    Addresses,
    Ends,
    Signals,
    StartError,
    admin_port,
    admin_renewal,
    collect_from_here,
    drain_seconds,
    loop_factory,
    serving_as,
    tell_draining,
    tell_serving,
    tell_stopped,
)
from proxy.observe.admin.views import shown_settings
from proxy.observe.levels import level, set_level
from proxy.observe.reloads import Reloads
from proxy.reloading import Reloading
from proxy.workers.channel import Assignment
from proxy.workers.pages import Pages
from proxy.workers.post import Post
from proxy.workers.process import WorkerProcess
from proxy.workers.restarts import hopeless

_POLL_SECONDS: Final = 10.0
"""How old the last known numbers of a worker that dies may be, and how often it is seen whether one hangs."""
_PATIENCE_SECONDS: Final = 10.0
"""For a worker to end beyond the time that the settings give it; after that it is ended."""


class NoWorkersError(StartError):
    """No worker can be started any more."""

    code = 3


def supervise(
    running: Effective,
    count: int,
    announce: Callable[[Addresses], None] = lambda _: None,
    sock: socket.socket | None = None,
) -> bool:
    """Serve with so many workers until SIGTERM or SIGINT; False when a second one cut the calls under way short.

    Takes what `proxy.app.run` takes. `sock` listens already, at the address in the settings. Raises StartError.
    """
    # Workers have the limit from here.
    raise_limit()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_live(running, count, announce, sock))


async def _live(
    running: Effective,
    count: int,
    announce: Callable[[Addresses], None],
    sock: socket.socket | None,
) -> bool:
    ends, settings = Signals(), running.settings
    try:
        listening = _Listening(settings.listen, sock, shared=settings.reuse_port)
        # The workers' sockets stand there.
        private = PrivateFolder()
    except OSError as error:
        raise StartError(str(error)) from error
    with private as folder:
        try:
            supervisor = _Supervisor(running, count, listening, folder.path)
            return await supervisor.live(ends, announce)
        finally:
            listening.close()


class _Listening:
    """The address that all workers share, held until it is closed."""

    def __init__(self, address: str, sock: socket.socket | None, *, shared: bool) -> None:
        if sock is None:
            self._socket, self.address = reserve(address, shared=shared)
            self._path = path_of(address)
        else:
            self._socket, self.address, self._path = sock, address, None
        inherited = sock is not None or self._path is not None
        self.descriptor = self._socket.fileno() if inherited else None

    def close(self) -> None:
        if self._path is not None:
            # Before it closes: afterwards the path may be another process's.
            self._path.unlink(missing_ok=True)
            self._path = None
        self._socket.close()


class _Supervisor:
    def __init__(
        self,
        running: Effective,
        count: int,
        listening: _Listening,
        folder: Path,
    ) -> None:
        self._settings = settings = running.settings
        self._listening = listening
        self._folder = folder
        self._hopeless = asyncio.Event()
        self._posts: list[Post] = []
        self._reloads = Reloads()
        self._pages = Pages(
            self._posts,
            shown_settings(plain(settings), running.origins, MEANINGS),
            settings.refusals,
            serving_as(settings, listening.address),
            self._reloads,
            try_send=settings.try_send,
        )
        self._posts.extend(self._post(number, count) for number in range(count))
        self._admin = admin_port(settings, self._pages.registry, self._pages.sources())
        self._reloading = Reloading(running, self._take, self._reloads)
        self._write(settings)

    def _write(self, settings: Settings) -> None:
        """Leave the settings where workers read them."""
        fresh = self._folder / "settings.new"
        fresh.write_text(yaml.safe_dump(plain(settings), sort_keys=False), encoding="utf-8")
        fresh.replace(self._folder / "settings.yaml")

    async def _take(self, change: Change) -> None:
        """Have all workers do as the settings say that were read anew, and been found right as a whole."""
        settings = change.now.settings
        renew = await asyncio.to_thread(admin_renewal, settings, self._admin)
        self._write(settings)
        renew()
        if "log_level" in change.changed:
            set_level(settings.log_level)
        self._settings = settings
        self._pages.settings = tuple(shown_settings(plain(settings), change.now.origins, MEANINGS))
        for post in self._posts:
            post.reload()

    async def live(self, ends: Ends, announce: Callable[[Addresses], None]) -> bool:
        try:
            port = await self._admin.start()
        except OSError as error:
            raise StartError(str(error)) from error
        relaying = asyncio.create_task(self._relay(ends))
        polling = asyncio.create_task(self._poll())
        following = asyncio.create_task(self._pages.follow())
        reloading: asyncio.Task[None] | None = None
        try:
            await self._open()
            host, _, _ = self._settings.admin_listen.rpartition(":")
            addresses = Addresses(self._listening.address, f"{host}:{port}")
            captures = self._settings.capture is not None
            tell_serving(self._settings, addresses, captures=captures, workers=len(self._posts))
            announce(addresses)
            reloading = asyncio.create_task(self._reloading.keep(ends.again), name="settings")
            collect_from_here()
            await self._keep(ends, reloading)
        finally:
            relaying.cancel()
            polling.cancel()
            following.cancel()
            if reloading is not None:
                reloading.cancel()
                await asyncio.gather(reloading, return_exceptions=True)
            await asyncio.gather(relaying, polling, following, return_exceptions=True)
            await asyncio.gather(*(post.close() for post in self._posts))
            await self._admin.stop()
        tell_stopped()
        return not ends.second.is_set()

    def _post(self, number: int, count: int) -> Post:
        async def spawn(life: int) -> WorkerProcess:
            task = Assignment(
                number,
                count,
                settings=str(self._folder / "settings.yaml"),
                listen=self._listening.address,
                descriptor=self._listening.descriptor,
                admin=str(self._folder / f"{number}.{life}.sock"),
                log_level=level(),
            )
            return await WorkerProcess.start(task)

        return Post(number, spawn, self._pages.bury, self._failed)

    def _failed(self) -> None:
        if hopeless(post.restarts for post in self._posts):
            self._hopeless.set()

    async def _open(self) -> None:
        """Put a worker on every post; the first that fails speaks for all, which have the same settings."""
        opening = [asyncio.create_task(post.open()) for post in self._posts]
        await asyncio.wait(opening, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in opening if task.done() and task.exception() is not None]
        if not failed:
            return
        for post in self._posts:
            post.kill()
        await asyncio.gather(*opening, return_exceptions=True)
        error = failed[0].exception()
        assert error is not None
        raise error

    async def _keep(self, ends: Ends, reloading: "asyncio.Task[None]") -> None:
        """Until all posts are closed, which a signal has asked for, or none can have a worker any more."""
        keeping = asyncio.gather(*(post.keep() for post in self._posts))
        hopeless = asyncio.create_task(self._hopeless.wait())
        ending = asyncio.create_task(ends.first.wait())
        waited: set[asyncio.Future[Any]] = {keeping, hopeless, ending}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        hopeless.cancel()
        ending.cancel()
        if not ends.first.is_set():
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            raise NoWorkersError("no worker can be started any more; the log says why of each")
        # Workers that end take no other settings.
        reloading.cancel()
        await self._end(keeping, ends)

    async def _end(self, keeping: "asyncio.Future[list[None]]", ends: Ends) -> None:
        hurry = ends.second
        hurrying = asyncio.create_task(hurry.wait())
        waited: set[asyncio.Future[Any]] = {keeping, hurrying}
        settings = self._settings
        drain = drain_seconds(settings, ends)
        await asyncio.wait(waited, timeout=drain, return_when=asyncio.FIRST_COMPLETED)
        # Workers take in nothing more; who comes now should be told so, and not wait.
        self._listening.close()
        await asyncio.wait(
            waited,
            timeout=settings.grace_seconds + _PATIENCE_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if hurry.is_set():
            await asyncio.wait({keeping}, timeout=_PATIENCE_SECONDS)
        hurrying.cancel()
        for post in self._posts:
            post.kill()
        await keeping

    async def _relay(self, ends: Ends) -> None:
        await ends.first.wait()
        self._pages.draining = True
        tell_draining(self._settings, ends)
        for post in self._posts:
            if ends.drains:
                post.drain()
            else:
                post.leave()
        await ends.second.wait()
        for post in self._posts:
            post.hurry()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            await self._pages.ask_metrics()
            await asyncio.gather(*(post.end_if_it_hangs() for post in self._posts))
