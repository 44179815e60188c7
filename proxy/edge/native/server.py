"""
The native edge: binds, serves the local services, and stops in order.

Law: puts together; every decision is in `call` and what it is made of, every octet in `shell` and `http2`. Health and
reflection stay grpc.aio handlers behind a Unix socket, reached like any other server.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, final

import grpc

from proxy.edge.access import Access
from proxy.edge.admission import Limits
from proxy.edge.descriptors import connections_allowed
from proxy.edge.explainer import Explainer
from proxy.edge.interface import Usage
from proxy.edge.listening import ALONE, Place, bind, path_of
from proxy.edge.local import Answering, Handlers
from proxy.edge.native.accepting import Door
from proxy.edge.native.clients import Clients
from proxy.edge.native.http2.limits import Limits as Http2Limits
from proxy.edge.native.patience import Patience
from proxy.edge.native.plane import Plane
from proxy.edge.native.pool import Pool
from proxy.edge.native.pool_options import MANY_CLIENTS, PoolOptions
from proxy.edge.private_folder import PrivateFolder
from proxy.gate import Judge
from proxy.observe.outcome import Observer, Tracer

_LOCAL = PoolOptions(limits=replace(MANY_CLIENTS, pace_resets=False))


@final
class NativeEdge:
    """
    Binds on construction, so that a port that is taken shows before anything is ready.

    `address` is HOST:PORT (port 0: any free one) or unix:PATH, had as `place` says. `pool` holds the connections to the server, and is
    started and stopped by whoever made it. `tls` is a context with ALPN `h2`. The rest is as for the grpcio edge.
    `answers` are methods that are answered here and at once. `bound_hit` is told the name of a bound that a client
    ran into. `tells_all`: somebody hears of every call, who it is and whose. Raises AddressInUseError.
    """

    def __init__(
        self,
        address: str,
        *,
        gate: Judge,
        pool: Pool,
        observer: Observer,
        version_seen: Callable[[str, int, str | None], None],
        local: Handlers,
        limits: Limits,
        place: Place = ALONE,
        explainer: Explainer | None = None,
        tls: ssl.SSLContext | None = None,
        http2_limits: Http2Limits | None = None,
        answers: Mapping[str, Answering] | None = None,
        bound_hit: Callable[[str], None] = lambda _: None,
        access: Access | None = None,
        tells_all: bool = False,
        tracer: Tracer | None = None,
    ) -> None:
        if place.sock is None:
            self._socket, self._address = bind(address, shared=place.shared)
            self._path = path_of(address)
        else:
            self._socket, self._address, self._path = place.sock, address, None
        self._tls = tls
        self._pool = pool
        exchange = pool.exchange
        self._local = _Local(local) if local else None
        self._local_pool = None if self._local is None else Pool(self._local.target, exchange, options=_LOCAL)
        self._plane = Plane(
            exchange,
            gate=gate,
            observer=observer,
            limits=limits,
            version_seen=version_seen,
            pool=self._pool,
            local_pool=self._local_pool,
            local_methods=local,
            explainer=explainer,
            answers=answers or {},
            bound_hit=bound_hit,
            access=access,
            tells_all=tells_all,
            tracer=tracer,
        )
        self._limits = limits
        self._clients = Clients(self._plane, http2_limits or Http2Limits(), 0)
        self._patience = Patience(self._clients, limits)
        self._plane.load.make_room = self._patience.make_room
        self._door: Door | None = None
        self._stopped = False

    @property
    def address(self) -> str:
        return self._address

    async def start(self) -> None:
        if self._local is not None and self._local_pool is not None:
            await self._local.start()
            await self._local_pool.start()
        self._clients.max_connections = connections_allowed(self._limits.max_connections)
        self._patience.start()
        self._door = Door(self._socket, self._clients, self._tls)
        self._door.open()

    def adopt(
        self, limits: Limits, access: Access | None, tls: ssl.SSLContext | None, *, tells_all: bool
    ) -> None:
        """Take other limits, ask other things of clients, and meet new ones with another certificate, from now on."""
        self._limits = limits
        self._plane.adopt(limits, access, tells_all)
        self._patience.adopt(limits)
        self._tls = tls
        if self._door is not None:
            self._clients.max_connections = connections_allowed(limits.max_connections)
            self._door.secure(tls)

    def usage(self) -> Usage:
        load, adaptive = self._plane.load, self._plane.adaptive
        return Usage(
            *(len(self._clients.shells), self._clients.max_connections),
            *(load.bytes, load.most_bytes, load.calls),
            *((-1, -1) if adaptive is None else (adaptive.calls, adaptive.limit)),
        )

    def let_go(self) -> None:
        self._plane.exchange.slabs.let_go()

    async def stop(self, grace: float) -> None:
        if self._path is not None:
            # Before it closes: afterwards the path may be another process's.
            self._path.unlink(missing_ok=True)
            self._path = None
        if self._door is None:
            self._socket.close()
        else:
            self._door.close()
        await self._clients.drain(grace)
        if self._stopped:
            return
        self._stopped = True
        if self._local is not None and self._local_pool is not None:
            await self._local_pool.stop()
            await self._local.stop()
        self._patience.stop()
        self._plane.deadlines.stop()
        self._plane.tell_ended()


@final
class _Local(grpc.GenericRpcHandler):
    """A grpc.aio server on a socket that nobody else can open."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._folder = PrivateFolder()
        self.target = f"unix:{self._folder.path / 'local.sock'}"
        self._server: grpc.aio.Server | None = None

    def service(self, details: Any) -> Any:
        return self._handlers.get(details.method)

    async def start(self) -> None:
        self._server = grpc.aio.server(handlers=(self,))
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
        self._folder.remove()
