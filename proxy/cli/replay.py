"""`tfs-proxy replay`: recorded requests against a new server, compared with the old one.

Law: reads, sends and compares through proxy/replay; here are the flags, the progress and the report.
"""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Final

import click
import grpc
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from proxy.cli.asking import UPSTREAM_SETTINGS, CannotAskError, make_sure_of, tls_of
from proxy.cli.settings import CONTEXT, TARGET, effective, takes
from proxy.cli.tables import open_console, say, show_table
from proxy.config import Settings
from proxy.core.explain import escape
from proxy.replay.records import Recorded, UnreadableCaptureError, recorded_requests
from proxy.replay.report import MOST_KEPT, Report
from proxy.replay.sending import Target, replay
from proxy.upstream.channel import open_channel
from proxy.wire.values import require_numpy

_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_IN_TABLE: Final = 20

_EPILOG = """\
FILE is a capture (`tfs-proxy capture`, `serve --capture`) or any warm-up file. Without --baseline the answers
are compared with those recorded in the file, where there are some, and otherwise need only be OK.

\b
Exit code: 0 the same, 1 differences, 2 the file or a server cannot be had, 130 interrupted (what was
compared until then is reported).

\b
Examples:
  tfs-proxy replay warmup --against new:8500 --baseline old:8500
  tfs-proxy replay warmup --against tfs:8500 --version 3 --baseline tfs:8500 --baseline-version 2
  tfs-proxy replay captures/*.tfrecord --against new:8500 --tolerance 1e-3 --json
"""


@click.command("replay", context_settings=CONTEXT, epilog=_EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=TARGET,
    required=True,
    metavar="HOST:PORT",
    allow_from_autoenv=False,
    help="gRPC address of the server to try.",
)
@click.option(
    "--version",
    type=click.IntRange(min=0),
    metavar="N",
    allow_from_autoenv=False,
    help="Ask it for this version, whatever was recorded.",
)
@click.option(
    "--baseline",
    type=TARGET,
    metavar="HOST:PORT",
    allow_from_autoenv=False,
    help="The server to compare it with.",
)
@click.option(
    "--baseline-version",
    type=click.IntRange(min=0),
    metavar="N",
    allow_from_autoenv=False,
    help="Ask the baseline for this version.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-5,
    show_default=True,
    metavar="NUMBER",
    allow_from_autoenv=False,
    help="How far floats may be apart, relative and absolute; NaN equals NaN.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    metavar="N",
    allow_from_autoenv=False,
    help="Requests at a time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    allow_from_autoenv=False,
    help="Deadline of each request.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", allow_from_autoenv=False, help="Send only so many."
)
@takes(*(name for name in UPSTREAM_SETTINGS if name != "upstream"))
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON instead of tables."
)
def replay_command(
    files: tuple[Path, ...],
    against: str,
    version: int | None,
    baseline: str | None,
    baseline_version: int | None,
    tolerance: float,
    concurrency: int,
    timeout: float,
    limit: int | None,
    as_json: bool,
    **_: object,
) -> None:
    """Send recorded requests again and tell what has changed.

    Compares status, outputs and latency of two servers, or of two versions on one, so that a new export can be
    tried before it is rolled out. Values are compared, never shown. The TLS flags hold for both servers.
    """
    if baseline is None and baseline_version is not None:
        raise click.UsageError("--baseline-version needs --baseline")
    try:
        require_numpy()
    except ModuleNotFoundError as error:
        raise CannotAskError("comparing values needs numpy: pip install numpy") from error
    report = Report(tolerance, _CODES, with_baseline=baseline is not None)
    requests: Iterator[Recorded] = islice(chain.from_iterable(map(recorded_requests, files)), limit)
    try:
        # A wrong file is told before a server is looked for.
        requests = chain(tuple(islice(requests, 1)), requests)
        asyncio.run(
            _run(
                effective().settings,
                requests,
                report,
                (against, version),
                (baseline, baseline_version) if baseline is not None else None,
                concurrency,
                timeout,
            )
        )
    except UnreadableCaptureError as error:
        raise CannotAskError(str(error)) from error
    if not report.sent and not report.interrupted:
        raise CannotAskError(f"no requests in {', '.join(map(str, files))}")
    if as_json:
        click.echo(json.dumps(report.as_json(against, baseline), indent=2))
    else:
        _show(report, against, baseline)
    if report.interrupted:
        raise click.exceptions.Exit(130)
    raise click.exceptions.Exit(1 if report.different else 0)


async def _run(
    settings: Settings,
    requests: Iterator[Recorded],
    report: Report,
    against: tuple[str, int | None],
    baseline: tuple[str, int | None] | None,
    concurrency: int,
    timeout: float,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        target = await _connect(stack, settings, *against, timeout)
        other = await _connect(stack, settings, *baseline, timeout) if baseline is not None else None

        # A second Ctrl-C ends at once, as it would anywhere.
        def interrupt() -> None:
            stop.set()
            loop.remove_signal_handler(signal.SIGINT)

        loop.add_signal_handler(signal.SIGINT, interrupt)
        with _progress() as progress:
            task = progress.add_task("replaying", total=None)
            async for pair in replay(requests, target, other, concurrency, stop):
                # Comparing large outputs takes a while; calls under way should not wait for it.
                await asyncio.to_thread(report.add, pair)
                progress.update(task, advance=1, description=f"{report.different} different")
        report.interrupted = stop.is_set()


async def _connect(
    stack: AsyncExitStack,
    settings: Settings,
    address: str,
    version: int | None,
    timeout: float,
) -> Target:
    try:
        channel = open_channel(address, tls_of(settings), http_proxy=settings.use_http_proxy)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    await stack.enter_async_context(channel)
    with open_console(stderr=True).status(f"connecting to {address}"):
        await make_sure_of(channel, address)
    return Target(channel, timeout, version)


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _show(report: Report, against: str, baseline: str | None) -> None:
    console = open_console()
    sides = [("after", against, report.after)]
    if baseline is not None:
        sides.insert(0, ("before", baseline, report.before))
    rows = []
    for role, target, side in sides:
        answers = ", ".join(f"{count} {code}" for code, count in side.codes.most_common())
        rows.append((role, target, answers, _shown(side.quantile(0.5)), _shown(side.quantile(0.99))))
    show_table(console, ("", "server", "answers", "median ms", "p99 ms"), rows)
    if report.found:
        found = [
            (str(index), *(escape(text, 300) for text in (each.kind, each.where, each.before, each.after)))
            for index, each in report.found[:_IN_TABLE]
        ]
        show_table(console, ("record", "difference", "output", "before", "after"), found)
        more = sum(report.kinds.values()) - min(len(report.found), _IN_TABLE)
        if more:
            say(console, f"and {more} more differences (--json tells up to {MOST_KEPT})")
    if report.interrupted:
        say(console, "Interrupted: the rest was not sent.")
    say(console, f"{report.sent} requests sent, {report.different} with differences.")


def _shown(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f}"
