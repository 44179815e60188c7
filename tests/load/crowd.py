"""Clients that come, ask this and that, change their minds and go, and check every answer.

Law: a closed loop that is paced: the rate is what was asked for while answers are quick. What was not as expected is
kept with an example; what a client broke off itself is nobody's fault.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from tests.load.frames import LOST, Call, Connection, head
from tests.load.traffic import KINDS, Ask, Kind

PATIENCE = 60.0
"""A call that is not answered within so many seconds is lost."""
UNAVAILABLE = 14
_EXAMPLES = 20


class Crowd:
    """`connections` at a time; `run` until the time is over, then all have gone."""

    def __init__(
        self,
        target: str,
        edge: str,
        connections: int,
        rate: float,
        seed: int = 1,
        kinds: Sequence[Kind] = KINDS,
    ) -> None:
        self._kinds = kinds
        self._weights = [kind.weight for kind in kinds]
        self._target = target
        self._also = edge == "grpcio"
        self._count = connections
        self._gap = connections / rate
        self._dice = Random(seed)
        self.sent: Counter[str] = Counter()
        self.ended: Counter[tuple[str, int | None]] = Counter()
        """By kind and code; None: cancelled."""
        self.codes: Counter[str] = Counter()
        """For the curves, since the start: `ok`, `refused`, `cancelled or late`."""
        self.put_off = 0
        """Calls that were told to come again, since the server did not answer a question in time."""
        self.wrong: Counter[str] = Counter()
        self.examples: list[str] = []
        self.connected = 0
        self.open = 0
        self.calls = 0

    async def run(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._client(Random(self._dice.random())))

    async def _client(self, dice: Random) -> None:
        await asyncio.sleep(dice.random() * min(2.0, self._gap))
        while time.monotonic() < self._until:
            try:
                connection = await Connection.connect(self._target)
            except OSError as error:
                self.note("connecting", str(error))
                await asyncio.sleep(1)
                continue
            self.connected += 1
            self.open += 1
            try:
                await self._stay(connection, dice)
            finally:
                self.open -= 1
                connection.close()

    async def _stay(self, connection: Connection, dice: Random) -> None:
        """Some calls, one after another or a few at a time, then leave: politely or not."""
        left = dice.choice((1, 5, 30, 100))
        while left > 0 and time.monotonic() < self._until and not connection.leaving:
            together = dice.choice((1, 1, 1, 4))
            kinds = dice.choices(self._kinds, self._weights, k=together)
            await asyncio.gather(*(self._call(connection, kind, kind.make(dice), dice) for kind in kinds))
            left -= together
            if connection.lost:
                return
            await asyncio.sleep(dice.expovariate(1 / (self._gap * together)))
        if dice.random() < 0.3 and not connection.lost:
            for kind in dice.choices(self._kinds, k=3):
                ask = kind.make(dice)
                call = Call(kind.name, lambda _: None)
                connection.begin(call, head(ask.path, self._target, *ask.more), ask.pieces[0], ends=False)
                self.sent["broken off with its connection"] += 1
                self.ended["broken off with its connection", None] += 1
            await asyncio.sleep(dice.random() * 0.05)
            connection.abort()

    async def _call(self, connection: Connection, kind: Kind, ask: Ask, dice: Random) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = Call(kind.name, lambda _: over.done() or over.set_result(None))
        self.sent[kind.name] += 1
        self.calls += 1
        try:
            *firsts, last = ask.pieces
            block = head(ask.path, self._target, *ask.more)
            if ask.codes:
                connection.begin(call, block, firsts[0] if firsts else last, ends=not firsts)
                for piece in firsts[1:]:
                    await asyncio.sleep(dice.random() * 0.02)
                    connection.send(call, piece)
                if firsts:
                    connection.send(call, last, ends=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await over
                self._check(kind, ask, call)
            else:
                connection.begin(call, block, ask.pieces[0], ends=not firsts)
                await asyncio.sleep(ask.cancel_after)
                if call.code == LOST:
                    self.note(kind.name, f"the connection was lost: {call.reason}")
                connection.cancel(call)
                self.ended[kind.name, None] += 1
                self.codes["cancelled or late"] += 1
        finally:
            self.calls -= 1

    def _check(self, kind: Kind, ask: Ask, call: Call) -> None:
        code = call.code
        self.ended[kind.name, code] += 1
        self.codes[
            "ok" if code == 0 else "cancelled or late" if code in {None, 1, 4} or code < 0 else "refused"
        ] += 1
        if code is None:
            self.note(kind.name, f"no end within {PATIENCE:.0f} s")
        elif code == UNAVAILABLE and call.reason.endswith("retry."):
            # The server did not say in time what its models are: true on a machine that is busy with something else.
            self.put_off += 1
        elif code not in ask.codes and not (self._also and code in kind.also):
            self.note(kind.name, f"ended with {code} {call.reason!r}")
        elif code == 0 and ask.answer is not None and bytes(call.body) != ask.answer():
            self.note(
                kind.name, f"another answer: {len(call.body)} octets that begin {bytes(call.body[:60])!r}"
            )
        elif code > 0 and ask.words not in call.reason:
            self.note(kind.name, f"{ask.words!r} is not in {call.reason!r}")

    def note(self, kind: str, what: str) -> None:
        """Keep what was not as expected."""
        self.wrong[kind] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{kind}: {what[:300]}")


def counted(crowds: Sequence[Crowd]) -> list[tuple[str, str, str, str]]:
    """Of each kind: how many there were, how they ended, and how many were not as expected."""
    rows = []
    names = [*(kind.name for kind in KINDS), "broken off with its connection", "connecting"]
    for name in names:
        sent = sum(crowd.sent[name] for crowd in crowds)
        ends: Counter[int | None] = Counter()
        for crowd in crowds:
            ends.update({code: count for (kind, code), count in crowd.ended.items() if kind == name})
        wrong = sum(crowd.wrong[name] for crowd in crowds)
        if sent or wrong:
            told = ", ".join(
                f"{count:,} {'cancelled' if code is None else NAMES.get(code, str(code))}"
                for code, count in ends.most_common()
            )
            rows.append((name, f"{sent:,}", told, f"{wrong:,}"))
    return rows


NAMES = {
    -2: "reset",
    -1: "lost",
    0: "OK",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
}
