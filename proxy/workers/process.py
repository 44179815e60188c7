"""One worker as its supervisor has it: a process, the channel to it, and its private admin socket.

Law: starts it anew, from nothing, with what the supervisor's interpreter was started with; never forks what runs here.
A question to it takes a bounded time. It decides nothing about starting again.
"""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from proxy.workers.channel import Assignment, Report
from proxy.workers.state import PARTS, Family
from proxy.workers.telling import last_words

_ANSWER_SECONDS: Final = 2.0
_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 0.2


class WorkerProcess:
    """A process that was started. `begun` is when, by the monotonic clock."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        admin: str,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._admin = Path(admin)
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=admin))
        self.begun = time.monotonic()

    @classmethod
    async def start(cls, task: Assignment) -> Self:
        """Start a worker and give it its task."""
        ours, theirs = socket.socketpair()
        inherited = [theirs.fileno(), *((task.descriptor,) if task.descriptor is not None else ())]
        try:
            process = await _spawn(theirs.fileno(), inherited)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer, task.admin)
        worker.order(task.line())
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def report(self) -> Report | None:
        """What it says of its start; None: it ended without a word. One that has failed, or is silent, is ended."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await self._reader.readline()
        except TimeoutError:
            line = Report(f"a worker did not say within {_START_SECONDS:.0f} s that it serves").line()
        except OSError:
            line = b""
        report = Report.read(line) if line else None
        if report is None or report.failed:
            self.kill()
        return report

    def order(self, line: bytes) -> None:
        """Tell it something; whether it is still there shows by itself."""
        self._writer.write(line)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end; the exit code, or the number of a signal below zero."""
        code = await self._process.wait()
        self._writer.close()
        await self._session.close()
        return code

    def last_words(self) -> Sequence[Family] | None:
        """The numbers that it left behind at an orderly end."""
        left = last_words(self._admin)
        try:
            found: Sequence[Family] = PARTS["metrics"].decode(json.loads(left.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        left.unlink(missing_ok=True)
        return found

    async def ask(self, part: str, seconds: float = _ANSWER_SECONDS) -> Any:
        """Return one part of its state; None: it does not answer, or nothing that can be read."""
        try:
            told = await self._answer("GET", part, None, seconds)
            return None if told is None else PARTS[part].decode(told)
        except (ValueError, TypeError, KeyError):
            return None

    async def tell(self, what: str, message: bytes, seconds: float = _ANSWER_SECONDS) -> Any:
        """Have it do something; what it says of it, None: it does not answer."""
        try:
            return await self._answer("POST", what, message, seconds)
        except ValueError:
            return None

    async def _answer(self, method: str, path: str, body: bytes | None, seconds: float) -> Any:
        try:
            within = aiohttp.ClientTimeout(total=seconds)
            address = f"http://worker/{path}"
            async with self._session.request(method, address, data=body, timeout=within) as answer:
                return await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
            # RuntimeError: it has ended meanwhile, and the session with it. Whoever waits for its end should hear of
            # it before it is said that it does not answer.
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self._process.wait()
            return None


def told_end(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


async def _spawn(channel: int, inherited: Sequence[int]) -> asyncio.subprocess.Process:
    # With -m alone a folder `proxy` where the command was called would be taken for this package.
    command = (sys.executable, *(() if _found_here() else ("-P",)), "-m", "proxy.workers", str(channel))
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=tuple(inherited),
        # A Ctrl-C at the terminal is the supervisor's to tell them.
        start_new_session=True,
    )


def _found_here() -> bool:
    """Whether this process looks for modules where the command was called."""
    try:
        return sys.path[:1] in ([""], [str(Path.cwd())])
    except OSError:
        return False
