"""
The plain text of compressed messages, read beside other calls and in turns.

Law: one message is inflated at a time, and one beside it that may turn out to be long. What comes out counts as held
by its call, step by step, and where there is no room for the next step there is no plain text.
"""

import asyncio
from collections.abc import Sequence
from math import inf
from typing import final

from proxy.core.verdict import Verdict
from proxy.edge.native.http2.stream import Buffer
from proxy.edge.native.inflating import AT_ONCE, LONG_STEP, SHORT, SHORT_STEP, Inflation
from proxy.edge.native.ledger import Ledger
from proxy.gate.turns import Turns


@final
class NoRoomError(Exception):
    """There is no room for the plain text of a message."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


@final
class Compressed:
    """A compressed message: `size` octets in `pieces`; the rest is as for `Inflation`."""

    __slots__ = ("_encodings", "_flag", "_limit", "_pieces", "size")

    def __init__(
        self, pieces: Sequence[Buffer], size: int, flag: int, encodings: tuple[bytes, ...], limit: int
    ) -> None:
        self.size = size
        self._pieces = pieces
        self._flag = flag
        self._encodings = encodings
        self._limit = limit

    def inflation(self) -> Inflation:
        """Begin to inflate it, from the start. Raises UnreadError."""
        return Inflation(self._pieces, self.size, self._flag, self._encodings, self._limit)

    def plain_at_once(self) -> bytes | None:
        """The plain text, while other calls wait; None: that would take long. Raises UnreadError."""
        inflation = self.inflation()
        return inflation.plain() if self.size <= AT_ONCE and inflation.step(SHORT_STEP) else None


@final
class PlainText:
    """In whose turn messages are inflated."""

    def __init__(self) -> None:
        self._turns, self._long_turns = Turns(), Turns()

    async def of(self, message: Compressed, ledger: Ledger) -> bytes:
        """
        Inflate a message in its client's turn, in a thread.

        What the plain text holds then is the caller's to give back. Raises UnreadError and NoRoomError.
        """
        held = ledger.held
        inflation = message.inflation()
        async with self._turns.turn(ledger.client):
            done = await _inflate(inflation, SHORT, ledger)
        if not done:
            # It is long: it waits without what it has so far, which is little beside the rest.
            ledger.give_back(ledger.held - held)
            inflation = message.inflation()
            async with self._long_turns.turn(ledger.client):
                await _inflate(inflation, inf, ledger)
        return inflation.plain()


async def _inflate(inflation: Inflation, most: float, ledger: Ledger) -> bool:
    """Inflate, up to `most` octets; whether that was all."""
    while inflation.size < most:
        before = inflation.size
        done = await asyncio.to_thread(inflation.step, LONG_STEP)
        full = ledger.hold(inflation.size - before)
        if full is not None:
            raise NoRoomError(full)
        if done:
            return True
    return False
