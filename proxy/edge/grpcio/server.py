"""The grpcio edge: a grpc.aio server whose interceptors are the steps and whose one handler is the relay.

Law: puts together and binds; every decision is in steps.py, every byte in relay.py. It is the reference for
the native edge: simple and complete.

What the core offers against clients that take too much is set here. What it does not: a time for an unfinished
message or header block, a bound on connections, and on octets that have not become a message. Fields of metadata
are counted once the core has read them.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import grpc
import structlog

from proxy.edge.access import Access
from proxy.edge.adaptive import adaptive_of
from proxy.edge.admission import UNLIMITED, Limits
from proxy.edge.explainer import Explainer
from proxy.edge.grpcio.accounts import Accounts
from proxy.edge.grpcio.credentials import Configuration, ListenCredentials
from proxy.edge.grpcio.relay import Relay
from proxy.edge.grpcio.steps import (
    Admission,
    Asked,
    Certificates,
    Deadline,
    MethodPolicy,
    Outcomes,
    SignatureCheck,
    VersionSeen,
)
from proxy.edge.interface import AddressInUseError, Usage
from proxy.edge.listening import ALONE, Place, bind, path_of
from proxy.edge.load import Load
from proxy.edge.local import Handlers
from proxy.edge.methods import allowed_of
from proxy.edge.model_calls import adopted, model_calls_of
from proxy.edge.rates import rates_of
from proxy.gate import Judge
from proxy.observe.log import RateLimit
from proxy.observe.outcome import Observer, Tracer
from proxy.upstream.channel import ChannelWay

_ANY_NUMBER: Final = 2**31 - 1
_RETRY_SECONDS: Final = 0.02
"""Between two attempts to have the address again that a broken server lets go of."""
_REMOVED_WITHIN: Final = 50
"""As many of these."""

_MOST_BROKEN: Final = 8
"""Servers that end in their time, beyond which the oldest ends now: a client may hold a call at each."""
_LINES_A_SECOND: Final = 20

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("tfs-proxy")


class GrpcioEdge:
    """Binds on construction, so that a port that is taken shows before anything is ready.

    `address` is HOST:PORT (port 0: any free one), had as `place` says, or unix:PATH: a socket that is open already
    the core does not take. `local` are the methods answered here.
    `version_seen` is as in SignatureCheck. Without an `explainer` errors stay as the server made them. Raises
    AddressInUseError.
    """

    def __init__(
        self,
        address: str,
        *,
        gate: Judge,
        way: ChannelWay,
        observer: Observer,
        version_seen: VersionSeen,
        local: Handlers,
        limits: Limits,
        place: Place = ALONE,
        explainer: Explainer | None = None,
        credentials: ListenCredentials | None = None,
        bound_hit: Callable[[str], None] = lambda _: None,
        access: Access | None = None,
        tells_all: bool = False,
        tracer: Tracer | None = None,
    ) -> None:
        self._asked = Asked(access)
        self._deadline = Deadline(limits, local)
        self._credentials = credentials
        self._load = load = Load(limits, bound_hit)
        self._adaptive = adaptive_of(limits, load.most_calls)
        accounts = Accounts(load)
        self._outcomes = Outcomes(
            observer, local, load, explainer, self._asked, tells_all=tells_all, tracer=tracer
        )
        self._methods = MethodPolicy(gate, local, allowed_of(limits.methods))
        self._check = SignatureCheck(
            gate, way, version_seen, load, explainer, limits.hold_seconds, model_calls_of(limits)
        )
        self._make = partial(
            grpc.aio.server,
            interceptors=(
                self._outcomes,
                Certificates(self._asked, local),
                self._methods,
                self._deadline,
                Admission(load, accounts, local, rates_of(limits)),
                self._check,
            ),
            handlers=(
                Relay(way, load, accounts.bounded(local), explainer, limits.hold_seconds, self._adaptive),
            ),
            options=_options(limits, shared=place.shared),
        )
        self._server = self._make()
        self._grace = limits.age_grace
        # Oldest first.
        self._broken: dict[grpc.aio.Server, None] = {}
        self._lines = RateLimit(_LINES_A_SECOND, time.monotonic)
        self._ending: set[asyncio.Task[None]] = set()
        self._standing: asyncio.Task[None] | None = None
        path = path_of(address)
        if path is not None:
            # The core takes the path from whoever listens there.
            bind(address)[0].close()
        try:
            port = self._listen(address)
        except RuntimeError as error:
            # The system's reason, which grpc only logs.
            bind(address, shared=place.shared)[0].close()
            raise AddressInUseError(f"cannot listen on {address}: the address is not available") from error
        self._address = address if path is not None else f"{address.rpartition(':')[0]}:{port}"

    @property
    def address(self) -> str:
        return self._address

    async def start(self) -> None:
        ended = await _started(self._server)
        self._standing = asyncio.create_task(self._stand(ended), name="listening")

    def _listen(self, address: str) -> int:
        """The port; RuntimeError: the address cannot be had."""
        if self._credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._credentials.ours)

    async def _stand(self, ended: Awaitable[object]) -> None:
        """Listen again whenever the server has ended by itself.

        grpc.aio decodes a call's path outside of the call, and ends the whole server where a client's is no UTF-8. Calls
        that are under way at the broken one go on.
        """
        while True:
            await asyncio.wait([asyncio.ensure_future(ended)])
            self._leave(self._server)
            self._server = self._make()
            path = path_of(self._address)
            # The core removes the path of a server that ends, in its time, whoever listens there by then.
            for _ in range(_REMOVED_WITHIN):
                if path is None or not os.path.lexists(path):  # noqa: ASYNC240
                    break
                await asyncio.sleep(_RETRY_SECONDS)
            while True:
                with suppress(RuntimeError):
                    self._listen(self._address)
                    break
                await asyncio.sleep(_RETRY_SECONDS)
            ended = await _started(self._server)
            suppressed = self._lines.admit("listening_again", "")
            if suppressed is not None:
                more = {"suppressed": suppressed} if suppressed else {}
                _log.warning("listening_again", listen=self._address, **more)

    def adopt(
        self, limits: Limits, access: Access | None, tls: Configuration | None, *, tells_all: bool
    ) -> None:
        """Take other limits, ask other things of clients, and meet new ones with another certificate, from now on."""
        self._load.adopt(limits)
        if self._adaptive is not None:
            self._adaptive.adopt(self._load.most_calls)
        self._deadline.default = limits.default_deadline
        self._asked.access = access
        self._methods.allowed = allowed_of(limits.methods)
        self._check.models = adopted(self._check.models, limits)
        self._outcomes.adopt(tells_all=tells_all)
        if self._credentials is not None and tls is not None:
            self._credentials.renew(tls)

    def usage(self) -> Usage:
        load = self._load
        # The core does not tell of connections that have no call.
        adaptive = self._adaptive
        return Usage(
            *(load.connections, UNLIMITED, load.bytes, load.most_bytes, load.calls),
            *((-1, -1) if adaptive is None else (adaptive.calls, adaptive.limit)),
        )

    def let_go(self) -> None:
        """Messages are the core's, which keeps none."""

    def _leave(self, broken: grpc.aio.Server) -> None:
        """Let calls under way end, in their time."""
        self._broken[broken] = None
        self._end(broken, self._grace)
        if len(self._broken) > _MOST_BROKEN:
            oldest = next(iter(self._broken))
            del self._broken[oldest]
            self._end(oldest, None)

    def _end(self, broken: grpc.aio.Server, grace: float | None) -> None:
        ending = asyncio.create_task(broken.stop(grace), name="leaving")
        ending.add_done_callback(lambda _: self._broken.pop(broken, None))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def stop(self, grace: float) -> None:
        if self._standing is not None:
            self._standing.cancel()
            await asyncio.wait([self._standing])
        await asyncio.gather(*(each.stop(grace) for each in (self._server, *self._broken)))


async def _started(server: grpc.aio.Server) -> Awaitable[object]:
    """Start it, and return what is done when it takes no calls any more."""
    before = asyncio.all_tasks()
    await server.start()
    for task in asyncio.all_tasks() - before:
        if getattr(task.get_coro(), "__qualname__", "") == "AioServer._server_main_loop":
            return task
    # Told only once the last call at it is over.
    return server.wait_for_termination()


_STREAMS = 1024
_METADATA_BYTES = 64 << 10
_HANDSHAKE_MS = 10_000
"""As on the native edge."""


def _options(limits: Limits, *, shared: bool) -> tuple[tuple[str, int], ...]:
    # gRPC's core holds a message to this before it decompresses it, and to nothing afterwards: on this edge a megabyte of
    # gzip becomes a gigabyte before anyone can look (measured: 3.3 GiB, 12 s). What the native edge does cannot be
    # done here; the core's only other choice is to refuse all that is compressed.
    # Above our own limit, whose refusal says what to do, the core still cuts off what must not even be read.
    ceiling = UNLIMITED if limits.max_message_bytes == UNLIMITED else 2 * limits.max_message_bytes
    age = limits.max_connection_age
    # The core spreads it by a tenth by itself.
    ages = () if age is None else (("age", age), ("age_grace", limits.age_grace))
    return (
        *((f"grpc.max_connection_{name}_ms", int(seconds * 1000)) for name, seconds in ages),
        ("grpc.so_reuseport", int(shared)),
        ("grpc.max_connection_idle_ms", int(limits.idle_seconds * 1000)),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * _METADATA_BYTES),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_receive_message_length", ceiling),
        ("grpc.max_send_message_length", UNLIMITED),
        # Beyond 1000 calls that Python has not taken yet, grpc's core cancels some by lot (its random early
        # detection), whosever they are: a flood on one connection would end the calls of all others.
        ("grpc.server.max_pending_requests", _ANY_NUMBER),
        ("grpc.server.max_pending_requests_hard_limit", _ANY_NUMBER),
    )
