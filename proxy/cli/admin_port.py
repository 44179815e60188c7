"""Asking the admin port of a running proxy from a command: with its token and over HTTPS, where it wants that.

Law: what is asked, and what the answer means, is the command's business. Nothing of a token is ever in a text.
"""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from proxy.core.explain import printable, without_credentials

ADMIN: Final = "http://127.0.0.1:8601"

_MOST_OCTETS: Final = 64 << 20

_Command = TypeVar("_Command", bound=Callable[..., Any])


class NoAnswerError(Exception):
    """The admin port has not answered; the text says why."""


def asks_admin_port(what: str) -> Callable[[_Command], _Command]:
    """Options `admin`, `token_file` and `ca` of a command; `what` says of the port what it is asked for."""

    def add(command: _Command) -> _Command:
        file = click.Path(exists=True, dir_okay=False, path_type=Path)
        for option in (
            click.option(
                "--ca",
                type=file,
                metavar="FILE",
                allow_from_autoenv=False,
                help="Certificates by which an https:// admin port is known (PEM).",
            ),
            click.option(
                "--token-file",
                type=file,
                metavar="FILE",
                allow_from_autoenv=False,
                help="File with the admin port's token, where it wants one.",
            ),
            click.option(
                "--admin",
                metavar="URL",
                default=ADMIN,
                show_default=True,
                allow_from_autoenv=False,
                help=f"Admin port of a running proxy{what}: a URL or HOST:PORT.",
            ),
        ):
            command = option(command)
        return command

    return add


class AdminPort:
    """One admin port, at a URL or HOST:PORT. Raises click.UsageError for what can be neither."""

    def __init__(self, admin: str, token_file: Path | None, ca: Path | None, patience: float) -> None:
        self.url = _url(admin)
        self._token_file = token_file
        self._patience = patience
        # The admin port is at home: no forward proxy stands in between.
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if self.url.startswith("https:"):
            try:
                context = ssl.create_default_context(cafile=ca)
            except OSError as error:
                raise click.UsageError(f"--ca cannot be used: {error.strerror or error}") from error
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str) -> Any:
        """The JSON at a path. Raises NoAnswerError."""
        try:
            request = urllib.request.Request(f"{self.url}{path}")  # noqa: S310  http and https only
            if self._token_file is not None:
                request.add_unredirected_header("Authorization", f"Bearer {self._token(self._token_file)}")
            with self._opener.open(request, timeout=self._patience) as response:
                return json.loads(response.read(_MOST_OCTETS))
        except urllib.error.HTTPError as error:
            with error:
                raise self.no_answer(_meaning(error.code)) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise self.no_answer(str(getattr(reason, "strerror", None) or reason)) from error

    def no_answer(self, why: str) -> NoAnswerError:
        """What to raise where there is no answer, or none of use."""
        return NoAnswerError(f"no answer from {without_credentials(self.url)}: {printable(why)}")

    def _token(self, file: Path) -> str:
        # Read each time: a token may be exchanged while a command runs.
        try:
            token = file.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            token = ""
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            # What http.client says of such a field repeats it.
            raise self.no_answer(f"{file} holds no token: one line with nothing but the token is wanted")
        return token


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


def _meaning(code: int) -> str:
    if code in {401, 403}:
        return f"{code}: it wants a token, or another one (--token-file)"
    if code == 404:
        return "404: this is no admin port of tfs-proxy, or one of an older version"
    if code == 421:
        return "421: it is not known by this name; start the proxy with --admin-host, or ask by address"
    return f"{code}: is this the admin port (8601 by default), and not that of gRPC?"
