"""
The connections of all clients.

Law: takes connections in and sees them out, so that no client has all of them. One that makes room is nobody's any
more: it counts for its descriptor only, until that is closed. What comes on one is `downstream`'s.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Final, final

from proxy.edge.admission import CONNECTIONS, CONNECTIONS_OF_A_PEER
from proxy.edge.load import Account
from proxy.edge.native.downstream import DownstreamShell
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.plane import Plane

_CLOSING: Final = 4
"""Connections beyond the bound whose descriptors may still be open because they have only just made room."""
_OF_A_PEER: Final = 0.75
"""The part of all connections that one address may have."""
_LOOKED_AT_PER_SECOND: Final = 40_000


@final
class Clients:
    """The connections of all clients, bounded in all and for each address."""

    def __init__(self, plane: Plane, limits: Limits, max_connections: int) -> None:
        self.plane = plane
        self.limits = limits
        self.max_connections = max_connections
        self.shells: set[DownstreamShell] = set()
        self._dismissed: set[DownstreamShell] = set()
        self.draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        # Who has not had a call, the first that came in front: of each address, and of all (None).
        self._silent: dict[Account | None, OrderedDict[DownstreamShell, None]] = {None: OrderedDict()}
        # Who had one and may make room, who goes first at the end; and when that was found out.
        self._resting: list[DownstreamShell] = []
        self._looked = 0.0

    def admitted(self, address: str) -> DownstreamShell | None:
        """Take in a connection that was accepted, or None: it must be closed."""
        load = self.plane.load
        if self.draining:
            return None
        if len(self.shells) >= self.max_connections and not self.make_room():
            return None
        account = load.joined(address)
        if account.peer.connections > max(1.0, self.max_connections * _OF_A_PEER):
            load.hit(CONNECTIONS_OF_A_PEER)
            if not self._close_one(account.peer):
                load.left(account)
                return None
        shell = DownstreamShell(self, account)
        self.shells.add(shell)
        for queue in (self._silent[None], self._silent.setdefault(account.peer, OrderedDict())):
            queue[shell] = None
        self._empty.clear()
        return shell

    @property
    def crowded(self) -> bool:
        """Whether more connections have a descriptor than may stay, which is so while some make room."""
        return len(self.shells) + len(self._dismissed) > self.max_connections + _CLOSING

    def make_room(self) -> bool:
        """Close a connection that has no calls; whether there was one."""
        self.plane.load.hit(CONNECTIONS)
        return self._close_one(None)

    def _close_one(self, peer: Account | None) -> bool:
        """Close the connection that needs it least: one that never had a call, or had none for longest."""
        silent = self._silent.get(peer)
        while silent:
            shell = next(iter(silent))
            self._heard(shell)
            if shell.is_silent:
                self._dismiss(shell)
                return True
        # A look costs more the more connections there are.
        now = time.monotonic()
        if not self._resting and (now - self._looked) * _LOOKED_AT_PER_SECOND >= len(self.shells):
            self._looked = now
            resting = [shell for shell in self.shells if shell.rests(now)]
            self._resting = sorted(resting, key=DownstreamShell.need, reverse=True)
        while self._resting:
            shell = self._resting.pop()
            if shell in self.shells and shell.rests(now) and peer in {None, shell.account.peer}:
                self._dismiss(shell)
                return True
        return False

    def _dismiss(self, shell: DownstreamShell) -> None:
        self._forget(shell)
        self._dismissed.add(shell)
        shell.dismiss()

    def _forget(self, shell: DownstreamShell) -> None:
        self._heard(shell)
        self.shells.discard(shell)
        self.plane.load.left(shell.account)

    def _heard(self, shell: DownstreamShell) -> None:
        """Look for it no more among those that never had a call."""
        peer = shell.account.peer
        for key in (None, peer):
            queue = self._silent.get(key)
            if queue is not None:
                queue.pop(shell, None)
                if not queue and key is not None:
                    del self._silent[key]

    def left(self, shell: DownstreamShell) -> None:
        """Forget a connection whose descriptor is closed."""
        if shell in self.shells:
            self._forget(shell)
        self._dismissed.discard(shell)
        if not self.shells and not self._dismissed:
            self._empty.set()

    async def drain(self, grace: float) -> None:
        """Let calls under way end for `grace` seconds, then cut the rest off with a status."""
        self.draining = True
        for shell in list(self.shells):
            shell.drain()
        self.plane.flush()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            for shell in list(self.shells):
                shell.cut_off("the proxy is stopping")
            self.plane.flush()
            for shell in list(self.shells):
                shell.close("the proxy is stopping")
        # A client that does not take its last octets is cut off (see `Shell.close`).
        await self._empty.wait()
