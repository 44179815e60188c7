"""Channels to TF Serving: TLS, options, and whether the server is there.

Law: a channel adds nothing to the calls on it: no limit on messages, no retry of what a server has seen, no
forward proxy from the environment unless told.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from proxy.upstream.control import BackendState, ChannelControl, ControlError
from proxy.upstream.target import HIDDEN, parse_target

KEEPALIVE_SECONDS = 310
"""How long a connection with calls may be silent before it is pinged. Servers of gRPC's core answer pings more
frequent than 5 minutes with GOAWAY too_many_pings (grpc/doc/keepalive.md).
"""

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A status text of TF Serving may hold a whole signature; the default of 16 KiB turns it into another error.
    ("grpc.max_metadata_size", 1 << 20),
    # Setting it also bounds, with TCP_USER_TIMEOUT, how long a silent peer is believed.
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # The default backs off to two minutes: too long for a server that has just been restarted.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # The default is half a minute: too long where a name has got another address with the server's restart.
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)

_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


@dataclass(frozen=True, slots=True)
class Tls:
    """How to meet a server that speaks TLS. All are PEM files; `ca` None: the roots that gRPC ships with.

    `server_name` replaces the target's host as the name that the server's certificate must carry.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None


def open_channel(target: str, tls: Tls | None = None, *, http_proxy: bool = False) -> grpc.aio.Channel:
    """A channel to `target` (see `parse_target`), in plaintext unless `tls` is given.

    `http_proxy` obeys the `http_proxy` family of environment variables. Connects on first use. Raises
    ValueError for a bad target or an unusable certificate file.
    """
    target = parse_target(target).replace(f"://{HIDDEN}", "://", 1)
    options = [*_OPTIONS, ("grpc.enable_http_proxy", int(http_proxy))]
    if not target.startswith(("localhost:", "dns:///localhost:", "unix")):
        # All addresses behind a name take part; gRPC's default stays with the first that answers. On
        # localhost the second address is the same machine by IPv6, where often nobody listens.
        options.append(("grpc.service_config", _ROUND_ROBIN))
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(target, _credentials(tls), options=options)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if (tls.certificate is None) != (tls.key is None):
        raise ValueError("a TLS client certificate and its key go together: give both or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # gRPC reports an unusable file only in its own log, at the first connection.
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            # A password stops OpenSSL from asking at the terminal.
            context.load_cert_chain(tls.certificate, tls.key, password="")
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(each) for each in (tls.ca, tls.certificate, tls.key) if each is not None)
        raise ValueError(f"cannot use the TLS files {files}: {error.strerror or error}") from error
    return grpc.ssl_channel_credentials(
        *(None if path is None else path.read_bytes() for path in (tls.ca, tls.key, tls.certificate))
    )


_READY = grpc.ChannelConnectivity.READY
_FAILING = frozenset({grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN})


class ConnectivityWatch:
    """Keeps a channel connected and says when the server came or went.

    `on_change` is called on the event loop with True each time a connection stands after there was none, and with
    False once none can be had; other moments (idle, connecting) are told nobody. `up` is the last that was said,
    None until then.
    """

    def __init__(self, channel: grpc.aio.Channel, on_change: Callable[[bool], None]) -> None:
        self._channel = channel
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._seen: grpc.ChannelConnectivity | None = None
        self._changed = asyncio.Event()
        self.up: bool | None = None
        # How often a connection came to stand.
        self.arrivals = 0

    @property
    def ready(self) -> bool:
        """Whether a connection stands, and it is one that `on_change` was told of."""
        return self._seen is _READY and self._channel.get_state() is _READY

    @property
    def failing(self) -> bool:
        """Whether no connection can be had just now."""
        return self._seen in _FAILING and self._channel.get_state() in _FAILING

    async def settled(self, timeout: float | None) -> None:
        """Wait until `ready` or until no connection can be had just now, `timeout` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self.ready and not self.failing:
                    await self._changed.wait()

    async def stands(self, timeout: float) -> None:
        """Wait until `ready`, `timeout` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self.ready:
                    await self._changed.wait()

    async def start(self) -> None:
        """Begin to connect and to watch."""
        self._task = asyncio.create_task(self._watch(), name="upstream connectivity")

    async def stop(self) -> None:
        """Stop watching; the channel stays as it is. Call it before closing the channel."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            state = self._channel.get_state(try_to_connect=True)
            self._seen = state
            if state is _READY:
                self._tell(up=True)
            elif state in _FAILING and self.up is not False:
                self._tell(up=False)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                return
            await self._channel.wait_for_state_change(state)

    def _tell(self, *, up: bool) -> None:
        self.up = up
        self.arrivals += up
        self._on_change(up)


_HARMLESS = ("/tensorflow.serving.ModelService/GetModelStatus", b"")
_ASKING_SECONDS = 5.0


class ChannelWay(ChannelControl):
    """A channel as the one way to the server (see `control.Way`)."""

    def __init__(self, channel: grpc.aio.Channel, on_change: Callable[[bool], None]) -> None:
        super().__init__(channel)
        self.channel = channel
        self._watch = ConnectivityWatch(channel, on_change)

    @property
    def up(self) -> bool | None:
        return self._watch.up

    @property
    def arrivals(self) -> int:
        """As of ConnectivityWatch."""
        return self._watch.arrivals

    @property
    def ready(self) -> bool:
        """As of ConnectivityWatch."""
        return self._watch.ready

    def backends(self) -> tuple[BackendState, ...]:
        """None: the core does not tell of its connections."""
        return ()

    async def stands(self, timeout: float) -> None:
        """As of ConnectivityWatch."""
        await self._watch.stands(timeout)

    async def connected(self, timeout: float | None) -> str:
        """Wait `timeout` seconds at most until a connection stands; why none can be had, or ""."""
        await self._watch.settled(timeout)
        if self._watch.failing:
            # The core's own words, without giving it anything that it could send on to whoever comes up now.
            try:
                await self.ask(*_HARMLESS, _ASKING_SECONDS)
            except ControlError as error:
                if self._watch.failing:
                    return error.text or "there is no connection"
        return ""

    async def start(self) -> None:
        await self._watch.start()

    async def stop(self) -> None:
        await self._watch.stop()
        await self.channel.close()
