"""`tfs-proxy demo`: the same requests to a real model server, directly and through the proxy, side by side.

Law: arranges. What is sent stands in demo/requests.py, who answers in demo/processes.py, how it is shown in
demo_report.py; every answer shown came back a moment ago.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from proxy.cli.demo_report import show_metrics, show_rows, show_summary
from proxy.cli.tables import open_console, say

if TYPE_CHECKING:
    from proxy.demo.comparison import Compared
    from proxy.demo.processes import ModelServer, ProxyServer

_EPILOG = """\
\b
Exit code: 0 the proxy answered every request as it promises, 1 it did not,
2 the demonstration could not run.

\b
Examples:
  tfs-proxy demo
  tfs-proxy demo --serve                       then try requests of your own
  COLUMNS=160 tfs-proxy demo > demo.txt
"""
_WATCH_SECONDS: Final = 0.5


@click.command("demo", epilog=_EPILOG)
@click.option(
    "--models-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the demonstration's models are kept once built.  [default: the user's cache directory]",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Keep server and proxy running afterwards, until Ctrl-C; on ports 8500, 8600 and 8601 where they are free.",
)
def demo(models_dir: Path | None, serve: bool) -> None:
    """Show what the proxy answers to good and bad requests, and what the server alone does.

    Builds three small models once (an SSD-like detector, a classifier, a text model), starts a model server
    on the real TensorFlow and the proxy in front of it on free loopback ports, and sends every request
    twice: directly and through the proxy. One of them kills the server; it is started again. Everything
    stops at the end.
    """
    try:
        version("tensorflow")
        import numpy as np  # noqa: F401
    except (PackageNotFoundError, ModuleNotFoundError) as error:
        raise click.UsageError(
            f"the demonstration needs TensorFlow itself ({error}): pip install 'tfs-proxy[devserver]'"
        ) from error
    from proxy.demo.processes import DemoError

    console = open_console()
    try:
        with _stopped_like_ctrl_c():
            as_expected = _run(console, models_dir or _cache(), serve=serve)
    except DemoError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    if not as_expected:
        sys.exit(1)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfs-proxy" / "demo-models"


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and a closed terminal (but under nohup) end the demonstration as Ctrl-C does: processes are stopped."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, interrupt)) for number in heard]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def _step(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Say what takes a while: a spinner on a terminal, else one line. Yields a way to say how far it is."""
    if console.is_terminal:
        with console.status(Text(text)) as status:
            yield lambda progress: status.update(Text(f"{text} {progress}"))
    else:
        say(console, text)
        yield lambda _: None


# === the course of it ===


def _run(console: Console, models_dir: Path, *, serve: bool) -> bool:
    from proxy.demo.comparison import compare, counters, moved
    from proxy.demo.processes import ModelServer, ProxyServer, usual
    from proxy.demo.requests import SAMPLES
    from proxy.devserver.demo_models import MODELS, complete

    began = time.monotonic()
    with ExitStack() as running:
        logs = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tfs-proxy-demo-")))
        if not complete(models_dir):
            with _step(console, f"Building the models in {models_dir}, once"):
                _build(models_dir)
        # What stays is where the documentation says that it is, if it can be.
        ports = tuple(usual(port) if serve else usual(0) for port in (8500, 8600, 8601))
        server = ModelServer(models_dir, MODELS, logs / "server.log", ports[0])
        running.callback(server.stop)
        with _step(console, "Starting the model server: TensorFlow takes a few seconds to load"):
            server.start()
        proxy = ProxyServer(server.target, MODELS, logs / "proxy.log", *ports[1:])
        running.callback(proxy.stop)
        with _step(console, "Starting the proxy"):
            proxy.start()
        say(console, f"Model server on {server.target}, proxy on {proxy.target}.")

        before = counters(proxy)
        rows: list[Compared] = []
        with _step(console, f"Sending {len(SAMPLES)} requests, each to both") as progress:
            for row in compare(SAMPLES, server, proxy):
                rows.append(row)
                progress(f"({len(rows)} done)")
        after = counters(proxy)

        show_rows(console, rows)
        show_metrics(console, moved(before, after))
        show_summary(console, rows, time.monotonic() - began)
        if serve:
            _keep_up(console, server, proxy, logs)
    return all(row.as_expected for row in rows)


def _build(models_dir: Path) -> None:
    from proxy.demo.processes import DemoError

    done = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-m", "proxy.devserver.demo_models", str(models_dir)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        why = (done.stderr.splitlines() or ["no reason given"])[-1]
        raise DemoError(f"the models could not be built in {models_dir} (another place: --models-dir): {why}")


def _keep_up(console: Console, server: "ModelServer", proxy: "ProxyServer", logs: Path) -> None:
    console.print(
        f"\nStill running, until Ctrl-C:\n"
        f"  proxy         {proxy.target}\n"
        f"  model server  {server.target}\n"
        f"  page, metrics http://{proxy.admin}/\n"
        f"  logs          {logs}\n\n"
        f"{_SNIPPET.format(target=proxy.target)}",
        soft_wrap=True,
    )
    try:
        while True:
            proxy.check()
            death = server.death(_WATCH_SECONDS)
            if death is not None:
                say(console, f"The model server died ({death}); starting it again.")
                server.start()
                say(console, f"The model server is back on {server.target}.")
    except KeyboardInterrupt:
        say(console, "Stopping.")


_SNIPPET: Final = """\
A client to try, with tensorflow-serving-api:

  import grpc, numpy as np, tensorflow as tf
  from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

  stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel("{target}"))
  request = predict_pb2.PredictRequest()
  request.model_spec.name = "detector"
  image = np.zeros((120, 160, 3), np.uint8)  # no batch dimension: what does the proxy say?
  request.inputs["image_tensor"].CopyFrom(tf.make_tensor_proto(image))
  print(stub.Predict(request, timeout=5))
"""
