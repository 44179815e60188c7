"""The proxy as users run it: a process of its own, on free ports, stopped by a signal."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent
PATIENCE = 20.0

EDGES: dict[str, tuple[str, ...]] = {"grpcio": ("--edge", "grpcio"), "native": ("--edge", "native")}
"""The flags that choose each edge."""


class ProxyProcess:
    """A running `tfs-proxy serve`. `target` is where clients call, `admin` where HTTP is.

    `before` is a command that starts it, such as `prlimit`; `module` is what is run, of `tree`; `pass_fds` are
    descriptors that it gets.
    """

    def __init__(
        self,
        *flags: str,
        env: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
        module: str = "proxy",
        pass_fds: tuple[int, ...] = (),
        tree: Path = ROOT,
    ) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [
                *(*before, sys.executable, "-m", module, "serve"),
                *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
                *("--drain-seconds", "0", "--log-format", "json", *flags),
            ],
            cwd=tree,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"} | (env or {}),
            pass_fds=pass_fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        serving = self.wait_for("serving")
        self.ready_after = time.monotonic() - self.started
        self.target: str = serving["listen"]
        self.admin: str = serving["admin"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """The proxy must have ended well and said nothing odd."""
        if kind is not None:
            self.process.kill()
            self.stop()
            return
        ended_by_test = self.process.poll() is not None
        code = self.stop()
        assert ended_by_test or code == 0, (code, self.log, self.noise)
        assert not self.noise, self.noise

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first log line with this event and these fields."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log if line["event"] == event and line.items() >= fields.items()]

        with self._told:
            self._told.wait_for(lambda: found() or not self._reader.is_alive(), PATIENCE)
            assert found(), f"no {event!r} in {self.log} {self.noise}"
            return found()[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            # It tells where every thread stands.
            self.process.send_signal(signal.SIGABRT)
            self._reader.join(PATIENCE)
            self.process.kill()
            raise AssertionError(f"still there: {self.log} {''.join(self.noise)}") from None
        self._reader.join(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._told:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.noise.append(line)
                self._told.notify_all()
        with self._told:
            self._told.notify_all()


@contextlib.contextmanager
def running_proxy(*flags: str, env: dict[str, str] | None = None) -> Iterator[ProxyProcess]:
    """A proxy for the length of a block."""
    with ProxyProcess(*flags, env=env) as proxy:
        yield proxy
