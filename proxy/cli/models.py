"""`tfs-proxy models`: which versions of which models a server has, and in which state.

Law: TensorFlow Serving cannot list its models (it has no such call), so names must come from somewhere; this
command says from where, and shows only what GetModelStatus answers.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from proxy.cli.admin_port import AdminPort, NoAnswerError, asks_admin_port
from proxy.cli.asking import UPSTREAM_SETTINGS, ask
from proxy.cli.settings import CONTEXT, NAME, effective, takes
from proxy.cli.tables import open_console, show_table
from proxy.core.availability import AVAILABLE, LOADING_STATES, VersionStatus
from proxy.core.explain import without_credentials
from proxy.upstream.client import ServingClient

_ADMIN_PATIENCE = 2.0

Versions = Mapping[str, tuple[VersionStatus, ...]]


_EPILOG = """\
\b
Exit code: 0 every model has an available version, 1 some model has none,
2 the server could not be asked.

\b
Examples:
  tfs-proxy models --model detector --model text
  tfs-proxy models --upstream tfs.example:8500 --model detector --json
  tfs-proxy models --admin https://proxy.example:8601 --token-file /run/secrets/admin-token
  until tfs-proxy models --model detector; do sleep 1; done
"""


@click.command("models", context_settings=CONTEXT, epilog=_EPILOG)
@click.option("--model", type=NAME, multiple=True, metavar="NAME", help="A model to ask for. Repeatable.")
@takes(*UPSTREAM_SETTINGS)
@asks_admin_port(", asked for names when none is given")
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON instead of a table."
)
def models(admin: str, token_file: Path | None, ca: Path | None, as_json: bool, **_: object) -> None:
    """Show the versions of models, their states, and the server's own text for those that failed.

    TensorFlow Serving has no call that lists its models. The names come from --model, else from the
    configuration file, else from a running proxy, which knows the models that it has seen.
    """
    settings = effective().settings
    names = dict.fromkeys(
        settings.model or settings.models or _names_at(AdminPort(admin, token_file, ca, _ADMIN_PATIENCE))
    )

    async def question(server: ServingClient) -> Versions:
        return {name: await server.versions(name) for name in names}

    found = ask(settings, question)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
    else:
        _show(found)
    if not all(any(each.state == AVAILABLE for each in versions) for versions in found.values()):
        click.get_current_context().exit(1)


def _names_at(port: AdminPort) -> Iterable[str]:
    names: list[str] = []
    try:
        names = [str(each["name"]) for each in port.get("/api/models")["models"]]
        problem = f"a running tfs-proxy was asked at {without_credentials(port.url)}, which has seen none yet"
    except NoAnswerError as error:
        problem = f"of a running tfs-proxy there is {error}"
    except (KeyError, TypeError):
        problem = f"{without_credentials(port.url)} is no admin port of tfs-proxy"
    if names:
        return names
    raise click.UsageError(
        "no model to ask for: TensorFlow Serving cannot list its models. Name them with --model NAME "
        f"(repeatable) or in a --config file; {problem}"
    )


def _show(found: Versions) -> None:
    rows: list[tuple[str | Text, ...]] = []
    for name, versions in found.items():
        if not versions:
            rows.append((name, "", Text("unknown", "red"), "Could not find any versions of this model"))
        for number, each in enumerate(versions):
            failed = each.error_code or each.error_message
            style = "green" if each.state == AVAILABLE else "yellow" if each.state in LOADING_STATES else ""
            state = Text(each.state, "red" if failed else style)
            rows.append(("" if number else name, str(each.version), state, each.error_message))
    show_table(open_console(), ("model", "version", "state", "the server says"), rows)


def _as_json(found: Versions) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "versions": [
                {
                    "version": each.version,
                    "state": each.state,
                    "error_code": each.error_code,
                    "error": each.error_message,
                }
                for each in versions
            ],
        }
        for name, versions in found.items()
    ]
