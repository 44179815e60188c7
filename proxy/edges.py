"""Which edge carries the calls: its way to the server, how it is bound, and what the settings ask of it.

Law: the one place that knows both edges, and loads only the one that is asked for. Starts nothing.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from proxy.config import Settings
from proxy.config.held import tokens_in
from proxy.edge.access import Access
from proxy.edge.admission import Limits
from proxy.edge.explainer import Explainer
from proxy.edge.interface import Edge
from proxy.edge.listening import Place
from proxy.edge.local import Answering, Handlers
from proxy.gate import Judge
from proxy.observe.outcome import Observer, Tracer
from proxy.upstream.channel import ChannelWay, Tls, open_channel
from proxy.upstream.control import Way


@dataclass(frozen=True, slots=True)
class Parts:
    """What an edge is given, whichever it is; see `NativeEdge` and `GrpcioEdge`."""

    place: Place
    gate: Judge
    explainer: Explainer | None
    observer: Observer
    version_seen: Callable[[str, int, str | None], None]
    local: Handlers
    answers: Mapping[str, Answering]
    """Methods of `local` that can be answered at once."""
    bound_hit: Callable[[str], None]
    tracer: Tracer | None


class Carrier(Protocol):
    """One of the edges, before it is bound."""

    way: Way
    """How the server is reached, by calls and by questions about models."""

    def bind(self, settings: Settings, parts: Parts) -> Edge:
        """Open the port. Raises OSError or ValueError."""

    def listen_tls(self, settings: Settings) -> Any:
        """What new clients are met with, as the edge takes it. Raises ValueError."""

    def renewal(self, settings: Settings) -> Callable[[], None]:
        """What has new connections to the server use what the files hold now. Raises ValueError."""


def open_carrier(settings: Settings, upstream_changed: Callable[[bool], None]) -> Carrier:
    """The edge that the settings ask for. Raises ValueError or OSError."""
    return (_Native if settings.edge == "native" else _Grpcio)(settings, upstream_changed)


def adoption(edge: Edge, carrier: Carrier, settings: Settings, *, traced: bool) -> Callable[[], None]:
    """What has a running edge do as the settings say from now on. Raises ValueError where their files cannot be used."""
    return partial(
        edge.adopt,
        _limits(settings),
        _access(settings),
        carrier.listen_tls(settings),
        tells_all=settings.access_log or traced,
    )


class _Native:
    def __init__(self, settings: Settings, upstream_changed: Callable[[bool], None]) -> None:
        from proxy.edge.native.asking import PoolWay
        from proxy.edge.native.pool import Pool
        from proxy.edge.native.pool_options import PoolOptions
        from proxy.edge.native.shell import Exchange
        from proxy.edge.native.tls import client_context

        tls = upstream_tls(settings)
        self._pool = Pool(
            settings.upstream,
            Exchange(),
            tls=None if tls is None else client_context(tls),
            server_name=settings.upstream_server_name,
            options=PoolOptions(hold=settings.hold_seconds, eject_failures=settings.eject_failures),
            http_proxy=settings.use_http_proxy,
            on_change=upstream_changed,
        )
        self.way: Way = PoolWay(self._pool)

    def bind(self, settings: Settings, parts: Parts) -> Edge:
        from proxy.edge.native.server import NativeEdge

        return NativeEdge(
            settings.listen,
            place=parts.place,
            gate=parts.gate,
            explainer=parts.explainer,
            pool=self._pool,
            observer=parts.observer,
            version_seen=parts.version_seen,
            local=parts.local,
            limits=_limits(settings),
            tls=self.listen_tls(settings),
            access=_access(settings),
            answers=parts.answers,
            bound_hit=parts.bound_hit,
            tells_all=settings.access_log or parts.tracer is not None,
            tracer=parts.tracer,
        )

    def listen_tls(self, settings: Settings) -> ssl.SSLContext | None:
        from proxy.edge.native.tls import server_context

        if settings.listen_cert is None or settings.listen_key is None:
            return None
        return server_context(settings.listen_cert, settings.listen_key, settings.listen_client_ca)

    def renewal(self, settings: Settings) -> Callable[[], None]:
        from proxy.edge.native.tls import client_context

        tls = upstream_tls(settings)
        return partial(self._pool.secure, None if tls is None else client_context(tls))


class _Grpcio:
    def __init__(self, settings: Settings, upstream_changed: Callable[[bool], None]) -> None:
        channel = open_channel(settings.upstream, upstream_tls(settings), http_proxy=settings.use_http_proxy)
        self._way = ChannelWay(channel, upstream_changed)
        self.way: Way = self._way

    def bind(self, settings: Settings, parts: Parts) -> Edge:
        from proxy.edge.grpcio.credentials import ListenCredentials
        from proxy.edge.grpcio.server import GrpcioEdge

        tls = self.listen_tls(settings)
        demand = settings.listen_client_ca is not None
        return GrpcioEdge(
            settings.listen,
            place=parts.place,
            gate=parts.gate,
            explainer=parts.explainer,
            way=self._way,
            observer=parts.observer,
            version_seen=parts.version_seen,
            local=parts.local,
            limits=_limits(settings),
            credentials=None if tls is None else ListenCredentials(tls, demand=demand),
            access=_access(settings),
            bound_hit=parts.bound_hit,
            tells_all=settings.access_log or parts.tracer is not None,
            tracer=parts.tracer,
        )

    def listen_tls(self, settings: Settings) -> Any:
        from proxy.edge.grpcio.credentials import configuration

        if settings.listen_cert is None or settings.listen_key is None:
            return None
        return configuration(settings.listen_cert, settings.listen_key, settings.listen_client_ca)

    def renewal(self, settings: Settings) -> Callable[[], None]:  # noqa: ARG002
        # A channel of gRPC's has its credentials for good.
        return lambda: None


def upstream_tls(settings: Settings) -> Tls | None:
    """How the server is spoken to in TLS; None: it is not."""
    if not settings.speaks_tls:
        return None
    return Tls(
        settings.upstream_ca, settings.upstream_cert, settings.upstream_key, settings.upstream_server_name
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        default_deadline=settings.default_deadline,
        max_message_bytes=settings.max_message_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
        max_concurrent_calls=settings.max_concurrent_calls,
        max_connections=settings.max_connections,
        idle_seconds=settings.idle_seconds,
        stall_seconds=settings.stall_seconds,
        hold_seconds=settings.hold_seconds,
        max_connection_age=settings.max_connection_age,
        age_grace=settings.grace_seconds,
        client_rate=settings.client_rate,
        client_burst=settings.burst,
        adaptive=settings.adaptive,
        methods=settings.allow_method,
        max_model_calls=settings.max_model_calls,
        model_calls={
            name: own.max_calls for name, own in settings.models.items() if own.max_calls is not None
        },
    )


def _access(settings: Settings) -> Access | None:
    """What is asked of clients. Raises ValueError where their tokens cannot be read."""
    if settings.client_tokens is None and settings.listen_client_ca is None:
        return None
    return Access(settings.client_san, tokens_in(settings.client_tokens))
