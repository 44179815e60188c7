"""Whose request is read next, where that takes longer than a glance.

Law: one long message is read at a time, and one that is not so long beside it, since all would only share one
interpreter; clients take turns, so that many messages of one keep nobody else from being read.
"""

import asyncio
from typing import Final, final

from proxy.gate.known import Known, Parts
from proxy.gate.turns import Client, Turns

SHORT: Final = 1 << 20
"""Octets of a message that is read beside longer ones."""


@final
class Reading:
    """Whose long message is read next: a short one never waits for those that take long."""

    def __init__(self) -> None:
        self._short, self._long = Turns(), Turns()

    async def read(self, known: Known, client: Client) -> Parts:
        """Read a request in the client's turn, in a thread."""
        async with (self._short if known.size <= SHORT else self._long).turn(client):
            return await _beside(known)


async def _beside(known: Known) -> Parts:
    """Read in a thread, or, where the system gives none, while everybody waits."""
    try:
        return await asyncio.to_thread(known.parts)
    except RuntimeError:
        return known.parts()
