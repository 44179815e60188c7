"""StatusRounds: GetModelStatus for many who wait, each answered by a question asked after they came.

Law: one question at a time per model, `spacing` seconds between them whatever the number of those who wait;
an answer to an earlier question never serves a later comer.
"""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.core.availability import VersionStatus
from proxy.upstream.client import NoAnswerError

Versions = tuple[VersionStatus, ...]


class StatusRounds:
    """Rounds of one question for all who came before it was asked; at most `max_models` models at a time."""

    def __init__(
        self, ask: Callable[[str], Awaitable[Versions]], *, spacing: float = 0.02, max_models: int = 128
    ) -> None:
        self._ask = ask
        self._spacing = spacing
        self._max_models = max_models
        self._coming: dict[str, asyncio.Future[Versions | None]] = {}
        self._latest: dict[str, asyncio.Task[None]] = {}

    async def versions(self, model: str) -> Versions | None:
        """What the server says of `model` from now on; None: no answer, or too many models at a time."""
        answer = self._coming.get(model)
        if answer is None:
            previous = self._latest.get(model)
            if previous is None and len(self._latest) >= self._max_models:
                return None
            loop = asyncio.get_running_loop()
            answer = self._coming[model] = loop.create_future()
            self._latest[model] = loop.create_task(self._round(model, answer, previous))
        await asyncio.wait((answer,))
        return answer.result()

    async def stop(self) -> None:
        """End all rounds; whoever waits gets None."""
        rounds = list(self._latest.values())
        for each in rounds:
            each.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        for answer in self._coming.values():
            if not answer.done():  # a task cancelled before its first step never ran
                answer.set_result(None)
        self._coming.clear()
        self._latest.clear()

    async def _round(
        self, model: str, answer: "asyncio.Future[Versions | None]", previous: "asyncio.Task[None] | None"
    ) -> None:
        versions = None
        try:
            if previous is not None:
                await asyncio.wait((previous,))
            del self._coming[model]  # whoever comes from here on waits for the next round
            versions = await self._ask(model)
        except NoAnswerError:
            pass
        finally:
            if not answer.done():
                answer.set_result(versions)
        await asyncio.sleep(self._spacing)
        if self._latest.get(model) is asyncio.current_task():
            del self._latest[model]
