"""Keys and resizes of a terminal, for a command that fills it.

Law: the terminal is given back as it was, however the block ends. Ctrl-C stays an interrupt; Ctrl-Z, which would leave
a half-drawn screen behind, does nothing meanwhile.
"""

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any, Final

_ESCAPE: Final = b"\x1b"
_NAMES: Final = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\r": "enter",
    b"\n": "enter",
    _ESCAPE: "escape",
}
_REST_SECONDS: Final = 0.02
"""What an escape sequence that is cut in two is given to be whole; a person's Escape comes alone."""
_TERMINATED: Final = 128 + signal.SIGTERM


class Terminal:
    """What a person does: keys by name, and being woken."""

    def __init__(self, keys: int | None) -> None:
        self._keys = keys
        self._wakes, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def wake(self, *_: Any) -> None:
        """Let `wait` return; from any thread, and from a signal."""
        # A full pipe wakes too.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"w")

    def wait(self) -> list[str]:
        """Wait for keys or to be woken; the keys that were pressed."""
        watched = [self._wakes, *([] if self._keys is None else [self._keys])]
        ready, _, _ = select.select(watched, [], [])
        if self._wakes in ready:
            os.read(self._wakes, 4096)
        return self._pressed() if self._keys in ready else []

    def close(self) -> None:
        os.close(self._wakes)
        os.close(self._wake)

    def _pressed(self) -> list[str]:
        assert self._keys is not None
        octets = os.read(self._keys, 4096)
        if not octets:
            # The terminal is gone.
            self._keys = None
            return ["q"]
        if (
            octets.endswith((_ESCAPE, b"\x1b[", b"\x1bO"))
            and select.select([self._keys], [], [], _REST_SECONDS)[0]
        ):
            octets += os.read(self._keys, 4096)
        return list(keys_of(octets))


def keys_of(octets: bytes) -> Iterator[str]:
    """The keys in what a terminal sent; sequences of others are passed over."""
    at = 0
    while at < len(octets):
        end = at + 1
        if octets[at : at + 2] in {b"\x1b[", b"\x1bO"}:
            end = at + 2
            while end < len(octets) and not 0x40 <= octets[end] <= 0x7E:
                end += 1
            end += 1
        key = octets[at:end]
        name = _NAMES.get(key) or (key.decode("ascii", "ignore") if len(key) == 1 else "")
        if name:
            yield name
        at = end


@contextlib.contextmanager
def taken() -> Iterator[Terminal]:
    """The terminal, key by key, where standard input is one; a block that SIGTERM ends gives it back too."""
    keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    terminal = Terminal(keys)
    before = None if keys is None else termios.tcgetattr(keys)
    handlers = {
        number: signal.signal(number, handler)
        for number, handler in ((signal.SIGWINCH, terminal.wake), (signal.SIGTERM, _terminated))
    }
    try:
        if keys is not None:
            tty.setcbreak(keys)
            mode = termios.tcgetattr(keys)
            mode[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(keys, termios.TCSANOW, mode)
        yield terminal
    finally:
        if keys is not None and before is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        terminal.close()


def _terminated(*_: Any) -> None:
    sys.exit(_TERMINATED)
