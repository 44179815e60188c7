"""`tfs-proxy demo`: the same requests to a real model server, directly and through the proxy, side by side.

Law: arranges and shows. What is sent stands in demo/requests.py, who answers in demo/processes.py, and every
answer shown came back from one of them a moment ago.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from proxy.cli.tables import new_table, open_console
from proxy.core.explain import escape
from proxy.core.types import DTYPES, dtype_name, shape_text

if TYPE_CHECKING:
    from proxy.demo.comparison import Answer, Compared, Series
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
_TEXT_SHOWN: Final = 240
_ACCEPTS: Final = " Model '"
"""How the last sentence of a refusal begins: the signature that the model accepts."""
_VALUES_SHOWN: Final = 3
_WATCH_SECONDS: Final = 0.5

_SUMMED_BY: Final = {
    "tfs_proxy_requests_total": "code",
    "tfs_proxy_refusals_total": "reason",
    "tfs_proxy_warnings_total": "reason",
}
"""Metrics with a series per model and signature, shown by what tells most."""


@click.command("demo", epilog=_EPILOG)
@click.option(
    "--models-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the demonstration's models are kept once built.  [default: the user's cache directory]",
)
@click.option("--serve", is_flag=True, help="Keep server and proxy running afterwards, until Ctrl-C.")
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
    """SIGTERM and a closed terminal end the demonstration as Ctrl-C does: processes are stopped."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]
    before = [(number, signal.signal(number, interrupt)) for number in numbers]
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
        console.print(text)
        yield lambda _: None


# === the course of it ===


def _run(console: Console, models_dir: Path, *, serve: bool) -> bool:
    from proxy.demo.comparison import compare, counters, moved
    from proxy.demo.processes import ModelServer, ProxyServer
    from proxy.demo.requests import SAMPLES
    from proxy.devserver.demo_models import MODELS, complete

    began = time.monotonic()
    with ExitStack() as running:
        logs = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tfs-proxy-demo-")))
        if not complete(models_dir):
            with _step(console, f"Building the models in {models_dir}, once"):
                _build(models_dir)
        server = ModelServer(models_dir, MODELS, logs / "server.log")
        running.callback(server.stop)
        with _step(console, "Starting the model server: TensorFlow takes a few seconds to load"):
            server.start()
        proxy = ProxyServer(server.target, MODELS, logs / "proxy.log")
        running.callback(proxy.stop)
        with _step(console, "Starting the proxy"):
            proxy.start()
        console.print(f"Model server on {server.target}, proxy on {proxy.target}.")

        before = counters(proxy)
        rows: list[Compared] = []
        with _step(console, f"Sending {len(SAMPLES)} requests, each to both") as progress:
            for row in compare(SAMPLES, server, proxy):
                rows.append(row)
                progress(f"({len(rows)} done)")
        after = counters(proxy)

        _show_rows(console, rows)
        _show_metrics(console, moved(before, after))
        _show_summary(console, rows, time.monotonic() - began)
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
        end = "\n".join(done.stderr.splitlines()[-5:])
        raise DemoError(
            f"the models could not be built in {models_dir} (another place: --models-dir):\n{end}"
        )


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
                console.print(f"The model server died ({death}); starting it again.")
                server.start()
                console.print(f"The model server is back on {server.target}.")
    except KeyboardInterrupt:
        console.print("Stopping.")


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


# === what is shown ===


def _show_rows(console: Console, rows: Sequence["Compared"]) -> None:
    table = new_table(
        console, "what was sent", "what the server alone answers", "what the proxy answers", lines=True
    )
    for number, row in enumerate(rows, 1):
        wrong = row.sample.reason is not None or row.sample.warning is not None
        table.add_row(
            Text.assemble((f"{number}. {row.sample.title}", "bold"), "\n", _sent(row.request)),
            _answer(row.alone, "yellow" if wrong and row.alone.ok else "", silent=wrong),
            _answer(row.proxied, "green" if row.as_expected else "red"),
        )
    console.print(table)
    console.print("... stands for the end of a refusal: the signature that the model accepts.")


def _sent(request: Any) -> str:
    spec = request.model_spec
    version_asked = f":{spec.version.value}" if spec.HasField("version") else ""
    signature = f", signature {spec.signature_name}" if spec.signature_name else ""
    outputs = f", outputs {', '.join(request.output_filter)}" if request.output_filter else ""
    inputs = ", ".join(
        f"{alias}: {_typed(tensor) if tensor.dtype else 'no dtype ' + _shape(tensor)}"
        for alias, tensor in sorted(request.inputs.items())
    )
    return f"{spec.name}{version_asked}({inputs}){signature}{outputs}"


def _typed(tensor: Any) -> str:
    return f"{dtype_name(tensor.dtype)}{_shape(tensor)}"


def _shape(tensor: Any) -> str:
    return shape_text(tuple(dim.size for dim in tensor.tensor_shape.dim))


def _answer(answer: "Answer", style: str, *, silent: bool = False) -> Text:
    text = Text.assemble((answer.code, f"bold {style}"))
    if answer.reasons:
        text.append(f" {', '.join(answer.reasons)}")
    if answer.ok:
        text.append(" in silence" if silent else "", style)
        text.append(f"\n{_outputs(answer.outputs)}")
    else:
        first_line = (answer.text.splitlines() or ["(no text)"])[0]
        problems, accepts, _ = first_line.partition(_ACCEPTS)
        text.append(f"\n{escape(problems, _TEXT_SHOWN)}{' ...' if accepts else ''}")
    for warning in answer.warnings:
        text.append(f"\nwarning {warning}", "yellow")
    if answer.death:
        text.append(f"\nThe server is dead ({answer.death}); it was started again.", "bold red")
    return text


def _outputs(outputs: Any) -> str:
    """The output with the fewest values, and how many more there are."""
    count, alias, tensor = min((_count(tensor), alias, tensor) for alias, tensor in outputs.items())
    kind = DTYPES.get(tensor.dtype)
    values = getattr(tensor, kind.field)[:_VALUES_SHOWN] if kind else ()
    shown = ", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)
    more = ", ..." if count > len(values) else ""
    others = f"; {len(outputs) - 1} more outputs" if len(outputs) > 1 else ""
    return f"{alias} {_shape(tensor)} = {shown}{more}{others}"


def _count(tensor: Any) -> int:
    count = 1
    for dim in tensor.tensor_shape.dim:
        count *= dim.size
    return count


def _show_metrics(console: Console, rises: dict["Series", float]) -> None:
    summed: Counter[tuple[str, str]] = Counter()
    for (name, labels), rise in rises.items():
        kept = _SUMMED_BY.get(name)
        shown = [f"{label}={value}" for label, value in labels if kept in (None, label)]
        summed[name, ", ".join(shown)] += int(rise)
    console.print("\nThe proxy's metrics that moved:", style="bold")
    table = new_table(console, "metric", "labels", "rose by")
    table.columns[2].justify = "right"
    for (name, shown_labels), rise in sorted(summed.items()):
        table.add_row(name, shown_labels, str(rise))
    console.print(table)


def _show_summary(console: Console, rows: Sequence["Compared"], seconds: float) -> None:
    wrong = [row for row in rows if row.sample.reason is not None]
    doubtful = [row for row in rows if row.sample.warning is not None]
    good = [row for row in rows if row not in wrong and row not in doubtful]
    silent, refused = sum(row.alone.ok for row in wrong), sum(bool(row.proxied.reasons) for row in wrong)
    deaths, deaths_behind = (
        sum(bool(answer.death) for answer in answers)
        for answers in ([row.alone for row in rows], [row.proxied for row in rows])
    )
    alike = sum(row.proxied.ok and row.proxied.outputs == row.alone.outputs for row in good)
    warned = sum(row.proxied.ok and bool(row.proxied.warnings) for row in doubtful)
    console.print(
        f"\n{len(wrong)} wrong requests: alone, the server accepted {silent} without a word, died of {deaths} and "
        f"refused {len(wrong) - silent - deaths}; through the proxy {refused} were refused with a reason, and it "
        f"died of {deaths_behind}. {len(doubtful)} doubtful: {warned} forwarded with a warning. "
        f"{len(good)} good: {alike} answered alike on both ways. ({seconds:.0f} s in all)"
    )
    for number, row in enumerate(rows, 1):
        if not row.as_expected:
            wanted = row.sample.reason or row.sample.warning or "the server's own answer"
            console.print(f"Not as promised: request {number} should have met with {wanted}.", style="red")
