"""StatusRounds: GetModelStatus for many who wait, each answered by a question asked after they came.

Law: one question at a time per model whatever the number of those who wait, and none that nobody waits for: a
wrong request costs the server no more than one, which is less than the request itself would. An answer to an
earlier question never serves a later comer. Models that are known to exist have room of their own: names that
clients invent cannot take it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.core.availability import Unanswered, VersionStatus
from proxy.upstream.client import NoAnswerError

Versions = tuple[VersionStatus, ...]


class StatusRounds:
    """Rounds of one question for all who came before it was asked.

    At most `max_strangers` models of which nothing is known are asked for at a time.
    """

    def __init__(self, ask: Callable[[str], Awaitable[Versions]], *, max_strangers: int = 128) -> None:
        self._ask = ask
        self._max_strangers = max_strangers
        self._coming: dict[str, asyncio.Future[Versions | Unanswered]] = {}
        self._latest: dict[str, asyncio.Task[None]] = {}
        self._rounds: set[asyncio.Task[None]] = set()

    async def versions(self, model: str, *, known: bool = False) -> Versions | Unanswered:
        """What the server says of `model` from now on."""
        answer = self._coming.get(model)
        if answer is None:
            previous = self._latest.get(model)
            if previous is None and not known and len(self._latest) >= self._max_strangers:
                return Unanswered("too many unknown names are being asked for")
            loop = asyncio.get_running_loop()
            answer = self._coming[model] = loop.create_future()
            task = self._latest[model] = loop.create_task(self._round(model, answer, previous))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)
        await asyncio.wait((answer,))
        return answer.result()

    async def stop(self) -> None:
        """End all rounds; nobody is left waiting."""
        rounds = list(self._rounds)
        for each in rounds:
            each.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        for answer in self._coming.values():
            if not answer.done():  # a task cancelled before its first step never ran
                answer.set_result(_STOPPED)
        self._coming.clear()
        self._latest.clear()

    async def _round(
        self,
        model: str,
        answer: "asyncio.Future[Versions | Unanswered]",
        previous: "asyncio.Task[None] | None",
    ) -> None:
        versions: Versions | Unanswered = _STOPPED
        try:
            if previous is not None:
                await asyncio.wait((previous,))
            del self._coming[model]  # whoever comes from here on waits for the next round
            versions = await self._ask(model)
        except NoAnswerError as error:
            versions = error.unanswered
        finally:
            if not answer.done():
                answer.set_result(versions)
        if self._latest.get(model) is asyncio.current_task():
            del self._latest[model]


_STOPPED = Unanswered("the proxy is stopping")
