"""
How long clients may leave things unfinished: requests, header blocks, connections without calls, answers unread.

Law: one timer looks after all of them, coarsely; nothing is done for an octet or a small call as it passes. A
request falls behind when less than LEAST_RATE came while the client was free to send. What is slow is known here, so
this is also who says which request makes room when others need it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final, final

from proxy.edge.admission import LEAST_RATE, UNFINISHED_HEAD, UNREAD, Limits, turned_away
from proxy.edge.load import Account
from proxy.edge.native.at_once import AtOnce
from proxy.edge.native.call import Call
from proxy.edge.native.clients import Clients
from proxy.edge.native.downstream import DownstreamShell
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.errors import PeerFault
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.not_grpc import NotGrpc

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


@final
class _Progress:
    """How an unfinished request comes along."""

    __slots__ = ("call", "due", "expected", "octets", "pace", "seen", "since")

    def __init__(self, call: Call | NotGrpc, expected: int, now: float, due: float) -> None:
        self.call = call
        self.expected = expected
        self.seen = self.since = now
        self.due = due
        self.octets = 0
        # Octets a second between the last two looks; None before there were two.
        self.pace: float | None = None


@final
class _Seen:
    """What a look at all connections has found."""

    __slots__ = ("_slowest", "progress", "unread")

    def __init__(self) -> None:
        self.progress: dict[Stream, _Progress] = {}
        # What of an answer was not read, and since when it is as much.
        self.unread: dict[Stream, tuple[int, float]] = {}
        self._slowest: list[_Progress] | None = None

    def slowest(self) -> list[_Progress]:
        """Unfinished requests, the slowest last; whoever is taken out is not found again."""
        if self._slowest is None:
            known = [each for each in self.progress.values() if each.pace is not None]
            self._slowest = sorted(known, key=_pace, reverse=True)
        return self._slowest


@final
class Patience:
    """Looks after the connections of `clients` every so often, from `start` to `stop`."""

    def __init__(self, clients: Clients, limits: Limits) -> None:
        self._clients = clients
        self.adopt(limits)
        self._timer: asyncio.TimerHandle | None = None
        self._seen = _Seen()

    def adopt(self, limits: Limits) -> None:
        """Have other patience from now on."""
        self._stall = limits.stall_seconds
        self._idle = limits.idle_seconds
        self._age = limits.max_connection_age
        self._age_grace = limits.age_grace
        times = (self._stall, self._idle, self._idle if self._age is None else self._age)
        self._step = min(_STEP, *(time / _PART_OF_A_TIME for time in times))

    def start(self) -> None:
        """Begin to look."""
        self._later(self._step, self._begin)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def make_room(self, account: Account, size: int) -> bool:
        """Turn a slow request of another connection away; whether there was one."""
        slowest = self._seen.slowest()
        wanted = account.held + size
        while slowest:
            progress = slowest.pop()
            call = progress.call
            if type(call) is not Call:
                continue
            holder = call.ledger.account
            if call.completion.over or holder is None or holder is account or (size and not call.ledger.held):
                continue
            if _pace(progress) < _SLOW or holder.held > _LARGER * wanted:
                call.completion.refuse(turned_away(_pace(progress)))
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

    def _look(self, now: float, shells: list[DownstreamShell]) -> Iterator[None]:
        seen = _Seen()
        for shell in shells:
            if shell.transport is None:
                continue
            self._look_at(shell, now)
            connection = shell.connection
            if connection.streams and not connection.closed:
                may_send = connection.flow.recv_window > 0
                for stream in list(connection.streams.values()):
                    self._look_at_stream(stream, now, seen, may_send=may_send)
            yield
        self._seen = seen

    def _look_at_stream(self, stream: Stream, now: float, seen: _Seen, *, may_send: bool) -> None:
        call = stream.sink
        if type(call) is AtOnce:
            # Its request should have been here: from now on it is one of the calls that are counted and timed.
            call.relay(stream)
            return
        if type(call) is not Call and type(call) is not NotGrpc:
            return
        if call.is_timed() and call.is_unfinished():
            known = self._seen.progress.get(stream)
            if known is None:
                known = _Progress(call, stream.expected, now, now + self._stall)
            else:
                self._judge(known, stream, now, may_send=may_send)
            seen.progress[stream] = known
        if call.unread and call.is_timed():
            unread, since = self._seen.unread.get(stream, (0, now))
            if unread != call.unread:
                since = now
            seen.unread[stream] = (call.unread, since)
            if now - since >= self._stall * _UNREAD_STALLS:
                self._clients.plane.load.hit(UNREAD)
                call.abandon()

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

    def _look_at(self, shell: DownstreamShell, now: float) -> None:
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
        if self._age is not None:
            shell.note_age(now, self._age, self._age_grace)


def _pace(progress: _Progress) -> float:
    return 0.0 if progress.pace is None else progress.pace
