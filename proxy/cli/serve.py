"""`tfs-proxy serve`: settings to a running proxy.

Law: parses, starts, says where; what runs is app.py's business, which is imported once the flags are right.
"""

import gc
import socket
import sys
from dataclasses import replace

import click

from proxy.cli.settings import CONTEXT, SettingsCommand, effective_of_a_server, takes
from proxy.config import SettingsError
from proxy.config.again import Effective
from proxy.systemd import address_of, handed_over

_EPILOG = """\
\b
Examples:
  tfs-proxy serve                                  in front of localhost:8500, clients call port 8600
  tfs-proxy serve --upstream tfs:8500 --mode observe
                                                   refuse nothing yet, count what would be refused
  tfs-proxy serve --model detector --severity BATCH_EMPTY=refuse
  tfs-proxy serve --workers auto                   as many processes as there are CPUs, on one port
  tfs-proxy serve --config proxy.yaml              keys are those of `tfs-proxy config`

Every flag is also an environment variable: --default-deadline is TFS_PROXY_DEFAULT_DEADLINE; one that can be
repeated takes several values with spaces between them. A flag wins over the environment, that over the file,
that over the default; `tfs-proxy config` shows the result.

\b
Signals: SIGTERM drains and stops with exit code 0, SIGINT the same without --drain-seconds; a second one cuts calls
short (exit code 1). SIGHUP reads settings, certificates and tokens anew, as a change of their files does.
Exit code 2: wrong usage, or an address that cannot be had. 3: no worker of --workers can be started any more.
Systemd: a socket that it hands over (LISTEN_FDS) takes the place of --listen; it is told when calls are answered, and when no more.
"""


@click.command("serve", cls=SettingsCommand, context_settings=CONTEXT, epilog=_EPILOG)
@takes()
def serve(**_: object) -> None:
    """Run the proxy in front of a tensorflow_model_server.

    Point clients at --listen instead of the server. Good requests go through untouched; a request that does
    not match the live signature is refused with a status that says what was expected, what came and how to
    mend it. Health, reflection and every other method are on the same port.
    """
    # What is imported stays, and to look through it again and again was a tenth of the start (measured).
    gc.disable()
    try:
        _serve()
    finally:
        gc.enable()


def _serve() -> None:
    running = effective_of_a_server()
    from proxy.life import Addresses, StartError

    try:
        sock = handed_over()
        if sock is not None:
            running = _activated(running, sock)
    except (OSError, SettingsError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(StartError.code)

    settings = running.settings

    def announce(addresses: Addresses) -> None:
        if sys.stdout.isatty():
            click.echo(
                f"Point clients at {addresses.listen} instead of {settings.upstream}. "
                f"Page and metrics: http://{addresses.admin}/  Ctrl-C stops."
            )

    from proxy.workers.count import count_of

    count = count_of(settings)
    try:
        if count == 1:
            from proxy.app import Station, run  # loads grpc
            from proxy.edge.listening import Place

            undisturbed = run(running, announce, station=Station(place=Place(sock=sock)))
        else:
            from proxy.workers.supervisor import supervise

            undisturbed = supervise(running, count, announce, sock)
    except StartError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.code)
    if not undisturbed:
        sys.exit(1)


def _activated(running: Effective, sock: socket.socket) -> Effective:
    """The settings with the address of a socket that listens already. Raises SettingsError."""
    settings = running.settings
    if settings.edge != "native":
        raise SettingsError("a socket from systemd is taken by --edge native alone")
    return running._replace(
        settings=replace(settings, listen=address_of(sock)), origins={**running.origins, "listen": "systemd"}
    )
