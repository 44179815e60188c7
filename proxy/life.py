"""The life of `serve` as its operator meets it: signals, the admin port, what the log says of start and end.

Law: knows neither what serves nor how many processes do.
"""

import asyncio
import gc
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from proxy.build_info import build
from proxy.config import Settings
from proxy.config.held import readable_by_all, tokens_in
from proxy.observe.admin.access import Certificate, context
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.status import Asks, Serving
from proxy.observe.admin.views import Sources
from proxy.observe.levels import level
from proxy.systemd import READY, STOPPING, notify

SERVING: Final = "serving"
CAPTURING: Final = "capturing"
"""Said at start, because what is recorded holds tensor values."""
DRAINING: Final = "draining"
STOPPED: Final = "stopped"
READABLE_BY_ALL: Final = "secret_readable_by_all"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


class StartError(Exception):
    """The proxy cannot start; the text is a sentence for a person, `code` the exit code of the command."""

    code = 2


class Addresses(NamedTuple):
    """Where the proxy listens, as HOST:PORT or, for gRPC, unix:PATH; port 0 has become a real one."""

    listen: str
    admin: str


class Ends:
    """`first` asks for an end, `second` for a quick one; `again` that the settings be read anew; `drains`: whoever sends
    calls has to notice before the end begins.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.again = asyncio.Event()
        self.drains = True


class Signals(Ends):
    """The first SIGTERM or SIGINT asks for an end, the second for a quick one, the third gets it. SIGHUP asks for the
    settings to be read anew.

    SIGINT comes from a person at a terminal, before whose proxy there is no balancer: nobody has to notice first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._received, number)
        self._loop.add_signal_handler(signal.SIGHUP, self.again.set)

    def _received(self, number: int) -> None:
        if not self.first.is_set():
            self.drains = number != signal.SIGINT
            self.first.set()
            return
        self.second.set()
        self._loop.remove_signal_handler(number)


def admin_port(settings: Settings, registry: CollectorRegistry, sources: Sources) -> AdminServer:
    """The admin port that the settings ask for. Raises ValueError where their files cannot be used."""
    certificate = None
    if settings.admin_cert is not None and settings.admin_key is not None:
        certificate = Certificate(settings.admin_cert, settings.admin_key)
    host, _, port = settings.admin_listen.rpartition(":")
    return AdminServer(
        registry,
        sources,
        version=str(build()),
        host=host.strip("[]"),
        port=int(port),
        names=settings.admin_host,
        tokens=tokens_in(settings.admin_tokens),
        certificate=certificate,
    )


def serving_as(settings: Settings, listen: str) -> Serving:
    """What the admin port says that was started; `listen` is the address as bound."""
    return Serving(
        settings.edge,
        listen,
        settings.upstream,
        build().hot_path,
        build().version,
        log_level=level,
        asks=Asks(
            settings.listen_cert, settings.listen_client_ca is not None, settings.client_tokens is not None
        ),
    )


def admin_renewal(settings: Settings, admin: AdminServer) -> Callable[[], None]:
    """What has the admin port do as these settings say, once all else that they need is there too. Raises ValueError."""
    tokens, made = tokens_in(settings.admin_tokens), None
    if settings.admin_cert is not None and settings.admin_key is not None:
        made = context(settings.admin_cert, settings.admin_key)
    return partial(admin.adopt, settings.admin_host, tokens, made)


def tell_readable_by_all(settings: Settings) -> None:
    """Warn of secrets that are none on this machine."""
    for path in readable_by_all(settings):
        _log.warning(READABLE_BY_ALL, path=str(path))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop: uvloop where it is installed; grpc.aio and aiohttp run on either."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def collect_from_here() -> None:
    """Let the garbage collector run, which a start is spared, and never look through what has been loaded by then."""
    gc.collect()
    gc.freeze()
    gc.enable()


def tell_serving(settings: Settings, addresses: Addresses, *, captures: bool, **more: Any) -> None:
    """The line that says where and what for; `more` are fields of it. Systemd is told too."""
    _log.info(
        SERVING,
        listen=addresses.listen,
        admin=addresses.admin,
        upstream=settings.upstream,
        mode=settings.mode.value,
        version=build().version,
        hot_path=build().hot_path,
        **more,
    )
    if captures:
        _log.warning(CAPTURING, share=settings.capture_sample, models=settings.capture_model or "all")
    tell_readable_by_all(settings)
    notify(READY)


def drain_seconds(settings: Settings, ends: Ends) -> float:
    """How long to be unready and serve on, as it was asked to end."""
    return settings.drain_seconds if ends.drains else 0.0


def tell_draining(settings: Settings, ends: Ends) -> None:
    _log.info(DRAINING, drain_seconds=drain_seconds(settings, ends), grace_seconds=settings.grace_seconds)
    notify(STOPPING)


def tell_stopped() -> None:
    _log.info(STOPPED)
