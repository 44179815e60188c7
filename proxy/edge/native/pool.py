"""
The connections to the server's addresses, and which of them takes the next call.

Law: knows addresses, connections and their limits; a call is only "someone who wants a stream". One task keeps
the pool as it should be: a connection to every address, one more where all are full, new ones after a loss or in
the place of what is worn out.
"""

import asyncio
import contextlib
import itertools
import random
import ssl
import time
from collections.abc import Callable
from typing import Final, final

from proxy.edge.native.backends import Backends
from proxy.edge.native.connecting import Dialler
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.pool_options import PoolOptions
from proxy.edge.native.queue import Held, Queue, Waiter
from proxy.edge.native.resolving import Resolver
from proxy.edge.native.rpc import UNAVAILABLE
from proxy.edge.native.shell import Exchange
from proxy.edge.native.upstream import UpstreamShell
from proxy.upstream.control import SERVING, UNREACHABLE, BackendState
from proxy.upstream.endpoints import Endpoint

_SHOWN_ADDRESSES: Final = 4
# Connections that take no more calls and still have some. With so many, worn ones stay in use.
_MAX_LEAVING: Final = 8


@final
class Pool:
    """
    Connections to one target.

    `target` is as `parse_target` returns it. `http_proxy` obeys the `http_proxy` family of environment variables.
    `on_change` is called with True when a connection stands to an address that had none or lost one, before it takes
    a call: what answers there may be another server than before; and with False once no connection can be had. `up`
    is the last that was said, None until then.
    Use: `start`, then `pick` for a connection, or `wait` when there is none at the moment; `stop` at the end.
    """

    def __init__(
        self,
        target: str,
        exchange: Exchange,
        *,
        options: PoolOptions | None = None,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        http_proxy: bool = False,
        on_change: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.exchange = exchange
        self.up: bool | None = None
        self.arrivals = 0
        """How often `on_change` was told of a connection."""
        self._on_change = on_change
        self.options = options or PoolOptions()
        self.target = target
        self._resolver = Resolver(target, self.options.max_addresses, http_proxy=http_proxy)
        first = self._resolver.first
        self._dialler = Dialler(tls, server_name or first.host or "localhost", self._resolver.tunnels)
        self.scheme = b"http" if tls is None else b"https"
        self.authority = b"localhost" if first.path else str(first).encode()
        self._shells: list[UpstreamShell] = []
        self._leaving: set[UpstreamShell] = set()
        # Addresses where a connection ended since the last one came to stand.
        self._lost: set[Endpoint] = set()
        self._turns = itertools.count()
        self._failing: str = ""
        self._waiting = Queue(self.options.hold, lambda: self._failing, exchange.flush)
        self._addresses: list[Endpoint] = []
        self.backends: Backends | None = None
        """How the servers are doing; None: there is only one."""
        self._told_at = time.time()
        self._resolved_at = 0.0
        self._errors: dict[object, str] = {}
        self._changed = asyncio.Event()
        self._more = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        calls = sum(len(shell.connection.streams) for shell in self._shells)
        up = len(self._shells)
        return f"<Pool {self.target}: {up} connections, {calls} calls, {len(self._waiting)} waiting>"

    async def start(self) -> None:
        """Begin to connect; calls may already wait."""
        self._task = asyncio.create_task(self._keep(), name=f"connections to {self.target}")

    async def stop(self) -> None:
        """Close every connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for shell in (*self._shells, *self._leaving):
            shell.close("the proxy is stopping")
        self._waiting.stop("the proxy is stopping")

    def secure(self, tls: ssl.SSLContext | None) -> None:
        """Meet the server with this context from the next connection on; those that stand go on."""
        self._dialler.secure(tls)

    def pick(self) -> Connection | None:
        """Return a connection that takes one more call, each in its turn; None when there is none."""
        shells = self._shells
        count = len(shells)
        if self._waiting or not count:
            return None
        if count == 1:
            connection = shells[0].connection
            return connection if connection.can_open() else None
        return self._next()

    def _next(self) -> Connection | None:
        """The next connection that takes a call; of servers that are not well only where all are like that."""
        shells, backends = self._shells, self.backends
        count = len(shells)
        if not count:
            return None
        turn = next(self._turns)
        if backends is not None and backends.out and any(backends.serves(each.address) for each in shells):
            return self._next_of_some(turn, backends)
        for step in range(count):
            connection = shells[(turn + step) % count].connection
            if connection.can_open():
                return connection
        return None

    def _next_of_some(self, turn: int, backends: Backends) -> Connection | None:
        """The same where some are left out, whose calls go to all others alike, and not to who stands behind them."""
        now = time.monotonic()
        serving: list[Connection] = []
        for shell in self._shells:
            if not shell.connection.can_open():
                continue
            if backends.serves(shell.address):
                serving.append(shell.connection)
            elif backends.takes(shell.address, now):
                return shell.connection
        return serving[turn % len(serving)] if serving else None

    def pick_first(self) -> Connection | None:
        """Return a connection for who need not queue, such as questions about the models that calls are for."""
        free = [shell for shell in self._shells if shell.connection.can_open()]
        backends = self.backends
        if backends is not None and backends.out:
            free = [shell for shell in free if backends.serves(shell.address)] or free
        return free[0].connection if free else None

    def wait(self, call: Waiter, *, first: bool = False, held: bool = True) -> None:
        """
        Tell the call when there is a connection, or why there is none.

        `first`: before all who wait already; `held`: even if none can be had just now, for as long as the options say.
        """
        if self._failing and not self._shells:
            if not (held and self._waiting.patience):
                call.unreachable(self._failing)
                return
            self._waiting.hold(call)
        self._waiting.add(call, first=first)
        if self._shells and len(self._shells) < len(self._addresses) * self.options.connections_per_address:
            self._more = True
            self._changed.set()
        elif any(shell.connection.worn for shell in self._shells):
            self._changed.set()

    async def stands(self) -> None:
        """Wait for as long as the options say for a connection, where none can be had just now."""
        if not (self._waiting.patience and self._failing and not self._shells):
            return
        held = Held()
        self.wait(held, first=True)
        try:
            await held.told
        finally:
            self.forget(held)

    def forget(self, call: Waiter) -> None:
        """Let a call that waits go."""
        self._waiting.forget(call)

    def freed(self, connection: Connection) -> None:
        """Learn that a call on the connection is over."""
        if self._waiting:
            self.serve_waiting()
        shell = connection.handler
        if isinstance(shell, UpstreamShell) and not shell.usable:
            shell.close_when_idle()

    def serve_waiting(self) -> None:
        """Hand out what can be had."""
        while self._waiting:
            connection = self._next()
            if connection is None:
                return
            self._waiting.next().connected(connection)

    def retired(self, shell: UpstreamShell) -> None:
        """Learn that a connection takes no more calls, or is closed."""
        if shell in self._shells:
            self._shells.remove(shell)
            self._lost.add(shell.address)
            self._changed.set()
        if shell.transport is None:
            self._leaving.discard(shell)
        else:
            self._leaving.add(shell)

    def answered(self, connection: Connection, code: int) -> None:
        """Learn how a call on the connection has ended, where there are several servers."""
        shell, backends = connection.handler, self.backends
        if backends is not None and isinstance(shell, UpstreamShell):
            backends.answered(shell.address, time.monotonic(), failed=code == UNAVAILABLE)

    def states(self) -> list[BackendState]:
        """How each server is."""
        if self.backends is not None:
            return self.backends.states(time.time() - time.monotonic())
        state = SERVING if self._shells else UNREACHABLE
        return [BackendState(str(each), state, self._told_at) for each in self._addresses[:1]]

    def look_again(self) -> None:
        """Learn that a connection may be worn out."""
        self._changed.set()

    async def _keep(self) -> None:
        backoff = first = self.options.first_backoff
        while True:
            self._changed.clear()
            began = time.monotonic()
            await self._connect_missing()
            if self._shells:
                backoff = first
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rest()):
                        await self._changed.wait()
                # A server that takes connections and drops them is not hammered.
                await asyncio.sleep(max(0.0, first / 4 - (time.monotonic() - began)))
            elif not self._errors:
                # A connection came and went again while others were awaited.
                await asyncio.sleep(first / 4)
            else:
                self._failing = self._why()
                self._tell(up=False)
                self._waiting.failed()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(backoff * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter
                        await self._changed.wait()
                backoff = min(backoff * 1.6, self.options.longest_backoff)

    def _rest(self) -> float:
        """How long nothing need be done, if nothing happens."""
        due = None if self.backends is None else self.backends.next_due(time.monotonic())
        every = self.options.resolve_after_loss if self._lost else self.options.resolve_every
        return every if due is None else min(every, due)

    def _must_resolve(self, now: float) -> bool:
        age = now - self._resolved_at
        options = self.options
        return (
            not self._shells
            or age >= options.resolve_every
            or (bool(self._lost) and age >= options.resolve_after_loss)
        )

    def _know(self, addresses: list[Endpoint], now: float) -> None:
        """Compare servers with one another, where there are several."""
        options = self.options
        if len(addresses) < 2 or self._resolver.is_localhost:
            self.backends = None
            return
        if self.backends is None:
            self.backends = Backends(
                options.eject_failures,
                options.first_ejection,
                options.longest_ejection,
                options.trial,
                _about_one,
            )
            self.backends.know(addresses, now)
            for shell in self._shells:
                self.backends.reached(shell.address, now)
        else:
            self.backends.know(addresses, now)

    async def _connect_missing(self) -> None:
        """Connect to each address that has no connection, and once more where all are full."""
        now = time.monotonic()
        unresolved = ""
        if self._must_resolve(now):
            # Nobody waits longer for an address than for a connection where there is one that can be tried.
            patience = self.options.connect_timeout if self._addresses else None
            try:
                async with asyncio.timeout(patience):
                    self._addresses = await self._resolver.resolve({shell.address for shell in self._shells})
            except (OSError, UnicodeError) as error:
                # What stands goes on; a name server that is away is no reason to drop connections, nor not to make
                # one anew to where there was one.
                why = getattr(error, "strerror", None) or str(error) or f"no answer in {patience:g} s"
                unresolved = f"the name cannot be resolved: {why}"
                if not self._addresses:
                    self._errors = {self.target: unresolved}
                    return
            else:
                self._lost.intersection_update(self._addresses)
                self._know(self._addresses, now)
            self._resolved_at = now
        addresses = self._addresses
        self._errors = {self.target: unresolved} if unresolved and not self._shells else {}
        for shell in list(self._shells):
            if shell.address not in addresses:
                shell.retire()
        connected = [shell.address for shell in self._shells]
        fresh = {shell.address for shell in self._shells if not shell.connection.worn}
        if len(self._leaving) >= _MAX_LEAVING:
            fresh.update(shell.address for shell in self._shells if shell.connection.can_open())
        missing = [address for address in addresses if address not in fresh]
        if self.backends is not None and self._shells:
            # One that cannot be reached is not tried again each time that something happens to another.
            missing = [address for address in missing if self.backends.is_due(address, now)]
        if self._more and not missing:
            allowed = self.options.connections_per_address
            missing = [address for address in addresses if connected.count(address) < allowed][:1]
        self._more = False
        if missing:
            await asyncio.gather(*(self._connect(address) for address in missing))
        self.exchange.flush()

    async def _connect(self, address: Endpoint) -> None:
        try:
            shell = await self._dialler.connect(
                address,
                lambda: UpstreamShell(self, self.exchange, self.options, address),
                self.options.connect_timeout,
            )
        except ConnectionError as error:
            self._errors[address] = str(error)
            if self.backends is not None:
                self.backends.unreachable(address, time.monotonic())
            return
        if not self._admit(shell):
            return
        self.serve_waiting()
        self.exchange.flush()

    def _admit(self, shell: UpstreamShell) -> bool:
        if shell.transport is None or not shell.usable:
            return False
        if self._resolver.is_localhost and any(other.address != shell.address for other in self._shells):
            shell.usable = False
            shell.close_when_idle()
            return False
        others = [other for other in self._shells if other.address == shell.address]
        is_arrival = not others or shell.address in self._lost
        self._shells.append(shell)
        if self.backends is not None:
            self.backends.reached(shell.address, time.monotonic())
        self._failing = ""
        self._waiting.reached()
        for other in others:
            if other.connection.worn:
                other.retire()
        self._lost.discard(shell.address)
        if is_arrival:
            self.arrivals += 1
            self._tell(up=True)
        return True

    def _tell(self, *, up: bool) -> None:
        if up or self.up is not False:
            self._told_at = time.time() if up is not self.up else self._told_at
            self.up = up
            self._on_change(up)

    def _why(self) -> str:
        told = [f"{address}: {text}" for address, text in self._errors.items()]
        more = f" and {len(told) - _SHOWN_ADDRESSES} more" if len(told) > _SHOWN_ADDRESSES else ""
        return f"cannot reach {self.target} ({'; '.join(told[:_SHOWN_ADDRESSES]) or 'no address'}{more})"


def _about_one() -> float:
    """So that what failed at the same time is not tried again at the same time."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - jitter
