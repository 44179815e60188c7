"""`tfs-proxy config`: the effective settings and where each comes from."""

import json

import click

from proxy.cli.settings import CONTEXT, SettingsCommand, effective, takes


@click.command("config", cls=SettingsCommand, context_settings=CONTEXT)
@takes()
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON instead of a table."
)
def config(as_json: bool, **_: object) -> None:
    """Print the effective settings and where each comes from, without starting anything.

    Takes the flags of `serve`, reads the same environment and file, and checks them the same way.
    """
    from proxy.config import plain

    settings, origins = effective()
    values = plain(settings)
    if as_json:
        table = {
            name: {"value": value, "origin": origins.get(name, "default")} for name, value in values.items()
        }
        click.echo(json.dumps(table, indent=2))
        return
    width = max(len(name) for name in values)
    for name, value in values.items():
        origin = origins.get(name, "default")
        line = f"{name:<{width}}  {_text(value):<28}  {origin}"
        click.echo(click.style(line, dim=origin == "default"))


def _text(value: object) -> str:
    match value:
        case None | []:
            return "-"
        case bool():
            return "on" if value else "off"
        case list():
            return ", ".join(map(str, value))
    return str(value)
