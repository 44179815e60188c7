"""The processes of the demonstration: a model server and the proxy in front of it, on free loopback ports.

Law: real processes of this installation, started, watched and stopped here; nobody else's are touched. Each
is ready when it says so itself. What they print goes into a log file of its own.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_DEATH_SECONDS: Final = 5.0
_READY_INTERVAL: Final = 0.05
_LOOPBACK: Final = "127.0.0.1"
_ANY_PORT: Final = f"{_LOOPBACK}:0"
_ENVIRONMENT: Final = {
    # The demonstration is the same whatever the user's own proxy is set to.
    name: value
    for name, value in os.environ.items()
    if not name.startswith("TFS_PROXY_")
}


class DemoError(Exception):
    """A process did not do what the demonstration needs; the text says which and shows the end of its log."""


def usual(port: int) -> str:
    """The loopback address with this port if it is free, else with any that is."""
    with socket.socket() as sock:
        # As a server does it: what is left of earlier connections is not in the way.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((_LOOPBACK, port))
        except OSError:
            return _ANY_PORT
    return f"{_LOOPBACK}:{port}"


class _Process:
    """A module of this installation, run by this interpreter."""

    def __init__(self, name: str, arguments: Iterable[str], log: Path, ready: Callable[[str], bool]) -> None:
        self._name = name
        self._log = log
        self._ready: Future[str] = Future()
        self._popen = subprocess.Popen(  # noqa: S603  our own module and paths
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_ENVIRONMENT,
            # Ctrl-C in the terminal is for us; we stop them in order.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(ready,), name=name, daemon=True)
        self._reader.start()

    def _read(self, ready: Callable[[str], bool]) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as output, self._log.open("a", encoding="utf-8") as log:
            for line in output:
                log.write(line)
                log.flush()
                if not self._ready.done() and ready(line):
                    self._ready.set_result(line)
        if not self._ready.done():
            self._ready.set_exception(self.failed("ended before it was ready"))

    def ready_line(self) -> str:
        """What it printed when it was ready. Raises DemoError."""
        try:
            return self._ready.result(START_SECONDS)
        except TimeoutError:
            raise self.failed(f"was not ready within {START_SECONDS:g} s") from None

    def failed(self, how: str) -> DemoError:
        """The error that says `how` it failed and what it printed last."""
        lines = self._log.read_text(encoding="utf-8").splitlines()[-15:]
        return DemoError("\n".join([f"the {self._name} {how}; the end of its log:", *lines]))

    def exit_code(self, patience: float) -> int | None:
        """The exit code, waiting `patience` seconds for it; None while it runs."""
        try:
            return self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when it is gone."""
        if self._popen.poll() is None:
            self._popen.terminate()
            if self.exit_code(_STOP_SECONDS) is None:
                self._popen.kill()
                self._popen.wait()
        self._reader.join()


class ModelServer:
    """The dev server with every model under `models`; started anew where it died, at the same address."""

    def __init__(self, models: Path, names: Iterable[str], log: Path, address: str = _ANY_PORT) -> None:
        self._flags = [f"--model={name}={models / name}" for name in names]
        self._log = log
        self._process: _Process | None = None
        self.target = address

    def start(self) -> None:
        """Start, and wait until it answers. Raises DemoError."""
        self.stop()
        self._process = _Process(
            "model server",
            ["proxy.devserver", "--listen", self.target, *self._flags],
            self._log,
            lambda line: line.startswith("dev server ready on "),
        )
        self.target = self._process.ready_line().rpartition(" ")[2].strip()

    def death(self, patience: float = _DEATH_SECONDS) -> str | None:
        """How it died, given `patience` seconds to do so; None: it lives."""
        code = self._process.exit_code(patience) if self._process else None
        if code is None:
            return None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """Stop it if it runs."""
        if self._process is not None:
            self._process.stop()
            self._process = None


class ProxyServer:
    """`tfs-proxy serve` in front of `upstream`. Its addresses are known once it is started."""

    def __init__(
        self, upstream: str, models: Iterable[str], log: Path, listen: str = _ANY_PORT, admin: str = _ANY_PORT
    ) -> None:
        self._flags = [
            *("--upstream", upstream, "--listen", listen, "--admin-listen", admin),
            *("--log-format", "json", "--drain-seconds", "0", "--poll-seconds", "0.5"),
            *(f"--model={name}" for name in models),
        ]
        self._log = log
        self._process: _Process | None = None
        self.target = ""
        self.admin = ""

    def start(self) -> None:
        """Start, and wait until it is ready. Raises DemoError."""
        self._process = _Process(
            "proxy", ["proxy", "serve", *self._flags], self._log, lambda line: _event(line) == "serving"
        )
        serving = json.loads(self._process.ready_line())
        self.target, self.admin = serving["listen"], serving["admin"]
        self.wait_until_ready()

    def check(self) -> None:
        """Raises DemoError if it no longer runs."""
        if self._process is not None and self._process.exit_code(0) is not None:
            raise self._process.failed("ended")

    def wait_until_ready(self) -> None:
        """Wait until it says that the server behind it is there with every model. Raises DemoError."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                self.get("/readyz")
            except OSError:
                time.sleep(_READY_INTERVAL)
            else:
                return
        assert self._process is not None
        raise self._process.failed(f"was not ready within {START_SECONDS:g} s")

    def get(self, path: str) -> str:
        """The text at `path` of its admin port. Raises OSError, also for a status that is not 2xx."""
        # Not by urllib: its build_opener has an `except:` in which a Ctrl-C is lost.
        with closing(HTTPConnection(self.admin, timeout=5)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            text = str(response.read(), "utf-8")
        if not 200 <= response.status < 300:
            raise OSError(f"{path} answers {response.status}")
        return text

    def stop(self) -> None:
        """Stop it if it runs."""
        if self._process is not None:
            self._process.stop()
            self._process = None


def _event(line: str) -> str:
    try:
        return str(json.loads(line)["event"])
    except (ValueError, KeyError, TypeError):
        return ""
