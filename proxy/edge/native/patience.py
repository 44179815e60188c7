"""
How long clients may leave things unfinished: requests, header blocks, connections without calls, answers unread.

Law: one timer looks after all of them, coarsely; nothing is done for an octet or a small call as it passes. A
request falls behind when less than LEAST_RATE came while the client was free to send. What is slow is known here, so
this is also who says which request makes room when others need it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from proxy.edge.admission import LEAST_RATE, UNFINISHED_HEAD, UNREAD, Account, Limits, turned_away
from proxy.edge.native.call import Call
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import PeerFault
from proxy.edge.native.http2.stream import Stream

if TYPE_CHECKING:
    from proxy.edge.native.downstream import Clients, DownstreamShell

_STEP: Final = 1.0
_PART_OF_A_TIME: Final = 8
# With more than so many seconds of looking, what waits for the loop goes first.
_SLICE: Final = 0.005

_SLOW: Final = 64 << 10
"""Octets a second below which a request makes room for any other."""
_LARGER: Final = 2
"""A request makes room, however fast it comes, for one whose client would hold less than half as much."""
_UNREAD_STALLS: Final = 3
"""A client that takes nothing of what it was sent for so many stall times is cut off."""


class _Progress:
    """How an unfinished request comes along."""

    __slots__ = ("call", "due", "expected", "octets", "pace", "seen", "since")

    def __init__(self, call: Call, expected: int, now: float, due: float) -> None:
        self.call = call
        self.expected = expected
        self.seen = self.since = now
        self.due = due
        self.octets = 0
        # Octets a second between the last two looks; None before there were two.
        self.pace: float | None = None


class Patience:
    """Looks after the connections of `clients` every so often, from `start` to `stop`."""

    def __init__(self, clients: "Clients", limits: Limits) -> None:
        self._clients = clients
        self._stall = limits.stall_seconds
        self._idle = limits.idle_seconds
        self._step = min(_STEP, self._stall / _PART_OF_A_TIME, self._idle / _PART_OF_A_TIME)
        self._timer: asyncio.TimerHandle | None = None
        self._progress: dict[Stream, _Progress] = {}
        self._slowest: list[_Progress] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._later(self._step, self._begin)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def make_room(self, account: Account, size: int) -> bool:
        """Turn a slow request of another connection away; whether there was one."""
        slowest = self._slowest
        if slowest is None:
            known = [each for each in self._progress.values() if each.pace is not None]
            slowest = self._slowest = sorted(known, key=_pace, reverse=True)
        wanted = account.held + size
        while slowest:
            progress = slowest.pop()
            call = progress.call
            holder = call.entered
            if call.over or holder is None or holder is account or (size and not call.held):
                continue
            if _pace(progress) < _SLOW or holder.held > _LARGER * wanted:
                call.refuse(turned_away(_pace(progress)))
                return True
        return False

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _begin(self) -> None:
        self._go_on(self._look(time.monotonic(), list(self._clients.shells)))

    def _go_on(self, looking: Iterator[None]) -> None:
        until = time.monotonic() + _SLICE
        for _ in looking:
            if time.monotonic() > until:
                self._clients.plane.flush()
                self._later(0, lambda: self._go_on(looking))
                return
        self._clients.plane.flush()
        self._later(self._step, self._begin)

    def _look(self, now: float, shells: "list[DownstreamShell]") -> Iterator[None]:
        before, progress = self._progress, {}
        for shell in shells:
            if shell.transport is None:
                continue
            self._look_at(shell, now)
            connection = shell.connection
            if connection.streams and not connection.closed:
                for stream in list(connection.streams.values()):
                    call = stream.sink
                    if type(call) is Call and call.is_timed() and call.is_unfinished():
                        known = before.get(stream)
                        if known is None:
                            known = _Progress(call, stream.expected, now, now + self._stall)
                        else:
                            self._judge(known, stream, now, may_send=connection.recv_window > 0)
                        progress[stream] = known
            yield
        self._progress = progress
        self._slowest = None

    def _judge(self, known: _Progress, stream: Stream, now: float, *, may_send: bool) -> None:
        came = known.expected - stream.expected
        known.expected = stream.expected
        known.pace = came / max(now - known.seen, 0.001)
        known.seen = now
        known.octets += came
        credit = now + self._stall
        known.due = min(known.due + came / LEAST_RATE, credit)
        if not may_send or stream.recv_window <= 0:
            # It is us who do not take more.
            known.pace = None
            known.due = credit
        if known.due >= credit:
            known.since, known.octets = now, 0
        elif now >= known.due:
            known.call.stall(known.octets, now - known.since)

    def _look_at(self, shell: "DownstreamShell", now: float) -> None:
        connection = shell.connection
        cut_since = connection.cut_since
        if cut_since is not None and now - cut_since > self._stall and not connection.closed:
            self._clients.plane.load.hit(UNFINISHED_HEAD)
            text = f"a frame or header block that began is not complete after {self._stall:.0f} s"
            connection.fail(PeerFault(frames.ENHANCE_YOUR_CALM, text))
            return
        if not shell.note_unread(now, self._stall * _UNREAD_STALLS):
            self._clients.plane.load.hit(UNREAD)
            shell.abort()
            return
        shell.note_calls(now, self._idle, self._stall)


def _pace(progress: _Progress) -> float:
    return 0.0 if progress.pace is None else progress.pace
