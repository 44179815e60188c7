"""`tfs-proxy config`: the effective settings and where each comes from.

Law: what is printed is a settings file that says the same, so that it can be kept, sent and put back.
"""

import json
import sys
from collections.abc import Mapping

import click
import yaml

from proxy.cli.settings import CONTEXT, SettingsCommand, effective, takes
from proxy.config import Settings, plain
from proxy.config.held import unusable

_EPILOG = """\
\b
Examples:
  tfs-proxy config --config proxy.yaml              is the file right, and what comes of it?
  TFS_PROXY_MODE=observe tfs-proxy config > now.yaml
  tfs-proxy serve --config now.yaml
"""

_COMMENT_AT = 36
_DEFAULT = "default"


@click.command("config", cls=SettingsCommand, context_settings=CONTEXT, epilog=_EPILOG)
@takes()
@click.option("--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON instead of YAML.")
def config(as_json: bool, **_: object) -> None:
    """Print the effective settings and where each comes from, without starting anything.

    Takes the flags of `serve`, reads the same environment and file, and checks them the same way. The output
    is YAML for --config, the models' own settings included; a comment behind each says where it comes from.
    """
    settings, origins = effective()[:2]
    problems = unusable(settings)
    if problems:
        raise click.UsageError("; ".join(problems))
    if as_json:
        table = {
            name: {"value": value, "origin": origins.get(name, _DEFAULT)}
            for name, value in plain(settings).items()
        }
        click.echo(json.dumps(table, indent=2))
    else:
        click.echo(as_yaml(settings, origins), nl=False)


def as_yaml(settings: Settings, origins: Mapping[str, str]) -> str:
    """The settings as a file for --config."""
    lines = []
    for name, value in plain(settings).items():
        written = yaml.dump({name: value}, Dumper=_Dumper, sort_keys=False, width=sys.maxsize)
        first, *rest = written.splitlines()
        lines += [f"{first:<{_COMMENT_AT}}  # {origins.get(name, _DEFAULT)}", *rest]
    return "\n".join(lines) + "\n"


class _Dumper(yaml.SafeDumper):
    """Scalars on one line each, so that a comment can stand behind them."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if "\n" in text else None
    ),
)
