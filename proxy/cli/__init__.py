"""The command line: one file per command, imported only when the command is used.

Law: this file knows names and one sentence of every command, so that `--help` costs no more than click. What ends
any command is told here: an error in words that steer no terminal, Ctrl-C with exit code 130.
"""

import importlib
import io
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from proxy.core.explain import closest, printable

# grpc's core writes lines of its own, which say nothing that the commands do not say better.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


class Lazy(NamedTuple):
    """Where a command lives (`module:attribute`) and what the list of commands says of it."""

    target: str
    summary: str


COMMANDS: Mapping[str, Lazy] = {
    "serve": Lazy("proxy.cli.serve:serve", "Run the proxy in front of a tensorflow_model_server."),
    "top": Lazy("proxy.cli.top:top", "Show how a running proxy stands and what goes wrong, as it changes."),
    "demo": Lazy(
        "proxy.cli.demo:demo", "Show on real models what the proxy answers, and what the server alone does."
    ),
    "doctor": Lazy("proxy.cli.doctor:doctor", "Find out why TensorFlow Serving does not respond."),
    "models": Lazy("proxy.cli.models:models", "Show the versions of models, their states and errors."),
    "describe": Lazy("proxy.cli.describe:describe", "Show the signatures of a model."),
    "example": Lazy("proxy.cli.example:example", "Print client code for a signature, ready to run."),
    "check": Lazy("proxy.cli.check:check", "Judge requests from files, without sending them."),
    "capture": Lazy("proxy.cli.capture:capture", "Record live requests for a model as a warm-up file."),
    "replay": Lazy(
        "proxy.cli.replay:replay_command", "Send recorded requests again and compare the answers."
    ),
    "learn": Lazy("proxy.cli.learn:learn", "Propose a policy from recorded requests."),
    "lint": Lazy("proxy.cli.lint:lint", "Find faults in configurations and SavedModels, offline."),
    "explain": Lazy("proxy.cli.explain:explain", "Say what a reason or a failure's number means."),
    "config": Lazy("proxy.cli.config:config", "Print the effective settings and where each comes from."),
    "dev-server": Lazy(
        "proxy.cli.dev_server:dev_server",
        "Serve SavedModels with the real TensorFlow, for development and tests.",
    ),
}
"""In the order in which the help lists them."""


_INTERRUPTED = 130
"""128 + SIGINT, as shells say it."""


def _hold_standard_streams() -> None:
    """Where a standard stream was closed before the start, nobody else gets its number.

    libuv ends the process where it should close one of the first three: a socket must never be one of them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one. Workers get it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        _hold_standard_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is shown as an escape, as on standard error.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            lines = error.message.split("\n")
            error.message = "\n".join(map(printable, lines))  # type: ignore[misc]  # nobody else has seen it
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = closest(args[0], COMMANDS)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from proxy.build_info import build

    click.echo(f"tfs-proxy {build()}")
    ctx.exit()


@click.group(
    "tfs-proxy",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command explains itself, and its exit codes: tfs-proxy COMMAND --help. "
    "All end with 130 when they are interrupted (Ctrl-C), but for serve, capture and dev-server, which then stop.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version, and whether the hot path is compiled, and exit.",
)
def main() -> None:
    """Say what is wrong with a request before TensorFlow Serving stays silent about it.

    tfs-proxy stands between gRPC clients and tensorflow_model_server. It checks every PredictRequest
    against the live signature, refuses what does not match in words that say what was expected, what came
    and how to mend it, and passes everything else through untouched.

    See it work: tfs-proxy demo. Use it: tfs-proxy serve --upstream localhost:8500, and let clients call
    port 8600 instead. When nothing answers: tfs-proxy doctor.
    """
