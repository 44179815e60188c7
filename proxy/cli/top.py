"""`tfs-proxy top`: how a running proxy stands and what goes wrong, in a terminal, as it changes.

Law: asks the admin port and shows what it answers; a thread asks, so that keys are obeyed while an answer is awaited.
A proxy that does not answer is asked again and again.
"""

import json
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import click
from rich.live import Live

from proxy.cli import top_screen
from proxy.cli.admin_port import AdminPort, NoAnswerError, asks_admin_port
from proxy.cli.asking import CannotAskError
from proxy.cli.settings import CONTEXT
from proxy.cli.tables import open_screen, plain_columns
from proxy.cli.top_cursor import Answers, Cursor

_PATIENCE_SECONDS: Final = 5.0
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


@click.command("top", context_settings=CONTEXT, epilog=_EPILOG)
@asks_admin_port("")
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
    asking = _Asking(AdminPort(admin, token_file, ca, _PATIENCE_SECONDS))
    if not once and not as_json and sys.stdout.isatty():
        _watch(asking, interval)
        return
    try:
        answers = asking.ask()
    except NoAnswerError as error:
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


class _Asking:
    """Asks one admin port for everything that is shown."""

    def __init__(self, port: AdminPort) -> None:
        self._port = port
        self._before: tuple[float, Mapping[str, Any]] | None = None

    def ask(self) -> Answers:
        """Everything at once. Raises NoAnswerError."""
        status, history, problems, models = (self._port.get(f"/api/{part}") for part in _PARTS)
        try:
            return self._answers(status, history, problems, models["models"])
        except (KeyError, TypeError) as error:
            raise self._port.no_answer(
                "what it answers is not what this version of tfs-proxy knows"
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
            except NoAnswerError as error:
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
