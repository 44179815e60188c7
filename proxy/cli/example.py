"""`tfs-proxy example`: client code for a signature, ready to run.

Law: finds the signature, chooses the language, prints; what the code says is proxy/client_code's business.
"""

import importlib
import os
from pathlib import Path
from typing import Final

import click

from proxy.cli.asking import UPSTREAM_SETTINGS
from proxy.cli.servables import names_servable, servable_from_path, servable_from_server
from proxy.cli.settings import CONTEXT, NAME, effective, takes
from proxy.client_code.request import NoExampleError, example_request
from proxy.client_code.server import TOKEN_VARIABLE, Server
from proxy.config import Settings
from proxy.core.types import ModelKey

LANGUAGES: Final = ("python", "python-light", "grpcurl", "node", "go", "java")

_EPILOG = """\
\b
Languages:
  python         TensorFlow and tensorflow-serving-api
  python-light   grpcio and numpy only
  grpcurl        a shell script; wants reflection, which the proxy has and the server has not
  node           @grpc/grpc-js and protobufjs
  go             google.golang.org/grpc, no generated stubs
  java           grpc-java with stubs generated from TensorFlow Serving's .proto files

The code calls --upstream. Let it name the proxy and both the signature and the calls go through it.
What the proxy asks of its clients goes into the code: --upstream-tls or --upstream-ca where it answers
TLS, --upstream-cert and --upstream-key where it asks for certificates, a token where it asks for one
(--client-tokens). The token itself stays in the variable TFS_PROXY_TOKEN, from which the code takes it.

\b
Exit code: 0 printed, 1 no such model, version or signature, or none that Predict can run,
2 neither a server nor a SavedModel could be read.

\b
Examples:
  tfs-proxy example detector > client.py && python client.py
  tfs-proxy example detector --lang python-light --upstream localhost:8600
  TFS_PROXY_TOKEN=... tfs-proxy example detector --upstream proxy.example:8600 --upstream-ca ca.pem
  tfs-proxy example text --signature embed --lang go
  tfs-proxy example --path /models/detector/3
"""


@click.command("example", context_settings=CONTEXT, epilog=_EPILOG)
@click.argument("model", required=False, type=NAME, metavar="[MODEL]")
@click.option(
    "--signature",
    type=NAME,
    metavar="NAME",
    allow_from_autoenv=False,
    help="This signature instead of serving_default.",
)
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    default="python",
    show_default=True,
    allow_from_autoenv=False,
    help="Language of the client.",
)
@click.option(
    "--token/--no-token",
    default=None,
    allow_from_autoenv=False,
    help=f"Calls carry the bearer token in the variable {TOKEN_VARIABLE}.  [default: where it is set]",
)
@names_servable
@takes(*UPSTREAM_SETTINGS)
def example(
    model: str | None,
    signature: str | None,
    lang: str,
    token: bool | None,
    version: int | None,
    label: str | None,
    path: Path | None,
    **_: object,
) -> None:
    """Print client code that works against a signature of MODEL.

    The stub, the names, dtypes, shapes, a deadline and the message-size options are right; the values are
    zeros, grey pictures and "text"; row splits, indices and dense shapes agree with them. Sizes that the
    signature leaves open are filled in: one example, images of 224x224. Comments say what to change.
    """
    if version is not None and label is not None:
        raise click.UsageError("--version and --label both say which version: give one of them")
    settings = effective().settings
    key = ModelKey(model or "", version, label)
    if path is not None:
        servable = servable_from_path(path, model)
        key = key._replace(model=servable.model)
    else:
        servable = servable_from_server(settings, key)
    with_token = bool(os.environ.get(TOKEN_VARIABLE)) if token is None else token
    try:
        request = example_request(servable, key, signature, _server(settings, token=with_token))
    except NoExampleError as error:
        raise click.ClickException(str(error)) from error
    module = importlib.import_module(f"proxy.client_code.{lang.replace('-', '_')}")
    click.echo(module.render(request), nl=False)


def _server(settings: Settings, *, token: bool) -> Server:
    """What the code connects to: what the settings have this command connect to."""
    ca, certificate, key = (
        None if path is None else str(path)
        for path in (settings.upstream_ca, settings.upstream_cert, settings.upstream_key)
    )
    return Server(
        settings.upstream, settings.speaks_tls, ca, settings.upstream_server_name, certificate, key, token
    )
