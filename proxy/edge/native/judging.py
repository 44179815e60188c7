"""
What of a call waits for the gate: a message until it is whole, or, where it is long, until its headers were seen.

Law: what waits takes room as it arrives and is bounded by the load; the decision is the gate's. Of a message that
flows on (`cut`) only the tail behind the last payload waits, for a second judgement of the whole.
"""

import asyncio
import time
from collections.abc import Callable
from math import inf

from proxy.core.availability import Unanswered
from proxy.edge.admission import LEAST_SECONDS, expired
from proxy.edge.judged import note
from proxy.edge.metadata import warnings
from proxy.edge.native import rpc
from proxy.edge.native.cut import LEAST, Cut, divide
from proxy.edge.native.http2.stream import Buffer, Stream, keep_all, pins_much
from proxy.edge.native.inflating import AT_ONCE, LONG_STEP, SHORT, SHORT_STEP, Inflation, UnreadError
from proxy.edge.native.rpc import PREFIX
from proxy.edge.native.sending import Sending
from proxy.gate import PREDICT, Admit, Decision, Glimpse, Known, Message, Refuse
from proxy.wire.pieces import Pieces
from proxy.wire.push import PushScanner


class Judging(Sending):
    """The judgement of a call's message; see `call` for the whole."""

    def _collect(self, stream: Stream, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """
        Gather the message, within what the proxy may hold.

        A message that cannot fit is refused at its first octets; what fits takes room as it arrives and not for
        what it announces, or a few octets could claim all the room there is.
        """
        collected = self.pieces
        assert collected is not None
        self.down.consume(stream, size)
        self.size += size
        first = pieces[0] if pieces else b""
        if ended and not collected and not (type(first) is memoryview and pins_much(first, size)):
            self.pieces = collected = pieces
        else:
            keep_all(collected, pieces, size)
        if not self.need and self.size >= PREFIX:
            start = collected[0] if len(collected[0]) >= PREFIX else b"".join(collected)
            self.need = PREFIX + int.from_bytes(start[1:PREFIX], "big")
            if self.size < self.need:
                if not self._hold(self.need - PREFIX):
                    return
                self.release()
                if self.need >= LEAST and self.head.method == PREDICT and not start[0]:
                    self.scanner = PushScanner(self.need - PREFIX)
                    _, pieces = divide(collected, PREFIX)
        if self.need and not self._hold(min(self.size, self.need) - PREFIX - self.held):
            return
        if ended or (self.need and self.size >= self.need):
            self._judge()
        elif self.scanner is not None:
            self._look(self.scanner, pieces)

    def _hold(self, count: int) -> bool:
        """Take room for so many more octets, or refuse the call."""
        held = self.held
        full = self.plane.load.take(self.entered, count, held)  # type: ignore[arg-type]  # it was taken in
        if full is not None:
            self.pieces = self.cut = None
            self.refuse(full)
            return False
        self.held = held + count
        return True

    def _judge(self) -> None:
        pieces = self.pieces
        assert pieces is not None
        self.pieces = None
        self.replay = pieces
        if self.size == self.need:
            self.received.count, self.received.octets = 1, self.held
        else:
            self.received.feed(pieces, self.size)
        if not self.need or self.size < self.need:
            # Not a whole message: the server says so in its own words.
            self.open()
            return
        self._decide(pieces)

    def _decide(self, pieces: list[Buffer]) -> None:
        """Have a whole message judged, and send it on where it is admitted."""
        message = _message_in(pieces, self.need - PREFIX)
        flag = pieces[0][0]
        if flag:
            self._inflate(pieces, flag)
            return
        self._judge_message(Message(self.head.method, message))
        if isinstance(message, Pieces) and message.joined is not None and self.size == self.need:
            # It was put together: what it came in is not needed any more.
            pieces[:] = [bytes(pieces[0][:PREFIX]), message.joined]

    def _judge_message(self, message: Message) -> None:
        decision = self.plane.gate.judge_now(message)
        if decision is None:
            self.task = self.plane.spawn(self._open_if(message))
        elif self._admitted(decision):
            self.open()

    async def _open_if(self, known: Known) -> None:
        decision = await self._settled(known)
        self.task = None
        if not self.over and self._admitted(decision):
            self.open()
        self.plane.flush()

    async def _settled(self, known: Known) -> Decision:
        """Wait for the gate, and once more where what it knew may be of a server that is no more."""
        while True:
            arrivals = self.pool.arrivals
            seconds = None if self.deadline is None else self.deadline - time.monotonic()
            decision = await self.plane.gate.judge(known, seconds, self.client)
            if arrivals == self.pool.arrivals:
                return decision

    def _inflate(self, pieces: list[Buffer], flag: int) -> None:
        """Judge a compressed message by its plain text."""
        size = self.need - PREFIX
        # What is looked at beside other calls must not be what may grow.
        still: list[Buffer] = [bytes(each) if type(each) is bytearray else each for each in pieces]
        compressed, _ = divide(divide(still, PREFIX)[1], size)
        limit = self.plane.limits.max_message_bytes
        try:
            inflation = Inflation(compressed, size, flag, self.head.encodings, limit)
            done = size <= AT_ONCE and inflation.step(SHORT_STEP)
        except UnreadError as error:
            self._unread(error)
            return
        if done:
            self._judge_message(Message(self.head.method, inflation.plain()))
        else:
            self.task = self.plane.spawn(
                self._inflate_later(lambda: Inflation(compressed, size, flag, self.head.encodings, limit))
            )

    async def _inflate_later(self, begin: Callable[[], Inflation]) -> None:
        """Inflate beside other calls; the plain text counts as held until it is judged."""
        plane = self.plane
        held = self.held
        try:
            inflation = begin()
            async with plane.inflating.turn(self.client):
                done = await self._inflated(inflation, SHORT)
            if not (done or self.over):
                # It is long: it waits without what it has so far, which is little beside the rest.
                self._give_back(self.held - held)
                inflation = begin()
                async with plane.inflating_long.turn(self.client):
                    done = await self._inflated(inflation, inf)
            if not done:
                return
            message = Message(self.head.method, inflation.plain())
            decision = plane.gate.judge_now(message)
            if decision is None:
                decision = await self._settled(message)
        except UnreadError as error:
            self.task = None
            self._give_back(self.held - held)
            self._unread(error)
        except (MemoryError, RuntimeError):
            self.task = None
            self.give_up(rpc.RESOURCE_EXHAUSTED, "there is no room to decompress the message")
        else:
            self.task = None
            self._give_back(self.held - held)
            if not self.over and self._admitted(decision):
                self.open()
        finally:
            plane.flush()

    async def _inflated(self, inflation: Inflation, most: float) -> bool:
        """Inflate, up to `most` octets; False: there are more, or the call is over."""
        while inflation.size < most:
            before = inflation.size
            done = await asyncio.to_thread(inflation.step, LONG_STEP)
            if not self._hold_on(inflation.size - before):
                return False
            if done:
                return True
        return False

    def _hold_on(self, count: int) -> bool:
        """Take room from within the call's task, which a refusal must not cancel."""
        task, self.task = self.task, None
        if self.over or not self._hold(count):
            return False
        self.task = task
        return True

    def _give_back(self, count: int) -> None:
        """Give back a part of the room that the call has taken, unless it is over and has none."""
        if not self.over and self.entered is not None:
            self.plane.load.give_back(self.entered, count)
            self.held -= count

    def _unread(self, error: UnreadError) -> None:
        """Answer for a message that nobody reads, unless the policy lets it pass."""
        if error.hard:
            self.refuse(error.verdict)
        elif self._admitted(self.plane.gate.unread(error.verdict)):
            self.open()

    def judge_again(self) -> bool:
        pieces = self.replay
        flow = self.cut
        if not (self.head.judged and self.observed) or not self.need or pieces is None:
            return False
        if self.size < self.need and (flow is None or self.request_ended):
            # Not a whole message: nobody has judged it.
            return False
        self.judged_after = self.pool.arrivals
        if flow is None:
            self._decide(pieces)
            return True
        decision = self.plane.gate.judge_now(flow.known)
        if decision is not None:
            if isinstance(decision, Admit):
                flow.decision = decision
            if self._admitted(decision):
                self.open()
        elif flow.scanner is None or not flow.scanner.tail:
            self.task = self.plane.spawn(self._open_if(flow.known))
        else:
            # There is more to see of it, and that is judged before it passes.
            self.open()
        return True

    def _look(self, scanner: PushScanner, arrived: list[Buffer]) -> None:
        """Read on in a message that arrives; let it flow once the gate admits what is known of it."""
        worth_judging = scanner.feed(*arrived)
        if scanner.gave_up:
            self.scanner = None
        if not worth_judging:
            return
        connection = self.pool.pick()
        decision = None if connection is None else self.plane.gate.judge_now(Glimpse(scanner))
        if connection is not None and isinstance(decision, Admit):
            pieces = self.pieces
            assert pieces is not None
            self.scanner = self.pieces = None
            self.replay = pieces
            self.received.feed(pieces, self.size)
            self.cut = Cut(scanner, self.size, decision)
            if self._admitted(decision):
                self.send(connection)
        elif connection is None or not scanner.tail:
            # It cannot flow; or all has been seen that there is, and the gate has to wait or needs the values.
            self.scanner = None

    def _flow(self, flow: Cut, pieces: list[Buffer], size: int, *, ended: bool) -> None:
        """Pass on the next pieces of a message that flows, but for its tail."""
        if not self._hold(size):
            return
        # A server that takes one call later than another must not stop the client's other calls.
        self.down.lend(self.down_stream, size)
        was_whole = flow.rest <= 0
        if flow.is_seen_with(size) and self.plane.gate.still_holds(flow.decision):
            # Nothing to judge again: the last of it need not wait, nor go in a frame of its own.
            flow.scanner = None
        free = flow.take(pieces, size)
        if free or not size:
            passing = size if free is pieces else sum(map(len, free))
            self._pass_on(free, passing, ended=ended and not flow.held_back)
        if flow.rest <= 0 and not was_whole:
            # Until here the time was the client's.
            self.sent_at = self.sent_at and time.monotonic()
            if flow.scanner is not None:
                self._judge_tail(flow.scanner)
        elif ended and flow.rest > 0 and flow.held_back:
            # Not a whole message: the server says so in its own words.
            self._let_go(flow)

    def _judge_tail(self, scanner: PushScanner) -> None:
        """Judge again, now that all has been seen and before the server gets the last of it."""
        known = Glimpse(scanner)
        decision = self.plane.gate.judge_now(known)
        if decision is None:
            self.task = self.plane.spawn(self._judge_tail_later(known))
        else:
            self._tail_decided(decision)

    async def _judge_tail_later(self, known: Known) -> None:
        decision = await self._settled(known)
        self.task = None
        if not self.over:
            self._tail_decided(decision)
        self.plane.flush()

    def _tail_decided(self, decision: Decision) -> None:
        if self._admitted(decision) and self.cut is not None:
            self._let_go(self.cut)

    def _let_go(self, flow: Cut) -> None:
        pieces = flow.let_go()
        self._pass_on(pieces, sum(map(len, pieces)), ended=self.request_ended)

    def _admitted(self, decision: Decision) -> bool:
        """Note what was decided; answer a refusal."""
        note(self.outcome, decision)
        self.request = view = decision.view
        verdict = decision.verdict
        if verdict is not None and view is not None:
            key = view.key
            if key is not None and key.version is None:
                self.key, self.version = key, verdict.version
        if isinstance(decision, Refuse):
            if decision.unasked:
                self._refuse_unasked(decision, decision.unasked)
            else:
                self.refuse(decision.verdict, decision.status)
            return False
        if decision.unsettled:
            self.unsettled = decision
        if self.outcome.warnings:
            self.trailing = rpc.encode_metadata(warnings(self.outcome.warnings))
        return True

    def _refuse_unasked(self, decision: Refuse, unasked: Unanswered) -> None:
        """Answer for a server that did not say what to judge by; where that has a cause of its own, tell that."""
        if self.deadline is not None and self.deadline - time.monotonic() <= LEAST_SECONDS:
            if self.plane.out_of_reach:
                self.expire()
            else:
                self.refuse(expired())
            return
        text = f"tfs-proxy: {unasked.why}"
        annotated = self.explained(unasked.code, text, of_the_way=True) if decision.never_known else None
        if annotated is None:
            self.refuse(decision.verdict, decision.status)
        else:
            self._drop_upstream()
            self._answer_status(unasked.code, text, annotated=annotated)


def _message_in(pieces: list[Buffer], size: int) -> bytes | Pieces:
    """The first message, of `size` octets: short ones as they are, long ones without a copy."""
    if len(pieces) == 1:
        return bytes(pieces[0][PREFIX : PREFIX + size])
    if len(pieces[0]) < PREFIX:
        return b"".join(pieces)[PREFIX : PREFIX + size]
    return Pieces(pieces, PREFIX, size)
