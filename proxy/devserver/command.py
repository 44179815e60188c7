"""The command `dev-server`: flags to a running server.

Law: it parses, starts, says when it is ready and stops; the runtime is loaded only once the flags are right.
The life of the process: check the flags → load the models → open the port → `dev server ready on HOST:PORT`
on stdout → SIGTERM or SIGINT → exit 0.
"""

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.devserver.protos import model_server_config_pb2


class _Model(click.ParamType[tuple[str, Path]]):
    name = "NAME=PATH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        name, separator, path = str(value).partition("=")
        if not (name and separator and path):
            self.fail(
                f"{value!r} is not NAME=PATH, for example --model detector=/models/detector", param, ctx
            )
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8 text, as TensorFlow Serving wants names and paths", param, ctx)
        if not Path(path).is_dir():
            self.fail(
                f"{path!r} is not a directory; it must hold one directory per version, such as {path}/1",
                param,
                ctx,
            )
        return name, Path(path).resolve()


class _Address(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        host, separator, port = str(value).rpartition(":")
        if not (host and separator and port.isdecimal() and int(port) < 65536):
            self.fail(f"{value!r} is not HOST:PORT, for example 127.0.0.1:8500", param, ctx)
        return host, int(port)


_EPILOG = """\
\b
Examples:
  tfs-proxy dev-server --model detector=/models/detector
  tfs-proxy dev-server --model a=/models/a --model b=/models/b --listen 127.0.0.1:0
  tfs-proxy dev-server --model-config-file models.config
"""


@click.command("dev-server", epilog=_EPILOG)
@click.option(
    "--model",
    "models",
    type=_Model(),
    multiple=True,
    help="Serve the newest version under PATH (PATH/1, PATH/2, …) as NAME. Repeatable.",
)
@click.option(
    "--model-config-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A ModelServerConfig in text format, as for tensorflow_model_server: version policies and labels.",
)
@click.option(
    "--listen",
    type=_Address(),
    default="127.0.0.1:8500",
    show_default=True,
    help="Where to answer gRPC; port 0 takes a free one.",
)
@click.option(
    "--poll-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How often to look for new and vanished version directories.",
)
@click.option(
    "--max-threads",
    type=click.IntRange(min=2),
    help="Refuse calls beyond N-1 at a time with RESOURCE_EXHAUSTED, as tensorflow_model_server does with "
    "--grpc_max_threads. Without it calls queue.",
)
def dev_server(
    models: tuple[tuple[str, Path], ...],
    model_config_file: Path | None,
    listen: tuple[str, int],
    poll_seconds: float,
    max_threads: int | None,
) -> None:
    """Serve SavedModels with the real TensorFlow, as tensorflow_model_server would.

    Speaks PredictionService and ModelService of TensorFlow Serving with the same checks, texts and silences,
    and with the same crashes: it is for development, demonstration and tests, never for production.

    The port opens once every model is loaded or has failed; a model that fails does not end the server, its
    error is in GetModelStatus. A new version directory is picked up while serving.
    """
    if not models and model_config_file is None:
        raise click.UsageError("nothing to serve: give --model NAME=PATH or --model-config-file FILE")
    try:
        configs = _configs(models, model_config_file)
    except ModuleNotFoundError as error:
        raise click.UsageError(str(error)) from error
    _check_free(*listen)
    _end_on_signal()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    # TensorFlow's library is loaded by these imports, which --help and a wrong flag need not wait for.
    try:
        from proxy.devserver.repository import Repository
        from proxy.devserver.runtime import TensorFlowError
        from proxy.devserver.server import serve
    except ModuleNotFoundError as error:
        raise click.UsageError(str(error)) from error

    repository = Repository(poll_seconds)
    try:
        repository.configure(configs, at_start=True)
    except TensorFlowError as error:
        raise click.UsageError(error.message) from error
    repository.start()
    repository.wait_until_settled()
    host, _ = listen
    try:
        _server, port = serve(repository, "{}:{}".format(*listen), max_threads)
    except RuntimeError as error:
        raise click.UsageError(f"cannot listen on {host}: {error}") from error
    click.echo(f"dev server ready on {host}:{port}")
    threading.Event().wait()


def _end_on_signal() -> None:
    """End with 0 on SIGTERM and SIGINT: at once and without draining, as the genuine server (section W2).

    A thread that waits for them, rather than a handler: those run in the main thread only, and a signal that
    comes just before it blocks would be noticed never.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def end() -> None:
        signal.sigwait(signals)
        os._exit(0)

    threading.Thread(target=end, name="signals", daemon=True).start()


def _check_free(host: str, port: int) -> None:
    """Fail now rather than after the models have loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as error:
        raise click.UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}; give another with --listen (0: any free one)"
        ) from error


def _configs(
    models: tuple[tuple[str, Path], ...], config_file: Path | None
) -> "model_server_config_pb2.ModelConfigList":
    from google.protobuf import text_format

    from proxy.devserver.protos import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    if config_file is not None:
        try:
            text_format.Parse(config_file.read_text(), config)
        except UnicodeDecodeError as error:
            raise click.UsageError(
                f"{config_file} is not a ModelServerConfig: it is not UTF-8 text"
            ) from error
        except text_format.ParseError as error:
            raise click.UsageError(
                f"{config_file} is not a ModelServerConfig in text format: {error}"
            ) from error
        if config.WhichOneof("config") != "model_config_list":
            raise click.UsageError(f"{config_file} must hold a model_config_list")
    for name, path in models:
        config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    return config.model_config_list
