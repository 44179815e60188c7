"""`tfs-proxy lint`: faults of configurations and exports, before a server meets them.

Law: shows what `proxy.lint` finds; reads files only.
"""

from importlib.metadata import version
from pathlib import Path

import click
from rich.text import Text

from proxy.cli.tables import open_console, say
from proxy.core.explain import printable
from proxy.lint.base_path import Disk
from proxy.lint.configs import Kind, UnknownKindError
from proxy.lint.finding import Finding, Level
from proxy.lint.paths import lint as lint_path
from proxy.lint.report import as_json, as_sarif, counts

_STYLES = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.NOTE: "bold cyan"}


_EPILOG = """
\b
Exit code: 0 nothing found (notes do not count), 1 errors or warnings,
2 wrong usage.

\b
Examples:
  tfs-proxy lint models.config
  tfs-proxy lint models.config --root /var/lib/container-root
  tfs-proxy lint /models/detector/3
  tfs-proxy lint --sarif config/*.config > lint.sarif
"""


@click.command("lint", epilog=_EPILOG)
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@click.option(
    "--kind",
    type=click.Choice([each.value for each in Kind]),
    help="What a configuration file is, where its first field does not tell.",
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/",
    show_default=True,
    metavar="DIR",
    help="The directory here that is / for the server: a base_path of /models/m is looked up in DIR/models/m.",
)
@click.option("--no-disk", is_flag=True, help="Do not look up the base paths of a models.config.")
@click.option("--json", "form", flag_value="json", default=None, help="Print JSON.")
@click.option("--sarif", "form", flag_value="sarif", help="Print SARIF 2.1.0, for CI systems.")
def lint(paths: tuple[Path, ...], kind: str | None, root: Path, no_disk: bool, form: str | None) -> None:
    """Find faults in server configurations and SavedModels, offline.

    PATH is a models.config, a batching, monitoring or platform configuration, a SavedModel, a model's base
    path, or a directory of base paths. No server is asked and TensorFlow is not loaded.
    """
    findings: list[Finding] = []
    with open_console(stderr=True).status("reading"):
        try:
            for path in paths:
                findings += lint_path(path, Kind(kind) if kind else None, Disk(root, look=not no_disk))
        except UnknownKindError as error:
            raise click.UsageError(str(error)) from error
    if form == "json":
        click.echo(as_json(findings))
    elif form == "sarif":
        click.echo(as_sarif(findings, version("tfs-proxy")))
    else:
        _print(findings, len(paths))
    if any(each.rule.level is not Level.NOTE for each in findings):
        raise SystemExit(1)


def _print(findings: list[Finding], paths: int) -> None:
    console = open_console()
    for each in findings:
        failures = f"  ({', '.join(each.rule.failures)})" if each.rule.failures else ""
        level = (each.rule.level.value, _STYLES[each.rule.level])
        found = f": {printable(each.message)} [{each.rule.id}]"
        say(console, Text.assemble((printable(each.place), "bold"), ": ", level, found))
        say(console, f"    {each.rule.remedy}{failures}", "dim")
    if not findings:
        say(console, f"no findings in {paths} path{'s' if paths > 1 else ''}")
        return
    told = [
        f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts(findings).items() if count
    ]
    say(console, ", ".join(told))
