"""A network of its own: a namespace for the server, and a cable to it of which every packet goes through our hands.

Law: knows packets, and nothing of what is in them. Both ends are TUN devices, so that TCP at both ends is the kernel's,
as are its checksums; what happens on the way is ours (netem does the same where its module is loaded, which cannot be
relied on). Nothing is left behind: devices go with their descriptors, the namespace with the block.
"""

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Self

_TUNSETIFF = 0x400454CA
_TUN, _NO_PACKET_INFO = 0x0001, 0x1000
_LONGEST_QUEUE = 1.0
"""Seconds of traffic that wait at a slow cable; beyond, packets are dropped."""


class NoNetworkError(Exception):
    """This machine lets nobody make namespaces, or not us; the text says why."""


@dataclass(frozen=True)
class Weather:
    """What happens to packets, in both directions: parts of them, seconds, octets a second (0: any)."""

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    doubled: float = 0.0
    corrupted: float = 0.0
    rate: float = 0.0


CLEAR = Weather()
CUT = Weather(loss=1.0)


class Cable:
    """From here to a namespace. `here` and `there` are the addresses of its ends."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.namespace = f"tfs-proxy-{pid}"
        network = f"198.18.{pid >> 6 & 255}"
        self.here, self.there = (f"{network}.{(pid & 63) * 4 + end}" for end in (1, 2))
        self.weather = CLEAR
        self.carried = 0
        self._closed = False
        self._ends: list[int] = []
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._number = itertools.count()
        self._free = {0: 0.0, 1: 0.0}
        self._random = random.Random(11)

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command that runs another one at the far end."""
        return ("ip", "netns", "exec", self.namespace, *command)

    def __enter__(self) -> Self:
        try:
            self._lay()
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            told = getattr(error, "stderr", b"") or str(error).encode()
            raise NoNetworkError(told.decode().strip()) from error
        self._carrier = threading.Thread(target=self._carry, daemon=True)
        self._carrier.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._carrier.join(5)
        self._remove()

    def _lay(self) -> None:
        _ip("netns", "add", self.namespace)
        for end, (own, other) in enumerate(((self.here, self.there), (self.there, self.here))):
            device = f"tfs{os.getpid()}-{end}"
            self._ends.append(_tun(device))
            inside: tuple[str, ...] = ()
            if end:
                _ip("link", "set", device, "netns", self.namespace)
                inside = ("-n", self.namespace)
                _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "addr", "add", own, "peer", other, "dev", device)
            _ip(*inside, "link", "set", device, "up")

    def _remove(self) -> None:
        for end in self._ends:
            os.close(end)
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)

    def _carry(self) -> None:
        while not self._closed:
            wait = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else 0.1
            for end in select.select(self._ends, [], [], min(wait, 0.1))[0]:
                self._take(self._ends.index(end), os.read(end, 1 << 16))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(self._waiting)
                with contextlib.suppress(OSError):
                    os.write(self._ends[to], packet)
                    self.carried += 1

    def _take(self, end: int, packet: bytes) -> None:
        weather, chance, now = self.weather, self._random.random, time.monotonic()
        for _ in range(2 if chance() < weather.doubled else 1):
            if chance() < weather.loss:
                continue
            due = now + weather.delay + weather.jitter * chance()
            if weather.rate:
                self._free[end] = max(now, self._free[end]) + len(packet) / weather.rate
                if self._free[end] > now + _LONGEST_QUEUE:
                    self._free[end] -= len(packet) / weather.rate
                    continue
                due += self._free[end] - now
            if chance() < weather.corrupted:
                packet = self._spoilt(packet)
            heapq.heappush(self._waiting, (due, next(self._number), 1 - end, packet))

    def _spoilt(self, packet: bytes) -> bytes:
        at = self._random.randrange(len(packet))
        return packet[:at] + bytes((packet[at] ^ 1 << self._random.randrange(8),)) + packet[at + 1 :]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN | _NO_PACKET_INFO))
    except OSError:
        os.close(end)
        raise
    return end
