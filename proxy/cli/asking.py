"""Asking a server from a command: one channel, one client, and a sentence when no answer comes.

Law: what is asked is the command's business. A silent server ends the command with exit code 2, because then
there is nothing to find right or wrong.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import grpc

from proxy.client_code.server import TOKEN_VARIABLE
from proxy.config import Settings
from proxy.core.reasons import Code
from proxy.upstream.channel import Tls, open_channel
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.control import ChannelControl
from proxy.upstream.events import FetchResult

UPSTREAM_SETTINGS = (
    *("upstream", "upstream_tls", "upstream_ca", "upstream_cert", "upstream_key", "upstream_server_name"),
    "use_http_proxy",
)
"""What a command must know to speak to a server."""

PATIENCE = 10.0
"""Seconds that a command waits for each answer."""

_OUT_OF_REACH = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}

_Answer = TypeVar("_Answer")


class CannotAskError(click.ClickException):
    """Nothing could be found out, good or bad."""

    exit_code = 2


def ask(settings: Settings, question: Callable[[ServingClient], Awaitable[_Answer]]) -> _Answer:
    """The answer to `question`, put to the server of `settings`.

    Every question carries the token in TOKEN_VARIABLE, where there is one. Raises CannotAskError where `question` raises
    NoAnswerError, click.UsageError for unusable settings.
    """
    metadata = _authorization()

    async def run() -> _Answer:
        try:
            channel = open_channel(settings.upstream, tls_of(settings), http_proxy=settings.use_http_proxy)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        async with channel:
            return await question(ServingClient(ChannelControl(channel, metadata), PATIENCE))

    try:
        return asyncio.run(run())
    except NoAnswerError as error:
        raise CannotAskError(_told(settings.upstream, error)) from error


async def make_sure_of(channel: grpc.aio.Channel, target: str) -> None:
    """Raise CannotAskError at once where nothing at `target` takes a call; whatever is answered will do."""
    try:
        await ServingClient(ChannelControl(channel), PATIENCE).versions("")
    except NoAnswerError as error:
        if error.unanswered.code in _OUT_OF_REACH:
            raise CannotAskError(_told(target, error, "--against HOST:PORT")) from error


def tls_of(settings: Settings) -> Tls | None:
    """How the settings want servers to be met; None: in plaintext."""
    if not settings.speaks_tls:
        return None
    return Tls(
        ca=settings.upstream_ca,
        certificate=settings.upstream_cert,
        key=settings.upstream_key,
        server_name=settings.upstream_server_name,
    )


def _authorization() -> tuple[tuple[str, str], ...]:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token.isascii() or not token.isprintable() or " " in token:
        # What grpc says of such a value repeats it.
        raise click.UsageError(
            f"{TOKEN_VARIABLE} holds no token: letters, digits and signs in one piece are wanted"
        )
    return (("authorization", f"Bearer {token}"),) if token else ()


def _told(target: str, error: NoAnswerError, flag: str = "--upstream HOST:PORT") -> str:
    if error.result is FetchResult.UNAVAILABLE:
        return (
            f"no answer from {target}: {error}\n"
            f"Is this the gRPC port (8500 by default, REST has 8501)? Name another with {flag}, "
            f"or let `tfs-proxy doctor --upstream {target}` find out why."
        )
    if str(error).startswith(grpc.StatusCode.UNIMPLEMENTED.name):
        return f"{target} speaks gRPC, but is not TensorFlow Serving: {error}"
    if error.unanswered.code == Code.UNAUTHENTICATED:
        return f"{target} wants a token, or another one: {error}\nPut yours in the variable {TOKEN_VARIABLE}."
    return f"{target} gave no usable answer: {error}"
