"""Finding the servable that a command is about: on the server, or on disk.

Law: one servable or a sentence; what is done with it is the command's business.
"""

from collections.abc import Callable
from pathlib import Path

import click

from proxy.cli.asking import CannotAskError, ask
from proxy.cli.settings import NAME
from proxy.config import Settings
from proxy.core.availability import Absence, judge_absence
from proxy.core.types import ModelKey, Servable
from proxy.upstream.client import ServingClient
from proxy.wire.metadata import UnreadableMetadataError, servable_of_saved_model
from proxy.wire.status import sentence_of


def names_servable(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which servable: `version`, `label`, `path`."""
    for option in (
        click.option(
            "--path",
            type=click.Path(path_type=Path),
            metavar="SAVED_MODEL",
            allow_from_autoenv=False,
            help="Read a SavedModel directory (or a model's base path: its newest version) instead of asking a server.",
        ),
        click.option(
            "--label",
            type=NAME,
            metavar="LABEL",
            allow_from_autoenv=False,
            help="The version that carries this label.",
        ),
        click.option(
            "--version",
            type=click.IntRange(min=0),
            metavar="N",
            allow_from_autoenv=False,
            help="This version instead of the latest.",
        ),
    ):
        command = option(command)
    return command


def servable_from_path(path: Path, model: str | None) -> Servable:
    """The one in the SavedModel at `path`, called `model` or as its folder; raises CannotAskError."""
    try:
        return servable_of_saved_model(path, model or path.resolve().name)
    except UnreadableMetadataError as error:
        raise CannotAskError(str(error)) from error


def servable_from_server(settings: Settings, key: ModelKey) -> Servable:
    """The live one that `key` addresses.

    Raises CannotAskError where no server answers, click.ClickException where it has no such servable.
    """
    if not key.model:
        raise click.UsageError("which model? Give its name, or --path SAVED_MODEL to read one from disk")

    async def question(server: ServingClient) -> Servable | Absence:
        return await server.lookup(key, tuple(settings.models))

    found = ask(settings, question)
    if isinstance(found, Absence):
        verdict = judge_absence(found)
        raise click.ClickException(
            sentence_of(verdict.violations[0]) if verdict else f"the server contradicts itself about {key}"
        )
    return found
