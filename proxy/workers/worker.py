"""One worker: the process that `proxy.workers.process` starts, and in it the same Proxy as without workers.

Law: gives `proxy.app` its place, its part of the limits and the supervisor's orders instead of signals; its end is
its exit code. A SIGTERM that it gets itself drains it, and nothing more: a second one may be the same, sent to a whole
control group.
"""

import gc
import signal
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path

from proxy.capture.files import Turn
from proxy.config import Settings, SettingsError, read_file
from proxy.config.again import Effective, taken
from proxy.edge.listening import Place
from proxy.life import Addresses, Ends, StartError
from proxy.observe.log import configure
from proxy.workers.channel import Assignment, Orders, Report
from proxy.workers.parts import part_of

FAILED: int = 2


def main(descriptor: int) -> None:
    """Serve as the supervisor at the other end of this socket says."""
    # As proxy.cli.serve.
    gc.disable()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    orders = Orders(socket.socket(fileno=descriptor))
    try:
        undisturbed = _serve(orders)
    except (StartError, SettingsError) as error:
        orders.report(Report(failed=str(error)))
        sys.exit(FAILED)
    sys.exit(0 if undisturbed else 1)


def _serve(orders: Orders) -> bool:
    task = orders.assignment
    turn = Turn(task.number, task.of)
    # What one that is killed leaves behind goes with the supervisor's folder.
    tempfile.tempdir = str(Path(task.settings).parent)
    settings = _written(task)
    configure(settings.log_format, task.log_level, fields={"worker": task.number})
    from proxy.app import Station, run  # loads grpc, which the log should be ready for
    from proxy.workers.telling import Telling

    def announce(_: Addresses) -> None:
        orders.report(Report())

    station = Station(
        ends=partial(_ends, orders),
        place=_place(task.descriptor),
        turn=turn,
        admin=partial(Telling, Path(task.admin)),
        speaks=False,
        read=lambda running: taken(running, Effective(part_of(_written(task), turn), {})),
    )
    return run(Effective(part_of(settings, turn), {}), announce, station=station)


def _written(task: Assignment) -> Settings:
    return Settings(**{**read_file(Path(task.settings)), "listen": task.listen})


def _place(descriptor: int | None) -> Place:
    return Place(shared=True) if descriptor is None else Place(sock=socket.socket(fileno=descriptor))


def _ends(orders: Orders) -> Ends:
    import asyncio

    ends = orders.ends()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.first.set)
    return ends
