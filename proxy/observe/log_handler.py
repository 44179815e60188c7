"""Where lines of the log go: to a file at once, to whoever may stop reading by way of a thread.

Law: a call never waits for whoever reads the log. A pipe that nobody reads and a terminal that is held take no more
after some kilobytes; what then waits is bounded, what does not fit is counted, and told once there is room again.
What the stream does not take (a full disk, a reader that has gone) is lost, as with any handler of logging.
"""

import contextlib
import logging
import os
import stat
import threading
from collections import deque
from typing import Final, TextIO

import structlog

LINES_LOST: Final = "log_lines_lost"

MOST_WAITING: Final = 1 << 20
"""Characters that wait to be written."""
_LEAVING_SECONDS: Final = 2.0
"""How long an end of the process waits for lines to be taken."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


def handler_for(stream: TextIO) -> logging.Handler:
    """The handler that writes to this stream."""
    return Unhurried(stream) if _may_wait(stream) else logging.StreamHandler(stream)


def _may_wait(stream: TextIO) -> bool:
    """Whether someone else decides when a line is taken."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return not stat.S_ISREG(mode)


class Unhurried(logging.Handler):
    """Formats where it is called, and writes in a thread of its own."""

    def __init__(self, stream: TextIO, most: int = MOST_WAITING) -> None:
        super().__init__()
        # Not by the stream itself: its lock would be held while it waits, and Python ends by asking for it.
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding or "utf-8"
        self._most = most
        self._lines: deque[str] = deque()
        # Characters of these, and of those that are being written.
        self._held = 0
        self._lost = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line over, or count it as lost."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001  as logging's own handlers do
            self.handleError(record)
            return
        with self._changed:
            if self._held and self._held + len(line) > self._most:
                self._lost += 1
                return
            self._lines.append(line)
            self._held += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait a little until all is written; called by logging when the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held, _LEAVING_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines.popleft()
            # Nobody is left who could be told.
            with contextlib.suppress(OSError):
                self._write(line)
            lost = 0
            with self._changed:
                self._held -= len(line)
                if self._held <= self._most // 2:
                    lost, self._lost = self._lost, 0
                self._changed.notify_all()
            if lost:
                _log.warning(LINES_LOST, lines=lost)

    def _write(self, line: str) -> None:
        octets = memoryview(line.encode(self._encoding, "backslashreplace"))
        while octets:
            octets = octets[os.write(self._descriptor, octets) :]
