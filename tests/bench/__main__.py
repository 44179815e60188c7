"""`make bench`: tfs-proxy measured beside its peers, in one run on one machine.

Law: parses, installs, runs, reports. Only a whole run rewrites docs/performance.md.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tests.bench import cgroup, payloads, report, startup
from tests.bench.contestants import CONTESTANTS, Contestant
from tests.bench.entrants import Stage
from tests.bench.installation import CACHE, install
from tests.bench.payloads import PAYLOADS
from tests.bench.processes import BenchError, Placement, busy_share
from tests.bench.rounds import HEAVY, OPEN_LOOP_CONTESTANTS, OPEN_LOOP_FACTOR, Bench
from tests.bench.scenarios import OPEN_LOOP, SETTINGS, SLOW, Scenario, plan, takes_part

DOCUMENT = CACHE.parent / "docs" / "performance.md"
SLOW_MS = 1000


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
    "--setting",
    "settings",
    multiple=True,
    type=click.Choice([*(each.name for each in SETTINGS), OPEN_LOOP]),
    help="Only this one; repeatable: a third of a core, a core, bound to no core, workers, open-loop latency.",
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
    "--seconds",
    type=click.FloatRange(0.2, 60),
    default=1.0,
    show_default=True,
    help="Of each round of each scenario.",
)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option(
    "--quick", is_flag=True, help="A first impression: one round of half a second, no clients one at a time."
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
    settings: tuple[str, ...],
    clients: bool,
    slow_server: bool,
    seconds: float,
    rounds: int,
    quick: bool,
    output: Path | None,
) -> None:
    """Measure tfs-proxy beside its peers and write the report.

    A whole run takes about half an hour on two cores and needs a quiet machine.
    """
    if quick:
        seconds, rounds, clients, slow_server = min(seconds, 0.5), 1, False, False
    whole = clients and slow_server and not (names or payload_names or concurrency or settings)
    output = output or (DOCUMENT if whole else CACHE / "performance.md")
    # Stopping must run what stops the processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        tools = install()
        contestants, absent = _contestants(names)
        scenarios = plan(settings, payload_names, concurrency, clients=clients)
        left_out = []
        if reason := cgroup.lacking():
            scenarios = [each for each in scenarios if each.setting.share is None]
            left_out.append(f"Nothing is measured that needs a quota of CPU time: {reason}.")
        open_loop = not settings or OPEN_LOOP in settings
        warm_up = min(0.3, seconds / 4)
        minutes = _estimate(contestants, scenarios, seconds + warm_up, rounds) / 60
        click.echo(f"{len(contestants)} contestants, {len(scenarios)} scenarios, about {minutes:.0f} minutes")
        for each in [*(f"{one.title} is left out: {lacking}" for one, lacking in absent.items()), *left_out]:
            click.echo(each, err=True)
        busy = busy_share(1)
        if busy > 0.05:
            click.echo(f"the machine is {busy:.0%} busy with other things: the figures will suffer", err=True)
        began = time.time()
        folder = CACHE / "run"  # stays, for its logs
        shutil.rmtree(folder, ignore_errors=True)
        stage = Stage(tools, payloads.write(folder / "payloads"), folder, _placement())
        bench = Bench(stage, seconds, warm_up, click.echo)
        results, opens = bench.interleaved(contestants, scenarios, rounds, open_loop=open_loop)
        slow = bench.slow_server(contestants, SLOW, SLOW_MS) if slow_server else []
        started = ""
        if whole and any(each.name == "compiled" for each in contestants):
            click.echo("start and memory of the installed wheel")
            started = f"{startup.measure().row()}.\n"
        run = report.Run(
            results,
            opens,
            slow,
            SLOW_MS,
            absent,
            left_out,
            tools,
            stage.placement,
            seconds,
            rounds,
            began,
            busy,
            started,
        )
        output.parent.mkdir(exist_ok=True)
        output.write_text(report.document(run))
        click.echo(report.overview(results))
        click.echo(f"measured for {(time.time() - began) / 60:.0f} minutes; written: {output}")
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


def _estimate(
    contestants: Sequence[Contestant], scenarios: Sequence[Scenario], seconds: float, rounds: int
) -> float:
    """Seconds of a run, roughly: heavy scenarios take three times as long, and each its checks."""
    each_round = sum(
        seconds * (3 if scenario.bytes_in_flight >= HEAVY else 1) + 0.5
        for scenario in scenarios
        for each in contestants
        if takes_part(each.name, scenario)
    )
    open_loops = (seconds * OPEN_LOOP_FACTOR + 0.5) * len(OPEN_LOOP_CONTESTANTS) * 4
    return (each_round + open_loops + 15) * rounds + 45


def _placement() -> Placement:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("the bench needs two cores")
    return Placement(str(cores[0]), ",".join(map(str, cores[1:])))


main()
