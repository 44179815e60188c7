"""`make bench`: tfs-proxy measured beside its peers, in one run on one machine.

Law: parses, installs, runs, reports. Only a whole run rewrites docs/performance.md.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import click

from tests.bench import payloads, report
from tests.bench.contestants import CONTESTANTS, Contestant
from tests.bench.installation import CACHE, install
from tests.bench.payloads import PAYLOADS
from tests.bench.processes import BenchError, Placement, busy_share
from tests.bench.rounds import CPP, H2LOAD, PYTHON, Bench, Scenario

DOCUMENT = CACHE.parent / "docs" / "performance.md"
CONCURRENCY = {"small": (1, 32, 256), "image": (1, 32, 256), "float": (1, 32, 256), "batch": (1, 32)}
"""256 times 13 MB would measure 3.3 GB of memory, not a proxy. Payloads not named here: 32."""
CLIENTS = {CPP: ("small", "image", "float", "many"), PYTHON: ("small", "image", "float")}
SLOW_MS = 1000
SLOW = Scenario(H2LOAD, next(each for each in PAYLOADS if each.name == "float"), 256)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--contestant",
    "names",
    multiple=True,
    type=click.Choice([each.name for each in CONTESTANTS]),
    help="Only this one; repeatable. `direct` always takes part.",
)
@click.option(
    "--payload",
    "payload_names",
    multiple=True,
    type=click.Choice([each.name for each in PAYLOADS]),
    help="Only this payload; repeatable.",
)
@click.option(
    "--concurrency", multiple=True, type=click.IntRange(1, 1024), help="Calls at a time; repeatable."
)
@click.option(
    "--clients/--no-clients", default=True, show_default=True, help="Measure with real clients too."
)
@click.option(
    "--slow-server/--no-slow-server",
    default=True,
    show_default=True,
    help="Measure peak memory before a slow server too.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Of each round."
)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--quick", is_flag=True, help="A first impression: one round of half a second, no clients.")
@click.option(
    "--pin/--no-pin",
    default=True,
    show_default=True,
    help="One core for the contestant, the others for server and load; else the kernel decides.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report goes.  [default: docs/performance.md for a whole run, .bench/performance.md else]",
)
def main(
    names: tuple[str, ...],
    payload_names: tuple[str, ...],
    concurrency: tuple[int, ...],
    clients: bool,
    slow_server: bool,
    seconds: float,
    rounds: int,
    quick: bool,
    pin: bool,
    output: Path | None,
) -> None:
    """Measure tfs-proxy beside its peers and write the report."""
    if quick:
        seconds, rounds, clients, slow_server = min(seconds, 0.5), 1, False, False
    whole = clients and slow_server and not (names or payload_names or concurrency)
    output = output or (DOCUMENT if whole else CACHE / "performance.md")
    # Stopping must run what stops the processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        tools = install()
        contestants, absent = _contestants(names)
        scenarios = _scenarios(payload_names, concurrency, clients)
        warm_up = min(0.5, seconds / 4)
        estimate = (seconds + warm_up + 0.3) * len(scenarios) * len(contestants) * rounds / 60
        click.echo(
            f"{len(contestants)} contestants, {len(scenarios)} scenarios, about {estimate + 1:.0f} minutes"
        )
        for each, lacking in absent.items():
            click.echo(f"{each.title} is left out: {lacking}")
        busy = busy_share(1)
        if busy > 0.05:
            click.echo(f"the machine is {busy:.0%} busy with other things: the figures will suffer", err=True)
        began = time.time()
        folder = CACHE / "run"  # stays, for its logs
        shutil.rmtree(folder, ignore_errors=True)
        files = payloads.write(folder / "payloads")
        placement = _placement() if pin else Placement()
        bench = Bench(tools, files, folder, placement, seconds, warm_up, click.echo)
        results = bench.interleaved(contestants, scenarios, rounds)
        slow = bench.slow_server(contestants, SLOW, SLOW_MS) if slow_server else []
        run = report.Run(results, slow, SLOW_MS, absent, tools, placement, seconds, rounds, began, busy)
        output.parent.mkdir(exist_ok=True)
        output.write_text(report.document(run))
        click.echo(report.overview(results))
        click.echo(f"written: {output}")
    except BenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("stopped; no report is written", err=True)
        sys.exit(130)


def _contestants(names: tuple[str, ...]) -> tuple[list[Contestant], dict[Contestant, str]]:
    """Those who take part, and those who cannot with the reason."""
    chosen = [each for each in CONTESTANTS if not names or each.name in {*names, "direct"}]
    absent = {each: lacking for each in chosen if (lacking := each.lacking())}
    return [each for each in chosen if each not in absent], absent


def _scenarios(names: tuple[str, ...], concurrency: tuple[int, ...], clients: bool) -> list[Scenario]:
    chosen = [each for each in PAYLOADS if not names or each.name in names]
    scenarios = [
        Scenario(H2LOAD, payload, calls)
        for payload in chosen
        for calls in concurrency or CONCURRENCY.get(payload.name, (32,))
    ]
    if clients:
        scenarios += [
            Scenario(client, payload)
            for client, measured in CLIENTS.items()
            for payload in chosen
            if payload.name in measured
        ]
    return scenarios


def _placement() -> Placement:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("--pin needs two cores")
    return Placement(str(cores[0]), ",".join(map(str, cores[1:])))


main()
