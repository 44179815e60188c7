"""`tfs-proxy top`: how a running proxy stands and what goes wrong, in a terminal, as it changes.

Law: asks the admin port and shows what it answers; a thread asks, so that keys are obeyed while an answer is awaited.
A proxy that does not answer is asked again and again.
"""

import http.client
import json
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import click
from rich.live import Live

from proxy.cli import top_screen
from proxy.cli.asking import CannotAskError
from proxy.cli.settings import CONTEXT
from proxy.cli.tables import open_screen, plain_columns
from proxy.cli.top_screen import Answers, Cursor
from proxy.core.explain import printable, without_credentials

_ADMIN: Final = "http://127.0.0.1:8601"
_PATIENCE_SECONDS: Final = 5.0
_MOST_OCTETS: Final = 64 << 20
_PARTS: Final = ("status", "history", "problems", "models")

_EPILOG = """\
\b
Keys: q quits, arrows or j and k select a problem, enter opens it, escape goes back;
m and r show the problems of one model or one reason after the other.

\b
Exit code: 0 the proxy is ready (or q was pressed), 1 it is not, 2 it could not be asked.

\b
Examples:
  tfs-proxy top
  tfs-proxy top --admin http://proxy.example:8601 --token-file /run/secrets/admin-token
  tfs-proxy top --once --json | jq .problems
"""


class _NoAnswerError(Exception):
    """The admin port has not answered; the text says why."""


@click.command("top", context_settings=CONTEXT, epilog=_EPILOG)
@click.option(
    "--admin",
    metavar="URL",
    default=_ADMIN,
    show_default=True,
    allow_from_autoenv=False,
    help="Admin port of a running proxy: a URL or HOST:PORT.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    allow_from_autoenv=False,
    help="File with the admin port's token, where it wants one.",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    allow_from_autoenv=False,
    help="Certificates by which an https:// admin port is known (PEM).",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2, max=3600),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    allow_from_autoenv=False,
    help="How often the proxy is asked.",
)
@click.option(
    "--once", is_flag=True, allow_from_autoenv=False, help="Print once and end; so without a terminal."
)
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print the answers as JSON, once."
)
def top(
    admin: str, token_file: Path | None, ca: Path | None, interval: float, once: bool, as_json: bool
) -> None:
    """Show how a running proxy stands and what goes wrong, as it changes.

    Its state and its server's, calls and refusals with the curves of the last hour, each mistake once with how often
    it comes and who sends it, and the models: what the admin port's page shows, in a terminal.
    """
    asking = _Asking(_url(admin), token_file, ca)
    if not once and not as_json and sys.stdout.isatty():
        _watch(asking, interval)
        return
    try:
        answers = asking.ask()
    except _NoAnswerError as error:
        raise CannotAskError(str(error)) from error
    if as_json:
        click.echo(json.dumps({name: getattr(answers, name) for name in _PARTS}, indent=2))
    else:
        console, width = open_screen(), plain_columns()
        for line in top_screen.overview(answers, Cursor(), datetime.now(UTC), width):
            line.truncate(width, overflow="ellipsis")
            line.rstrip()
            console.print(line, soft_wrap=True)
    if answers.status["state"] != "ready":
        click.get_current_context().exit(1)


def _url(admin: str) -> str:
    url = admin if "://" in admin else f"http://{admin}"
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise click.UsageError("--admin must be HOST:PORT or a URL as in http://127.0.0.1:8601")
    return url.rstrip("/")


class _Asking:
    """Asks one admin port for everything that is shown."""

    def __init__(self, url: str, token_file: Path | None, ca: Path | None) -> None:
        self.url = url
        self._token_file = token_file
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if url.startswith("https:"):
            try:
                context = ssl.create_default_context(cafile=ca)
            except OSError as error:
                raise click.UsageError(f"--ca cannot be used: {error.strerror or error}") from error
            handlers.append(urllib.request.HTTPSHandler(context=context))
        # The admin port is at home: no forward proxy stands in between.
        self._opener = urllib.request.build_opener(*handlers)
        self._before: tuple[float, Mapping[str, Any]] | None = None

    def ask(self) -> Answers:
        """Everything at once. Raises _NoAnswerError."""
        status, history, problems, models = (self._get(part) for part in _PARTS)
        try:
            return self._answers(status, history, problems, models["models"])
        except (KeyError, TypeError) as error:
            raise _NoAnswerError(
                self._told("what it answers is not what this version of tfs-proxy knows")
            ) from error

    def _answers(self, status: Any, history: Any, problems: Any, models: Any) -> Answers:
        now, before = monotonic(), self._before
        self._before = now, status
        rates = {}
        if before is not None and before[1]["started"] == status["started"] and now > before[0]:
            rates = {
                name: max(0, count - before[1]["counts"][name]) / (now - before[0])
                for name, count in status["counts"].items()
            }
        return Answers(status, history, problems, models, rates)

    def _get(self, part: str) -> Any:
        url = f"{self.url}/api/{part}"
        try:
            request = urllib.request.Request(url)  # noqa: S310  http and https only
            if self._token_file is not None:
                # Read each time: a token may be exchanged while this runs.
                token = self._token_file.read_text(encoding="utf-8").strip()
                request.add_unredirected_header("Authorization", f"Bearer {token}")
            with self._opener.open(request, timeout=_PATIENCE_SECONDS) as response:
                return json.loads(response.read(_MOST_OCTETS))
        except urllib.error.HTTPError as error:
            with error:
                raise _NoAnswerError(self._told(_meaning(error.code))) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise _NoAnswerError(self._told(str(getattr(reason, "strerror", None) or reason))) from error

    def _told(self, why: str) -> str:
        return f"no answer from {without_credentials(self.url)}: {printable(why)}"


def _meaning(code: int) -> str:
    if code in {401, 403}:
        return f"{code}: it wants a token, or another one (--token-file)"
    if code == 404:
        return "404: this is no admin port of tfs-proxy, or one of an older version"
    if code == 421:
        return "421: it is not known by this name; start the proxy with --admin-host, or ask by address"
    return f"{code}: is this the admin port (8601 by default), and not that of gRPC?"


class _Newest:
    """The newest answers, from a thread that asks until it is ended; `tell` is called when there is something new."""

    def __init__(self, asking: _Asking, interval: float, tell: Any) -> None:
        self.answers: Answers | None = None
        self.trouble = "asking the proxy"
        self._asking = asking
        self._interval = interval
        self._tell = tell
        self._ended = threading.Event()
        self._telling = threading.Lock()
        # A daemon: an answer that is still awaited keeps nobody.
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Tell nothing more; what `tell` needs may be gone afterwards."""
        with self._telling:
            self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.answers = self._asking.ask()
                self.trouble = ""
            except _NoAnswerError as error:
                self.trouble = f"{error}; trying again every {self._interval:g} s"
            with self._telling:
                if not self._ended.is_set():
                    self._tell()
            self._ended.wait(self._interval)


def _watch(asking: _Asking, interval: float) -> None:
    from proxy.cli.top_terminal import taken  # termios is none of Windows

    console = open_screen()
    with taken() as terminal, Live(console=console, screen=True, auto_refresh=False) as live:
        newest, cursor, ends = _Newest(asking, interval, terminal.wake), Cursor(), False
        try:
            while not ends:
                width, height = console.size
                now = datetime.now(UTC)
                shown = top_screen.screen(newest.answers, cursor, newest.trouble, now, width, height)
                live.update(shown, refresh=True)
                for key in terminal.wait():
                    ends = ends or key == "q"
                    if newest.answers is not None:
                        cursor.press(key, newest.answers)
        finally:
            newest.end()
