"""A post: the place of one worker, on which another is put when it has ended.

Law: knows the life of workers, one after the other, and says in the log what becomes of them. What a worker tells is
asked for here, and kept as long as it is needed; what it means for all together is decided elsewhere.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from proxy.life import StartError
from proxy.workers.channel import DRAIN, HURRY, LEAVE, RELOAD
from proxy.workers.joining import ENDED, SERVING, SILENT, STARTING, WAITING
from proxy.workers.process import WorkerProcess, told_end
from proxy.workers.restarts import Restarts
from proxy.workers.state import Family

WORKER_STARTED: Final = "worker_started"
WORKER_ENDED: Final = "worker_ended"
WORKER_FAILED: Final = "worker_failed"
WORKER_SILENT: Final = "worker_silent"
WORKER_KILLED: Final = "worker_killed"

_SILENT_SECONDS: Final = 60.0
"""After so long a worker that does not answer is ended: nobody else can see that it hangs."""
_LAST_SECONDS: Final = 10.0
"""For its last chance to."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


class Post:
    """`spawn` starts a worker, the first, second, … on this post. `gone` is told the last metrics of each that
    ended, and `failed` that one could not start.
    """

    def __init__(
        self,
        number: int,
        spawn: Callable[[int], Awaitable[WorkerProcess]],
        gone: Callable[[Sequence[Family]], None],
        failed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = number
        self.restarts = Restarts()
        self.started_again = 0
        self.metrics: Sequence[Family] = ()
        self._spawn = spawn
        self._gone = gone
        self._failed = failed
        self._clock = clock
        self._state = STARTING
        self._silent_since: float | None = None
        self._lives = 0
        self._worker: WorkerProcess | None = None
        self._why = ""
        self._closing = asyncio.Event()
        self._order = b""

    @property
    def state(self) -> str:
        return SILENT if self._silent_since is not None and self._state == SERVING else self._state

    @property
    def pid(self) -> int | None:
        """Of the worker that stands here, or is about to."""
        return None if self._worker is None else self._worker.pid

    async def open(self) -> None:
        """Put the first worker on the post. Raises StartError with what it says."""
        if not await self._start():
            raise StartError(self._why)

    async def keep(self) -> None:
        """See to it that there is a worker, until the post is to be closed and the last has ended."""
        while await self._ended():
            await self._start()

    def reload(self) -> None:
        """Have the worker read its settings anew; one that starts reads them anyway."""
        if self._worker is not None and not self._closing.is_set():
            self._worker.order(RELOAD)

    def drain(self) -> None:
        """Let the worker end when it has done what is under way, and put no other on the post."""
        self._close(DRAIN)

    def leave(self) -> None:
        """The same, without waiting for anyone to notice."""
        self._close(LEAVE)

    def hurry(self) -> None:
        """The same, but now."""
        self._close(HURRY)

    def kill(self) -> None:
        """End the worker, whatever it does."""
        self._closing.set()
        if self._worker is not None:
            self._worker.kill()

    async def close(self) -> None:
        """The same, and wait until it is gone."""
        self.kill()
        if self._worker is not None:
            await self._worker.ended()

    async def end_if_it_hangs(self) -> None:
        """End a worker that has not answered for a long time; another takes its place."""
        worker, since = self._worker, self._silent_since
        if worker is None or since is None or self._clock() - since < _SILENT_SECONDS:
            return
        # One that is only busy has the time for a small question.
        answer = await worker.ask("checks", _LAST_SECONDS)
        if worker is not self._worker or self._closing.is_set():
            return
        if answer is not None:
            self._silent_since = None
            return
        _log.error(
            WORKER_KILLED, worker=self.number, pid=worker.pid, silent_seconds=round(self._clock() - since)
        )
        worker.kill()

    async def ask(self, part: str) -> Any:
        """Return one part of the worker's state; None: there is no worker, or it does not answer."""
        worker = self._worker
        if worker is None or self._state != SERVING:
            return None
        answer = await worker.ask(part)
        if worker is not self._worker:
            return None
        if self._state == SERVING:
            self._heard(worker, answered=answer is not None)
        if part == "metrics" and answer is not None:
            # At once: should it end now, these are its last.
            self.metrics = answer
        return answer

    async def tell(self, what: str, message: bytes, seconds: float = 2.0) -> Any:
        """Have the worker do something; what it says of it, None: there is none, or it does not answer."""
        worker = self._worker
        return None if worker is None or self._state != SERVING else await worker.tell(what, message, seconds)

    def _heard(self, worker: WorkerProcess, *, answered: bool) -> None:
        if answered:
            self._silent_since = None
        elif self._silent_since is None and not self._closing.is_set():
            self._silent_since = self._clock()
            _log.warning(WORKER_SILENT, worker=self.number, pid=worker.pid)

    def _close(self, order: bytes) -> None:
        self._order = order
        self._closing.set()
        if self._worker is not None:
            self._worker.order(order)

    async def _start(self) -> bool:
        self._state = STARTING
        self._silent_since = None
        self._lives += 1
        try:
            worker = self._worker = await self._spawn(self._lives)
        except OSError as error:
            self._why = f"worker {self.number} cannot be started: {error}"
            return False
        if self._order:
            worker.order(self._order)
        report = await worker.report()
        if report is not None and not report.failed:
            self._state = SERVING
            _log.info(WORKER_STARTED, worker=self.number, pid=worker.pid)
            return True
        code = await worker.ended()
        self._why = f"worker {self.number} ended before it served: {told_end(code)}"
        if report is not None:
            self._why = report.failed
        return False

    async def _ended(self) -> bool:
        """Wait for the worker's end, and then until another may be started; False: the post is closed."""
        worker, served = self._worker, self._state == SERVING
        code = None if worker is None else await worker.ended()
        lived = 0.0 if worker is None else self._clock() - worker.begun
        self._worker = None
        last = None if worker is None else worker.last_words()
        self._gone(self.metrics if last is None else last)
        self.metrics = ()
        if self._closing.is_set():
            self._state = ENDED
            if worker is not None and code not in {0, 1}:
                _log.warning(WORKER_ENDED, worker=self.number, pid=worker.pid, how=told_end(code or 0))
            return False
        seconds = self.restarts.after(lived, served=served)
        self._state = WAITING
        self._tell_end(worker, code, served=served, seconds=seconds)
        if not served:
            self._failed()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        if self._closing.is_set():
            self._state = ENDED
            return False
        self.started_again += 1
        return True

    def _tell_end(
        self, worker: WorkerProcess | None, code: int | None, *, served: bool, seconds: float
    ) -> None:
        fields: dict[str, Any] = {"worker": self.number, "again_in_seconds": seconds}
        if worker is not None and code is not None:
            fields |= {"pid": worker.pid, "how": told_end(code)}
        if served:
            _log.error(WORKER_ENDED, **fields)
        else:
            _log.error(WORKER_FAILED, **fields, text=self._why)
