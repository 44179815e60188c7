"""`tfs-proxy doctor`: finding out why TensorFlow Serving does not respond.

Law: walks the checklist of `proxy.doctor` and shows each line as it comes; decides nothing but the exit code.
"""

import asyncio
import json
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from proxy.cli.asking import UPSTREAM_SETTINGS
from proxy.cli.settings import CONTEXT, NAME, effective, takes
from proxy.cli.tables import open_console, say
from proxy.core.explain import printable
from proxy.doctor.checklist import Checklist
from proxy.doctor.line import Line, Mark
from proxy.upstream.channel import Tls

_SIGNS = {
    Mark.OK: ("\N{CHECK MARK}", "ok  ", "green"),
    Mark.NOTE: ("!", "note", "yellow"),
    Mark.FAULT: ("\N{BALLOT X}", "FAIL", "bold red"),
}

_EPILOG = """\
\b
Exit code: 0 nothing is in the way, 1 something is, 2 wrong usage.

\b
Examples:
  tfs-proxy doctor --model detector
  tfs-proxy doctor --upstream tfs.example:8500 --model detector --version 3 --probe
  tfs-proxy doctor --config models.config --path /models/detector
"""


@click.command("doctor", context_settings=CONTEXT, epilog=_EPILOG)
@click.option("--model", type=NAME, multiple=True, metavar="NAME", help="A model to look at. Repeatable.")
@click.option(
    "--version",
    type=click.IntRange(min=0),
    metavar="N",
    allow_from_autoenv=False,
    help="The version that clients ask for, if not the latest.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    allow_from_autoenv=False,
    help="The server's models.config: is it sound, and are its models served?",
)
@click.option(
    "--path",
    type=click.Path(exists=True, path_type=Path),
    metavar="SAVED_MODEL",
    allow_from_autoenv=False,
    help="A SavedModel, or a model's base path: could it be served?",
)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/",
    metavar="DIR",
    allow_from_autoenv=False,
    help="The directory here that is / for the server, to look up the base paths of --config.",
)
@click.option(
    "--probe",
    is_flag=True,
    allow_from_autoenv=False,
    help="Send requests too: zeros to every signature, and a message of 5 MiB.",
)
@takes(*UPSTREAM_SETTINGS, file=False)
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON instead of lines."
)
def doctor(
    model: tuple[str, ...],
    version: int | None,
    config: Path | None,
    path: Path | None,
    root: Path,
    probe: bool,
    as_json: bool,
    **_: object,
) -> None:
    """Find out why TensorFlow Serving does not respond.

    Looks from the outside in: the name, every address, what the port speaks, gRPC, forward proxies, each
    model's versions and signatures, and the files on disk. Each line says what was seen and what to do. Only
    cheap questions are asked unless --probe is given; it works with nothing running, too.
    """
    settings = effective().settings
    tls = None
    if settings.speaks_tls:
        tls = Tls(
            settings.upstream_ca, settings.upstream_cert, settings.upstream_key, settings.upstream_server_name
        )
    checklist = Checklist(
        settings.upstream, tls, model, version, config, path, root, probe, settings.use_http_proxy
    )
    try:
        lines = asyncio.run(_walked(checklist, None if as_json else open_console()))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    sound = all(line.mark is not Mark.FAULT for line in lines)
    if as_json:
        click.echo(
            json.dumps(
                {"ok": sound, "lines": [line.as_json() for line in lines]}, indent=2, ensure_ascii=False
            )
        )
    if not sound:
        click.get_current_context().exit(1)


async def _walked(checklist: Checklist, console: Console | None) -> list[Line]:
    lines = []
    with open_console(stderr=True).status(f"looking at {checklist.target}") as status:
        async for line in checklist.walk():
            lines.append(line)
            status.update(f"{line.topic} is done, looking on")
            if console is not None:
                _show(console, line)
    if console is not None:
        _sum_up(console, lines)
    return lines


def _show(console: Console, line: Line) -> None:
    sign, word, style = _SIGNS[line.mark]
    mark = sign if console.is_terminal else word
    seen = (printable(line.topic), "bold"), f": {printable(line.seen)}"
    say(console, Text.assemble((mark, style), " ", *seen))
    if line.todo:
        failures = f" ({', '.join(line.failures)})" if line.failures else ""
        indent = " " * (len(mark) + 1)
        say(console, f"{indent}{line.todo}{failures}", "dim")


def _sum_up(console: Console, lines: list[Line]) -> None:
    faults = [line for line in lines if line.mark is Mark.FAULT]
    if not faults:
        say(console, "\nNothing is in the way.", "green")
        return
    say(console, f"\nThe first thing to mend: {printable(f'{faults[0].topic}: {faults[0].seen}')}")
