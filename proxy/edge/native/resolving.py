"""
Which addresses a target has.

Law: asks the name service and nobody else; which of them are connected to is the pool's business.
"""

import asyncio
import os
import socket
from collections.abc import Collection
from typing import final

from proxy.upstream.endpoints import Endpoint, endpoints
from proxy.upstream.forward_proxy import tunnel_to


@final
class Resolver:
    """
    The addresses of `target`, `most` of a name at a time.

    `tunnels` are the forward proxies of those that are reached through one, where `http_proxy` obeys the environment.
    """

    def __init__(self, target: str, most: int, *, http_proxy: bool) -> None:
        self._endpoints = endpoints(target)
        self._most = most
        environ = os.environ if http_proxy else {}
        self.first = self._endpoints[0]
        self.tunnels = {each: tunnel for each in self._endpoints if (tunnel := tunnel_to(each, environ))}
        self.is_localhost = self.first.host == "localhost"
        """The same machine under two addresses; often only one of them is listened on."""

    async def resolve(self, working: Collection[Endpoint]) -> list[Endpoint]:
        """Ask for the addresses, of which some are `working`. Raises OSError or UnicodeError."""
        loop = asyncio.get_running_loop()
        found: dict[Endpoint, None] = {}
        for each in self._endpoints:
            if each.path or each in self.tunnels:
                found[each] = None
                continue
            entries = await loop.getaddrinfo(each.host, each.port, type=socket.SOCK_STREAM)
            found.update((Endpoint(*entry[4][:2]), None) for entry in entries)
        addresses = list(found)
        if self.is_localhost:
            return [each for each in addresses if each in working] or addresses
        return addresses[: self._most]
