"""What supervisor and worker tell one another: a socket pair with one JSON object a line, and whose end says most.

Down goes one Assignment, then any number of `reload`, then `drain` (or `leave`, where nobody has to notice first), then `hurry`. Up comes one Report. When the other end is gone the supervisor is
gone, however it ended, and the worker ends too.

Law: the form of the lines and the worker's reading of them. It knows nothing of what a worker does.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from proxy.life import Ends

RELOAD: Final = b"reload\n"
"""Read the settings anew."""
DRAIN: Final = b"drain\n"
LEAVE: Final = b"leave\n"
HURRY: Final = b"hurry\n"

_ORPHAN_SECONDS: Final = 5.0
"""For an orderly end without a supervisor: after that the process is left as it stands."""
_ORPHANED: Final = 1


class Assignment(NamedTuple):
    """What a worker is told at its start. `listen` is an address with a real port, or that of the `descriptor`;
    `settings` is a file in the supervisor's private folder, `admin` where a socket is to be there, and `log_level` the
    one that holds now.
    """

    number: int
    of: int
    settings: str
    listen: str
    descriptor: int | None
    admin: str
    log_level: str

    def line(self) -> bytes:
        return _line(self._asdict())

    @classmethod
    def read(cls, line: bytes) -> Self:
        return cls(**json.loads(line))


class Report(NamedTuple):
    """What a worker says of its start; `failed` is a sentence for a person, or nothing."""

    failed: str = ""

    def line(self) -> bytes:
        return _line(self._asdict())

    @classmethod
    def read(cls, line: bytes) -> Self:
        return cls(**json.loads(line))


def _lines(channel: socket.socket) -> Iterator[bytes]:
    """The whole lines until the other end closes. Unbuffered: at the end of the process a thread waits in here."""
    rest = b""
    while octets := _received(channel):
        *lines, rest = (rest + octets).split(b"\n")
        for line in lines:
            yield line + b"\n"


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except OSError:
        return b""


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


class Orders:
    """The worker's end of the channel. Orders are read by a thread, so that they arrive whatever the loop does.

    `leave` ends the process without waiting for anyone.
    """

    def __init__(self, channel: socket.socket, leave: Callable[[int], object] = os._exit) -> None:
        self._channel = channel
        self._leave = leave
        self._lines = _lines(channel)
        self._lock = threading.Lock()
        self._drain = self._leave_at_once = self._hurry = self._reload = False
        self._tell: Callable[[], None] = lambda: None
        first = next(self._lines, None)
        if first is None:
            sys.exit(_ORPHANED)
        self.assignment = Assignment.read(first)
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def report(self, report: Report) -> None:
        """Tell the supervisor; that it is gone is told to nobody."""
        with suppress(OSError):
            self._channel.sendall(report.line())

    def ends(self) -> Ends:
        """What asks the running loop for an end, from the orders that were given already on."""
        ends, loop = Ends(), asyncio.get_running_loop()

        def apply() -> None:
            reload, self._reload = self._reload, False
            if reload:
                ends.again.set()
            if self._leave_at_once and not ends.first.is_set():
                ends.drains = False
            if self._drain or self._hurry:
                ends.first.set()
            if self._hurry:
                ends.second.set()

        def tell() -> None:
            # The loop may be closed: then there is nothing left to end.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(apply)

        with self._lock:
            self._tell = tell
        apply()
        return ends

    def _read(self) -> None:
        for line in self._lines:
            with self._lock:
                self._reload = self._reload or line == RELOAD
                self._drain = self._drain or line != RELOAD
                self._leave_at_once = self._leave_at_once or line == LEAVE
                self._hurry = self._hurry or line == HURRY
                self._tell()
        with self._lock:
            hurried, self._hurry = self._hurry, True
            self._tell()
        # What the supervisor could not take away.
        shutil.rmtree(Path(self.assignment.settings).parent, ignore_errors=True)
        if not hurried:
            time.sleep(_ORPHAN_SECONDS)
        # No more waiting for threads or for what is not closed: nobody is there to say a third time.
        self._leave(_ORPHANED)
