"""Whose turn it is where only so much can be done at a time: clients in turns, and within a client its connections.

Law: order only; no clock and no I/O. A client is named from the widest share to the narrowest, such as (address,
connection), so that neither many messages nor many connections of one keep the others waiting.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, final

_Thing = TypeVar("_Thing")

Client = tuple[Hashable, ...]


@final
class Rows(Generic[_Thing]):
    """Things that wait: of each share one in its turn."""

    __slots__ = ("_own", "_rows")

    def __init__(self) -> None:
        self._own: deque[_Thing] = deque()
        self._rows: OrderedDict[Hashable, Rows[_Thing]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._own or self._rows)

    def put(self, client: Client, thing: _Thing) -> None:
        """Let a thing wait behind those of the same client."""
        if client:
            self._rows.setdefault(client[0], Rows()).put(client[1:], thing)
        else:
            self._own.append(thing)

    def take(self) -> _Thing:
        """The next thing; there must be one."""
        if self._own:
            return self._own.popleft()
        share, row = self._rows.popitem(last=False)
        thing = row.take()
        if row:
            self._rows[share] = row
        return thing


@final
class Turns:
    """One at a time, each client in its turn."""

    def __init__(self) -> None:
        self._taken = False
        self._rows: Rows[asyncio.Future[None]] = Rows()

    @asynccontextmanager
    async def turn(self, client: Client) -> AsyncIterator[None]:
        """Wait for the client's turn, and have it for the length of a block."""
        if self._taken:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._rows.put(client, mine)
            try:
                await mine
            except asyncio.CancelledError:
                if not mine.cancelled():  # it was given the turn, and has no use for it any more
                    self._pass_on()
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._rows:
            following = self._rows.take()
            if not following.done():
                following.set_result(None)
                return
        self._taken = False


@final
class Slices:
    """Those who all waited for the same thing go on a few at a time, and the loop has its turn in between."""

    def __init__(self, at_once: int) -> None:
        self._at_once = self._free = at_once
        self._rows: Rows[asyncio.Future[None]] = Rows()

    async def turn(self, client: Client) -> None:
        """Go on, when it is the client's turn; at once where there is no loop, and so nobody else."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._free == self._at_once:
            loop.call_soon(self._refill, loop)
        if self._free:
            self._free -= 1
            return
        mine: asyncio.Future[None] = loop.create_future()
        self._rows.put(client, mine)
        await mine

    def _refill(self, loop: asyncio.AbstractEventLoop) -> None:
        self._free = self._at_once
        while self._rows and self._free:
            following = self._rows.take()
            if not following.done():
                following.set_result(None)
                self._free -= 1
        if self._free < self._at_once:
            loop.call_soon(self._refill, loop)
