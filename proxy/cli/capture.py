"""`tfs-proxy capture`: a proxy that records requests for one model until there are enough, then stops.

Law: requests can only be recorded where they pass, and the admin port only reads; so this command runs a
proxy like `serve` and differs from it in where the records go and when it ends.
"""

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from proxy.capture.files import MOST_RECORDS, OneFile
from proxy.cli.settings import CONTEXT, SettingsCommand, effective_of_a_server, takes
from proxy.config import DECLARED, SettingsError, capture_bytes, share

_EPILOG = """\
\b
The file is a warm-up file as it is:
  cp FILE MODEL_BASE_PATH/VERSION/assets.extra/tf_serving_warmup_requests
and what `tfs-proxy replay` sends again and `tfs-proxy learn` reads. It holds the tensor values of real
requests: it is created for its owner only, and appears when it is complete. Only requests that fit the
signature and that the server answered with OK are recorded, without the answers.

\b
Exit code: 0 recorded, 1 nothing was recorded, 2 wrong usage, or an address that cannot be had.

\b
Examples:
  tfs-proxy capture --model detector --sample 1% --out warmup
  tfs-proxy capture --model detector --out warmup --records 100 --seconds 60 --upstream tfs:8500

To record in a proxy that runs anyway: tfs-proxy serve --capture DIR
"""


class _Share(click.ParamType[float]):
    name = "SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return share(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


class _Size(click.ParamType[int]):
    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return capture_bytes(value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)


@click.command("capture", cls=SettingsCommand, context_settings=CONTEXT, epilog=_EPILOG)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    allow_from_autoenv=False,
    help="Where to write; must not exist yet.",
)
@click.option(
    "--sample",
    type=_Share(),
    default="1.0",
    metavar="SHARE",
    allow_from_autoenv=False,
    help="Which part of the admitted requests, for example 0.01 or 1%.  [default: all]",
)
@click.option(
    "--records",
    type=click.IntRange(1, MOST_RECORDS),
    default=MOST_RECORDS,
    metavar="N",
    allow_from_autoenv=False,
    help=f"Stop after so many.  [default: {MOST_RECORDS}, as many as TensorFlow Serving takes]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    allow_from_autoenv=False,
    help="Stop after this time at the latest.",
)
@click.option(
    "--max-bytes",
    type=_Size(),
    default="256MiB",
    metavar="SIZE",
    allow_from_autoenv=False,
    help="Stop when the file would be larger.  [default: 256MiB]",
)
@takes(*(each.name for each in DECLARED if not each.name.startswith("capture") and each.name != "workers"))
def capture(
    out: Path, sample: float, records: int, seconds: float | None, max_bytes: int, **_: object
) -> None:
    """Record live requests for one model (--model) as a warm-up file; they hold tensor values.

    Runs a proxy, as `serve` does, until there are enough requests, the time is up or Ctrl-C is pressed. Calls
    under way are finished first.
    """
    effective = effective_of_a_server()
    settings = effective.settings
    if len(settings.model) != 1:
        raise click.UsageError("say with --model which one model to record: a warm-up file is for one")
    if out.exists():
        raise click.UsageError(f"{out} exists: move it away, or name another file")
    if not out.parent.is_dir():
        raise click.UsageError(f"{out.parent} is not a folder")
    try:
        TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise click.UsageError(
            f"cannot write into {out.parent}: {(error.strerror or str(error)).lower()}"
        ) from error
    from proxy.app import run  # loads grpc
    from proxy.life import Addresses, StartError

    sink = OneFile(out, records, max_bytes, _stop)
    timer = threading.Timer(seconds, _stop) if seconds is not None else None

    def announce(addresses: Addresses) -> None:
        click.echo(
            f"Recording calls to {addresses.listen} for {settings.model[0]}. Ctrl-C ends it.", err=True
        )
        if timer is not None:
            timer.daemon = True
            timer.start()

    try:
        recording = replace(settings, capture_sample=sample, capture_model=settings.model)
        run(effective._replace(settings=recording), announce, sink)
    except StartError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    finally:
        if timer is not None:
            timer.cancel()
    if not out.exists():
        raise click.ClickException(
            f"nothing was recorded: no request for {settings.model[0]} was admitted and answered with OK"
        )
    click.echo(f"{sink.records} requests in {out} ({out.stat().st_size} bytes)")


def _stop() -> None:
    """Ask this process for the end that SIGTERM brings: drain, finish calls, close the file."""
    os.kill(os.getpid(), signal.SIGTERM)
