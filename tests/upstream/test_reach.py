"""While the server cannot be reached, the watch finds out why; while it can, it does nothing."""

import asyncio

import pytest

from proxy.diagnosis.reach import Attempt, Connect, Reach
from proxy.upstream.reach import ReachWatch

REFUSED = Reach("tfs:8500", attempts=(Attempt("tfs:8500", Connect.REFUSED),))


class Probing:
    """Counts probes; each returns `answer`."""

    def __init__(self):
        self.answer = REFUSED
        self.count = 0
        self.looked = asyncio.Semaphore(0)

    async def __call__(self):
        self.count += 1
        self.looked.release()
        return self.answer

    async def times(self, number):
        async with asyncio.timeout(5):
            for _ in range(number):
                await self.looked.acquire()


@pytest.fixture
async def probing():
    return Probing()


@pytest.fixture
async def found():
    return []


@pytest.fixture
async def watch(probing, found):
    watch = ReachWatch(probing, found.append, patience=0.01, interval=0.01)
    yield watch
    await watch.stop()


async def test_without_a_connection_it_looks_again_and_again_and_tells_once(watch, probing, found):
    watch.start()
    await probing.times(4)
    assert watch.latest == REFUSED
    assert found == [REFUSED]


async def test_a_new_finding_is_told(watch, probing, found):
    watch.start()
    await probing.times(2)
    probing.answer = Reach("tfs:8500", name_error="gone")
    await probing.times(3)
    assert [reach.name_error for reach in found] == ["", "gone"]


async def test_a_connection_ends_the_looking_and_the_finding(watch, probing):
    watch.start()
    await probing.times(2)
    watch.changed(True)
    count = probing.count
    assert (watch.latest, watch.up) == (None, True)
    await asyncio.sleep(0.05)
    assert probing.count == count


async def test_a_server_that_was_there_is_known_to_have_been(watch, probing, found):
    watch.changed(True)
    watch.start()
    watch.changed(False)
    await probing.times(2)
    assert [reach.was_up for reach in found] == [True]


async def test_a_probe_that_fails_is_tried_again(found):
    outcomes = iter([OSError("no such file"), ValueError("bad certificate")])
    looked = asyncio.Event()

    async def failing():
        for error in outcomes:
            raise error
        looked.set()
        return REFUSED

    watch = ReachWatch(failing, found.append, patience=0, interval=0)
    watch.start()
    await asyncio.wait_for(looked.wait(), 5)
    await watch.stop()


async def test_how_long_an_attempt_took_is_no_news(watch, probing, found):
    watch.start()
    await probing.times(2)
    probing.answer = Reach("tfs:8500", attempts=(Attempt("tfs:8500", Connect.REFUSED, 1.0),))
    await probing.times(3)
    assert len(found) == 1


async def test_stopping_ends_a_probe_under_way(found):
    begun = asyncio.Event()

    async def endless():
        begun.set()
        await asyncio.Event().wait()

    watch = ReachWatch(endless, found.append, patience=0)
    watch.start()
    await begun.wait()
    await asyncio.wait_for(watch.stop(), 5)


async def test_a_server_that_was_there_is_known_to_be_gone_before_the_first_probe(probing):
    watch = ReachWatch(probing, patience=60)
    watch.start()
    watch.changed(up=True)
    watch.changed(up=False)
    assert watch.latest == Reach("", was_up=True)
    watch.changed(up=True)
    assert watch.latest is None
    await watch.stop()
