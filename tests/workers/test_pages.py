"""However many ask at once, workers are asked one time after the other, and nobody waits for more than two."""

import asyncio

from proxy.workers.pages import Pages


class SlowPost:
    """A post whose worker answers when it is told to, with how often it has been asked."""

    number = 0
    state = "serving"
    started_again = 0
    pid = 1
    metrics = ()

    def __init__(self) -> None:
        self.asked = 0
        self.waiting = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def ask(self, part: str) -> object:
        assert part == "metrics"
        self.asked += 1
        asked = self.asked
        self.waiting.set()
        await self.may_answer.wait()
        return asked


async def test_whoever_comes_while_a_worker_is_asked_shares_the_next_asking():
    post = SlowPost()
    pages = Pages([post], [], 10)
    first = asyncio.create_task(pages.ask("/metrics"))
    await post.waiting.wait()
    later = [asyncio.create_task(pages.ask(path)) for path in ("/metrics", "/api/workers", "/metrics")]
    cancelled = asyncio.create_task(pages.ask_metrics())
    await asyncio.sleep(0)
    cancelled.cancel()
    post.may_answer.set()
    await asyncio.wait_for(asyncio.gather(first, *later), 5)
    assert post.asked == 2
    # Nobody is left over who asks again and again.
    assert pages._told["metrics"] == {0: 2}
    await pages.ask_metrics()
    assert pages._told["metrics"] == {0: 3}
