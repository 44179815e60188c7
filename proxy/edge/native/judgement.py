"""
A call's judgement: what waits for the gate, and until when.

Law: a message waits until it is whole or, where it is long, until its headers were seen; what waits takes room as it
arrives and is bounded by the load. Of a message that flows on (`cut_through`) only the tail behind the last payload
waits, for a second judgement of the whole. The decision is the gate's; what follows from it is the call's.
"""

import asyncio
from typing import Protocol, final

from proxy.core.verdict import Verdict
from proxy.edge.native import rpc
from proxy.edge.native.client_side import ClientSide
from proxy.edge.native.completion import Completion
from proxy.edge.native.cut_through import CutThrough
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.stream import Buffer
from proxy.edge.native.inflating import UnreadError
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.plain_text import Compressed, NoRoomError
from proxy.edge.native.plane import Plane
from proxy.edge.native.record import Record
from proxy.edge.native.request_message import RequestMessage
from proxy.edge.native.rpc import RequestHead
from proxy.edge.native.server_side import ServerSide
from proxy.gate import Admit, Decision, Glimpse, Known, Message
from proxy.wire.pieces import Pieces
from proxy.wire.push import PushScanner


class Judged(Protocol):
    """A call, as its judgement sees it."""

    plane: Plane
    head: RequestHead
    record: Record
    ledger: Ledger
    client: ClientSide
    server: ServerSide
    completion: Completion

    def admitted(self, decision: Decision) -> bool:
        """Note what was decided; where it is a refusal, the call has been answered."""

    def open(self) -> None:
        """Send the request on, from the start."""

    def send(self, connection: Connection) -> None:
        """Send the request on, from the start, on this connection."""

    def pass_on(self, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Send the next octets of the request on."""


@final
class Judgement:
    """Has a request's message judged, once or as often as the server changes."""

    # Defaults live in the class: most calls never set most of them.
    gathers = True
    """Whether the message waits for its rest, or for its headers."""
    judged_after = -1
    """Which arrival of a server (see `Pool.arrivals`) a call that had to wait was judged after."""
    # What waits for the gate, or inflates.
    _task: asyncio.Task[None] | None = None

    def __init__(self, call: Judged) -> None:
        self._call = call
        self._plane = call.plane
        self._server = call.server
        self._completion = call.completion
        self._message = RequestMessage(call.head, call.server, call.ledger)

    # === the message arrives ===

    def gather(self, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Take what came of the message; judge it when it is whole, or shows enough."""
        message = self._message
        self._call.client.consume(size)
        full = message.take(pieces, size, ended=ended)
        if full is not None:
            self._no_room(full)
        elif ended or message.is_whole:
            self.end_gathering()
        elif message.scanner is not None and message.shows_more:
            self._look(message, message.scanner)

    def end_gathering(self) -> None:
        """Judge what there is: the message is whole, or its request has ended."""
        self.gathers = False
        if self._message.end(self._call.record.received):
            self._decide()
        else:
            # The server says so in its own words.
            self._call.open()

    def _no_room(self, full: Verdict) -> None:
        self.gathers = False
        self._server.flow = None
        self._completion.refuse(full)

    # === a whole message ===

    def _decide(self) -> None:
        """Have a whole message judged, and send it on where it is admitted."""
        message = self._message.plain()
        if message is None:
            self._inflate(self._message.compressed(self._plane.limits.max_message_bytes))
        else:
            decision = self._plane.gate.judge_now(message)
            if type(message.octets) is Pieces:
                self._message.joined(message.octets)
            self._decided(message, decision)

    def _decided(self, known: Known, decision: Decision | None) -> None:
        """Act on what was decided on all that is known, or wait for it."""
        if decision is None:
            self._task = self._plane.spawn(self._judge_later(known))
        elif self._call.admitted(decision):
            self._call.open()

    async def _judge_later(self, known: Known) -> None:
        decision = await self._settled(known)
        self._task = None
        if not self._completion.over and self._call.admitted(decision):
            self._call.open()
        self._plane.flush()

    async def _settled(self, known: Known) -> Decision:
        """Wait for the gate, and once more where what it knew may be of a server that is no more."""
        call, pool = self._call, self._server.pool
        await pool.stands()
        while True:
            arrivals = pool.arrivals
            decision = await self._plane.gate.judge(known, call.record.left(), call.ledger.client)
            if arrivals == pool.arrivals:
                return decision

    def _inflate(self, compressed: Compressed) -> None:
        """Judge a compressed message by its plain text."""
        try:
            plain = compressed.plain_at_once()
        except UnreadError as error:
            self._unread(error)
            return
        if plain is None:
            self._task = self._plane.spawn(self._inflate_later(compressed))
        else:
            message = Message(self._call.head.method, plain)
            self._decided(message, self._plane.gate.judge_now(message))

    async def _inflate_later(self, compressed: Compressed) -> None:
        """Inflate beside other calls; the plain text counts as held until it is judged."""
        call, ledger, plane = self._call, self._call.ledger, self._plane
        held = ledger.held
        try:
            message = Message(call.head.method, await plane.plain_text.of(compressed, ledger))
            decision = plane.gate.judge_now(message)
            if decision is None:
                decision = await self._settled(message)
        except NoRoomError as full:
            self._task = None
            self._no_room(full.verdict)
        except UnreadError as error:
            self._task = None
            ledger.give_back(ledger.held - held)
            self._unread(error)
        except (MemoryError, RuntimeError):
            self._task = None
            self._completion.give_up(rpc.RESOURCE_EXHAUSTED, "there is no room to decompress the message")
        else:
            self._task = None
            ledger.give_back(ledger.held - held)
            if not self._completion.over and call.admitted(decision):
                call.open()
        finally:
            plane.flush()

    def _unread(self, error: UnreadError) -> None:
        """Answer for a message that nobody reads, unless the policy lets it pass."""
        if error.hard:
            self._completion.refuse(error.verdict)
        elif self._call.admitted(self._plane.gate.unread(error.verdict)):
            self._call.open()

    # === a long message flows ===

    def _look(self, message: RequestMessage, scanner: PushScanner) -> None:
        """Let a message flow that arrives, once the gate admits what is known of it."""
        connection = self._server.pool.pick()
        decision = None if connection is None else self._plane.gate.judge_now(Glimpse(scanner))
        if connection is not None and isinstance(decision, Admit):
            message.scanner = None
            self.gathers = False
            message.end(self._call.record.received)
            self._server.flow = CutThrough(scanner, self._server.size, decision)
            if self._call.admitted(decision):
                self._call.send(connection)
        elif connection is None or not scanner.tail:
            # It cannot flow; or all has been seen that there is, and the gate has to wait or needs the values.
            message.scanner = None

    def flow_on(self, flow: CutThrough, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Pass on the next pieces of a message that flows, but for its tail."""
        call = self._call
        full = call.ledger.hold(size)
        if full is not None:
            self._no_room(full)
            return
        # A server that takes one call later than another must not stop the client's other calls.
        call.client.lend(size)
        was_whole = flow.rest <= 0
        if flow.is_seen_with(size) and self._plane.gate.still_holds(flow.decision):
            # Nothing to judge again: the last of it need not wait, nor go in a frame of its own.
            flow.scanner = None
        free = flow.take(pieces, size)
        if free or not size:
            passing = size if free is pieces else sum(map(len, free))
            call.pass_on(free, passing, ended=ended and not flow.held_back)
        if flow.rest <= 0 and not was_whole:
            call.record.server_begins()
            if flow.scanner is not None:
                self._judge_tail(flow.known)
        elif ended:
            self.end_flow(flow)

    def end_flow(self, flow: CutThrough) -> None:
        """The request has ended. What is not a whole message is the server's to answer, in its own words."""
        if flow.rest > 0 and flow.held_back:
            self._let_go(flow)

    def _judge_tail(self, known: Known) -> None:
        """Judge again, now that all has been seen and before the server gets the last of it."""
        decision = self._plane.gate.judge_now(known)
        if decision is None:
            self._task = self._plane.spawn(self._judge_tail_later(known))
        else:
            self._tail_decided(decision)

    async def _judge_tail_later(self, known: Known) -> None:
        decision = await self._settled(known)
        self._task = None
        if not self._completion.over:
            self._tail_decided(decision)
        self._plane.flush()

    def _tail_decided(self, decision: Decision) -> None:
        flow = self._server.flow
        if self._call.admitted(decision) and flow is not None:
            self._let_go(flow)

    def _let_go(self, flow: CutThrough) -> None:
        pieces = flow.let_go()
        self._call.pass_on(pieces, sum(map(len, pieces)), ended=self._call.client.request_ended)

    # === once more, and no more ===

    def judge_again(self) -> bool:
        """Judge anew what was judged, and open it again if it is admitted; False: it was not judged."""
        server, message = self._server, self._message
        flow = server.flow
        if server.kept is None or not message.is_announced:
            return False
        if not message.is_whole and (flow is None or self._call.client.request_ended):
            # Not a whole message: nobody has judged it.
            return False
        self.judged_after = server.pool.arrivals
        if flow is None:
            self._decide()
            return True
        decision = self._plane.gate.judge_now(flow.known)
        if decision is not None:
            if isinstance(decision, Admit):
                flow.decision = decision
            if self._call.admitted(decision):
                self._call.open()
        elif flow.scanner is None or not flow.scanner.tail:
            self._task = self._plane.spawn(self._judge_later(flow.known))
        else:
            # There is more to see of it, and that is judged before it passes.
            self._call.open()
        return True

    def stop(self) -> None:
        """Wait for nothing more: the call is over."""
        self.gathers = False
        self._message.scanner = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
