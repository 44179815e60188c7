"""`tfs-proxy describe`: the signatures of a servable, as the proxy judges by them.

Law: shows what the server or the SavedModel says, in the words that refusals use.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from proxy.cli.asking import UPSTREAM_SETTINGS
from proxy.cli.servables import names_servable, servable_from_path, servable_from_server
from proxy.cli.settings import CONTEXT, NAME, effective, takes
from proxy.cli.tables import open_console, say, show_table
from proxy.core.components import described, families
from proxy.core.types import ModelKey, Servable, Signature, TensorSpec, dtype_name, shape_text

_EPILOG = """\
\b
Exit code: 0 shown, 1 the server has no such model or version,
2 neither a server nor a SavedModel could be read.

\b
Examples:
  tfs-proxy describe detector
  tfs-proxy describe detector --version 3 --upstream tfs.example:8500
  tfs-proxy describe --path /models/detector/3 --json
"""


@click.command("describe", context_settings=CONTEXT, epilog=_EPILOG)
@click.argument("model", required=False, type=NAME, metavar="[MODEL]")
@names_servable
@takes(*UPSTREAM_SETTINGS)
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON instead of tables."
)
def describe(
    model: str | None, version: int | None, label: str | None, path: Path | None, as_json: bool, **_: object
) -> None:
    """Show the signatures of MODEL: what a request must hold and what an answer will.

    Input and output aliases are the names to use in a request. The graph name is TensorFlow's own for the
    same tensor: it helps to read errors from inside the graph and is never used in a request.
    """
    if version is not None and label is not None:
        raise click.UsageError("--version and --label both say which version: give one of them")
    settings = effective().settings
    if path is not None:
        servable = servable_from_path(path, model)
    else:
        servable = servable_from_server(settings, ModelKey(model or "", version, label))
    if as_json:
        click.echo(json.dumps(_as_json(servable), indent=2))
    else:
        _show(servable, str(path) if path else settings.upstream)


def _show(servable: Servable, where: str) -> None:
    console = open_console()
    say(console, f"{servable.model} version {servable.version} at {where}")
    if not servable.signatures:
        say(console, "It has no signatures: nothing can be asked of it.")
    for name, signature in sorted(servable.signatures.items()):
        console.print()
        say(console, f"{name}  {signature.method or '(no method name)'}", "bold")
        rows = [
            (
                way,
                spec.alias + (" (optional)" if way == "input" and spec.alias in signature.defaults else ""),
                dtype_name(spec.dtype),
                shape_text(spec.shape),
                spec.graph_name or "none: a sparse or composite tensor",
            )
            for way, specs in (("input", signature.inputs), ("output", signature.outputs))
            for spec in _ordered(specs)
        ]
        show_table(console, ("", "alias", "dtype", "shape", "graph name"), rows)
        for family in families(signature.inputs):
            say(console, described(family))


def _ordered(specs: Mapping[str, TensorSpec]) -> list[TensorSpec]:
    return [specs[alias] for alias in sorted(specs)]


def _as_json(servable: Servable) -> dict[str, Any]:
    return {
        "model": servable.model,
        "version": servable.version,
        "signatures": {
            name: _signature_as_json(signature) for name, signature in sorted(servable.signatures.items())
        },
    }


def _signature_as_json(signature: Signature) -> dict[str, Any]:
    """Shapes are lists with -1 for any size, null for any rank, as at /api/models."""

    def tensors(specs: Mapping[str, TensorSpec]) -> dict[str, dict[str, Any]]:
        return {
            spec.alias: {
                "dtype": dtype_name(spec.dtype),
                "shape": None if spec.shape is None else list(spec.shape),
                "graph_name": spec.graph_name,
            }
            for spec in _ordered(specs)
        }

    inputs = tensors(signature.inputs)
    for alias, about in inputs.items():
        about["optional"] = alias in signature.defaults
    return {"method": signature.method, "inputs": inputs, "outputs": tensors(signature.outputs)}
