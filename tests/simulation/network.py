"""Connections in memory: what is written arrives cut anywhere, some time later, in order, or not at all.

Law: moves octets as TCP would and breaks as TCP does; knows nothing of what they mean.
"""

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

_MOST_AT_ONCE = (1, 9, 100, 1 << 14, 1 << 17, 1 << 20)


class Transport(asyncio.Transport):
    """One end. `peer` is the other; what is written here is read there."""

    def __init__(self, network: "Network", protocol: Any, slow: float) -> None:
        super().__init__()
        self.network = network
        self.number = network.count()
        self.protocol = protocol
        self.peer: Transport
        self.buffer = bytearray()
        self.closing = False
        self.lost = False
        self.stands = False
        self.reading = True
        self._under_way = False
        self._high = 64 << 10
        self._full = False
        # Seconds that a piece takes at most, and how large it is at most.
        self.slow = slow
        self.most = network.random.choice(
            _MOST_AT_ONCE[1:] if network.random.random() < 0.9 else _MOST_AT_ONCE
        )
        self.into_buffer = network.random.random() < 0.7 and hasattr(protocol, "get_buffer")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.2", 4000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or self._high

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def is_closing(self) -> bool:
        return self.closing or self.lost

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.peer.move()

    def write(self, data: Any) -> None:
        if self.closing or self.lost:
            return
        self.buffer += data
        if len(self.buffer) > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()
        self.move()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.move()
            if not self.buffer:
                self.network.soon(self.lose, None)

    def abort(self) -> None:
        self.closing = True
        self.buffer.clear()
        self.network.soon(self.lose, None)

    def lose(self, error: Exception | None) -> None:
        """The connection is over at this end, and soon at the other."""
        if self.lost:
            return
        self.lost = True
        self.buffer.clear()
        self.network.open.discard(self)
        if self.stands:
            self.protocol.connection_lost(error)
        else:
            self.protocol.never_opened()
        if not self.peer.lost:
            self.network.later(self.peer.slow, self.peer.lose, error)

    def move(self) -> None:
        """Have the next piece arrive."""
        if self.buffer and not self._under_way and self.peer.reading and not self.peer.lost:
            self._under_way = True
            self.network.later(self.slow, self._arrive)

    def _arrive(self) -> None:
        self._under_way = False
        peer = self.peer
        if self.lost or peer.lost or not peer.reading:
            return
        # Of much that waits no more than some hundred pieces are made.
        most = max(self.most, len(self.buffer) // 100)
        size = min(len(self.buffer), self.network.random.randint(1, most))
        data = bytes(self.buffer[:size])
        if peer.into_buffer:
            room = peer.protocol.get_buffer(-1)
            size = min(size, len(room))
            room[:size] = data[:size]
            del self.buffer[:size]
            peer.protocol.buffer_updated(size)
        else:
            del self.buffer[:size]
            peer.protocol.data_received(data)
        self.network.steps += 1
        if self._full and len(self.buffer) <= self._high // 4 and not self.lost:
            self._full = False
            self.protocol.resume_writing()
        if self.buffer:
            self.move()
        elif self.closing:
            self.lose(None)


class Network:
    """All connections of a world; `open` are those that can break."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.open: set[Transport] = set()
        self.steps = 0
        self.count = partial(next, itertools.count())

    def soon(self, do: Callable[..., None], *args: Any) -> None:
        self.loop.call_soon(do, *args)

    def later(self, seconds: float, do: Callable[..., None], *args: Any) -> None:
        if seconds and self.random.random() < 0.8:
            self.loop.call_later(self.random.uniform(0, seconds), do, *args)
        else:
            self.loop.call_soon(do, *args)

    def connect(self, client: Any, server: Any) -> None:
        """Both ends stand; who listens learns of it some time later."""
        slow = self.random.choice((0.0, 0.0, 0.0005, 0.01))
        here, there = Transport(self, client, slow), Transport(self, server, slow)
        here.peer, there.peer = there, here
        here.reading = there.reading = False
        self.open.update((here, there))

        def stand(end: Transport) -> None:
            if not end.lost:
                end.reading = end.stands = True
                end.protocol.connection_made(end)
                end.peer.move()

        stand(here)
        self.later(slow, stand, there)
