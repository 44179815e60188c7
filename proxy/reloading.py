"""Settings that are read anew while the proxy runs: on SIGHUP, and when a file that they name has changed.

Law: the one place that looks at files. What is read is checked as a whole first; what cannot be used leaves everything as it
was. What a change means is decided by `proxy.config.again`, and put in place by whoever runs.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.config.again import Change, Effective, named_files, read_again
from proxy.life import tell_readable_by_all
from proxy.observe.reloads import Reloads
from proxy.systemd import READY, notify, reloading

LOOK_SECONDS: Final = 2.0
"""Between two looks at the files. What has changed is read when it is the same at the next look."""

Stamp = tuple[int, int, int, int] | None
"""What tells a file from another one in its place, wherever links lead; None: there is none."""


def stamps(files: Mapping[str, Path]) -> dict[str, Stamp]:
    """The stamps of files, by who names them."""
    return {name: _stamp(path) for name, path in files.items()}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116  the fields alone
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Reloading:
    """Keeps what runs as the files say. `take` puts a change in place, or raises ValueError (as SettingsError is),
    OSError or ModuleNotFoundError and leaves everything as it was.
    """

    def __init__(
        self,
        running: Effective,
        take: Callable[[Change], Awaitable[None]],
        counted: Reloads,
        read: Callable[[Effective], Change] = read_again,
    ) -> None:
        self.running = running
        self._take = take
        self._counted = counted
        self._read = read
        # The files that were read last, or could not be used.
        self._seen = stamps(named_files(running))

    async def keep(self, asked: asyncio.Event) -> None:
        """Until cancelled, read everything when `asked` is set or a file has changed."""
        before = self._seen
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await asked.wait()
            # A file system that hangs keeps nobody waiting.
            now = await asyncio.to_thread(stamps, named_files(self.running))
            if asked.is_set() or (now != self._seen and now == before):
                asked.clear()
                files = [name for name, stamp in now.items() if self._seen.get(name) != stamp]
                self._seen = now
                notify(reloading(time.monotonic_ns()))
                if await self._reload(files):
                    tell_readable_by_all(self.running.settings)
                notify(READY)
            before = now

    async def follow(self, asked: asyncio.Event) -> None:
        """Until cancelled, read everything when `asked` is set: somebody else looks at the files."""
        while True:
            await asked.wait()
            asked.clear()
            await self._reload(())

    async def _reload(self, files: Sequence[str]) -> bool:
        named = named_files(self.running)
        try:
            change = await asyncio.to_thread(self._read, self.running)
            await self._take(change)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            self._counted.failed(str(error))
            return False
        self.running = change.now
        # What a setting names now, and did not before, has been read just now.
        fresh = {name: path for name, path in named_files(change.now).items() if named.get(name) != path}
        self._seen |= stamps(fresh)
        self._counted.done(change.changed, files, change.restart)
        return True
