"""
One connection of a client: each request on it becomes a call, or is answered here.

Law: knows what is on its connection and how long there was nothing; which connections there may be is decided by who
has all of them, and what a request means is `call`'s.
"""

import asyncio
import random
import time
from typing import Final, Protocol, final

from proxy.core.bounds import MAX_METADATA, too_much_metadata
from proxy.core.verdict import Verdict
from proxy.edge.access import AUTHORIZATION, Access, first_name, names_in
from proxy.edge.admission import METADATA
from proxy.edge.load import Account
from proxy.edge.native import rpc
from proxy.edge.native.at_once import AtOnce
from proxy.edge.native.call import Call
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.not_grpc import NotGrpc
from proxy.edge.native.plane import Plane
from proxy.edge.native.shell import Shell
from proxy.gate.turns import Client

PREFACE_SECONDS: Final = 10.0
"""From the connection to the client's first SETTINGS."""

LATE_SECONDS: Final = 1.0
"""The same, when the proxy has begun to stop meanwhile."""

_RESTED: Final = 1.0
"""Seconds without a call after which a connection that had calls makes room for a new one."""
_AUTHORIZATION: Final = AUTHORIZATION.encode()
# What of a head is needed to refuse it, and to tell of that.
_NEEDED: Final = frozenset(
    (
        *(b":method", b":scheme", b":path", b":authority", b"content-type"),
        *(b"x-request-id", b"traceparent", b"user-agent"),
    )
)


class Connections(Protocol):
    """All connections of clients, as one of them sees them."""

    plane: Plane
    limits: Limits
    draining: bool

    def left(self, shell: "DownstreamShell") -> None:
        """Forget a connection whose descriptor is closed."""


@final
class DownstreamShell(Shell):
    """A connection of a client."""

    def __init__(self, clients: Connections, account: Account) -> None:
        super().__init__(clients.plane.exchange, clients.limits, server=True)
        self.account = account
        self.unwanted = False
        # The task that opens the connection, through its TLS handshake; None before it runs, and afterwards.
        self._opening: asyncio.Task[None] | None = None
        self._clients = clients
        self._plane = clients.plane
        self._greeting: asyncio.TimerHandle | None = None
        self._greeted = False
        # Since when there was no call, and how many streams there had been then.
        self._resting_since = time.monotonic()
        self._streams_before = 0
        self._born = self._resting_since
        # What of the age that connections may reach this one may, so that not all go at once.
        self._part_of_age = random.uniform(0.9, 1.1)  # noqa: S311 - jitter
        # When the client was asked to go.
        self._leaving_since: float | None = None
        # What the transport holds of what was written, since when it is no less, and what of it is booked.
        self._unread = 0
        self._unread_since = 0.0
        self._booked = 0
        # By what the certificate of the client was judged, and what came of it.
        self._judged_by: Access | None = None
        self._standing: str | Verdict = ""
        self._identity = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._opening = None
        self._greeting = self.loop.call_later(PREFACE_SECONDS, self._too_slow)
        super().connection_made(transport)
        if self.unwanted:
            self.abort()
        elif self._clients.draining:
            self.drain()

    @property
    def client(self) -> Client:
        return self.account.client

    def opens(self, task: asyncio.Task[None]) -> None:
        """Learn which task opens the connection, now that it runs."""
        if not task.done() and self.transport is None:
            self._opening = task

    def never_opened(self) -> None:
        """Learn that the connection ended before it was open."""
        self._clients.left(self)

    def received(self, data: bytes | memoryview, count: int) -> None:
        super().received(data, count)
        if self._leaving_since is not None:
            self._close_when_idle()

    def on_settings(self) -> None:
        if not self._greeted and self._greeting is not None:
            self._greeted = True
            self._greeting.cancel()
            if self._leaving_since is not None:
                self.loop.call_soon(self._drain_late)

    def on_closed(self, because: str) -> None:  # noqa: ARG002
        if self._greeting is not None:
            self._greeting.cancel()
        self._book_unread(0)
        self._clients.left(self)

    def on_request(self, stream: Stream, block: HeaderBlock, ended: bool) -> None:
        plane = self._plane
        if block.oversized:
            self._refuse_head(stream, block)
            return
        head: rpc.RequestHead | None = block.memo
        if head is None:
            pool = plane.pool_for((block.get(b":path") or b"").decode("latin-1"))
            head = block.memo = rpc.RequestHead(block, pool.scheme, pool.authority, plane.omitted(block))
        if not head.is_grpc:
            sink = NotGrpc(self.connection, stream)
            stream.sink = sink
            sink.begin(stream, ended=ended)
            return
        pool = plane.pool_for(head.method)
        if pool is not plane.pool and not ended and head.method in plane.answers:
            stream.sink = AtOnce(self.connection, plane.answers[head.method], head, self)
            return
        call = Call(plane, pool, self.connection, stream, head)
        stream.sink = call
        if plane.access is not None and pool is plane.pool:
            who = self._who(plane.access, block)
            if isinstance(who, Verdict):
                call.turn_away(who, self._identity)
                return
            call.record.outcome.identity = who
        call.begin(self.account, ended=ended)

    def _who(self, access: Access, block: HeaderBlock) -> str | Verdict:
        """Who calls, or why it may not: by its token, or by the certificate of its connection, which is judged once."""
        if access.tokens is not None:
            return access.of_fields([value for name, value in block.fields if name == _AUTHORIZATION])
        if self._judged_by is not access:
            dns, uris = self._names()
            self._standing = access.of_names(dns, uris)
            self._identity = first_name(dns, uris)
            self._judged_by = access
        return self._standing

    def _names(self) -> tuple[list[str], list[str]]:
        return names_in(None if self.transport is None else self.transport.get_extra_info("peercert"))

    def relay(self, stream: Stream, head: rpc.RequestHead) -> Call:
        """Begin a call after all on a stream that was heard by someone else."""
        plane = self._plane
        call = Call(plane, plane.pool_for(head.method), self.connection, stream, head)
        stream.sink = call
        call.begin(self.account, ended=False)
        return call

    def _refuse_head(self, stream: Stream, block: HeaderBlock) -> None:
        """Answer a call with more metadata than anyone needs to look at."""
        plane = self._plane
        needed = HeaderBlock(tuple(field for field in block.fields if field[0] in _NEEDED))
        head = rpc.RequestHead(needed, plane.pool.scheme, plane.pool.authority)
        if not head.is_grpc:
            self.connection.reset(stream, frames.ENHANCE_YOUR_CALM)
            return
        plane.load.hit(METADATA)
        call = Call(plane, plane.pool, self.connection, stream, head)
        stream.sink = call
        if len(block.fields) > MAX_METADATA:
            verdict = too_much_metadata("fields", MAX_METADATA)
        else:
            verdict = too_much_metadata("bytes", self.connection.limits.header_list_size)
        call.tell_started()
        call.completion.refuse(verdict)

    def write(self) -> None:
        super().write()
        if self._leaving_since is not None:
            self._close_when_idle()

    def drain(self) -> None:
        """Ask the client to open no more calls here."""
        if self._leaving_since is None:
            self._leaving_since = time.monotonic()
        if self._greeted:
            self.connection.drain()
        else:
            # For the client it stands already, and to lose it now would be a failed call.
            self.loop.call_later(LATE_SECONDS, self._give_up_late)

    def _drain_late(self) -> None:
        if not self.closing:
            self.connection.drain()
            self._plane.flush()

    def _give_up_late(self) -> None:
        if not self._greeted:
            self.abort()

    def rests(self, now: float) -> bool:
        """Whether the connection could be closed without harm: it has no calls, and had none just now."""
        connection = self.connection
        if connection.streams or self.closing:
            return False
        if connection.table.highest_peer_stream != self._streams_before:
            return False
        return not self._streams_before or now - self._resting_since >= _RESTED

    @property
    def is_silent(self) -> bool:
        """Whether it never had a call, and stands."""
        return not (self.closing or self.connection.table.highest_peer_stream)

    def need(self) -> tuple[bool, float]:
        """Order connections that rest: first those that never had a call, then by how long they rest."""
        return self._streams_before > 0, self._resting_since

    def dismiss(self) -> None:
        """Close at once to make room; a call that the client sends meanwhile is safe to send again."""
        if self._greeted:
            self.connection.stop_accepting()
            self.close("made room for another connection")
        self.closing = True
        self.abort()

    def note_calls(self, now: float, idle: float, patience: float) -> None:
        """See whether there are calls; without any for `idle` seconds the client is asked to go."""
        connection = self.connection
        if connection.streams or connection.table.highest_peer_stream != self._streams_before:
            self._streams_before = connection.table.highest_peer_stream
            self._resting_since = now
        elif self._leaving_since is None:
            if now - self._resting_since >= idle:
                self.drain()
        elif now - self._leaving_since >= patience:
            connection.stop_accepting()
            self.close("idle")

    def note_age(self, now: float, most: float, grace: float) -> None:
        """Ask a client to go whose connection is old, and end what it still has `grace` seconds later."""
        age = most * self._part_of_age
        if self._leaving_since is None:
            if now - self._born >= age:
                self.drain()
        elif now - self._born >= age and now - self._leaving_since >= grace and not self.closing:
            self.cut_off(f"the connection is older than {most:.0f} s and was to end")
            self._plane.flush()
            self.close("too old")

    def note_unread(self, now: float, patience: float) -> bool:
        """See what the client does not read; False once it has taken nothing for `patience` seconds or holds too much."""
        transport = self.transport
        if not self.connection.output.paused or transport is None:
            self._unread = 0
            return self._book_unread(0)
        unread = transport.get_write_buffer_size()
        if not self._unread or unread < self._unread:
            self._unread_since = now
        self._unread = unread
        return self._book_unread(unread) and now - self._unread_since < patience

    def _book_unread(self, unread: int) -> bool:
        load = self._plane.load
        more = unread - self._booked
        if more > 0 and load.take(self.account, more) is not None:
            return False
        if more < 0:
            load.give_back(self.account, -more)
        self._booked = unread
        return True

    def cut_off(self, because: str) -> None:
        """End every call with UNAVAILABLE."""
        if not self._greeted:
            self.abort()
        for stream in list(self.connection.streams.values()):
            if isinstance(stream.sink, Call):
                stream.sink.cut_off(because)
            else:
                self.connection.reset(stream, frames.CANCEL)

    def abort(self) -> None:
        """Close without a word."""
        self.unwanted = True
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self._abort()

    def _close_when_idle(self) -> None:
        connection = self.connection
        if (
            not self.closing
            and connection.go_away.last_accepted != frames.LARGEST_STREAM_ID
            and not connection.streams
        ):
            self.close("drained")

    def _too_slow(self) -> None:
        self.close("no HTTP/2 preface in time")
        self.abort()
