"""A post always has a worker, or is about to have one; what one does wrong is told."""

import asyncio
import itertools

import pytest
import structlog

from proxy.life import StartError
from proxy.workers.channel import DRAIN, HURRY, Report
from proxy.workers.post import Post

SERVES = Report()


class FakeWorker:
    """A worker that does as it is told here."""

    pids = itertools.count(100)

    def __init__(self, report: Report | None = SERVES, answer: object = ()) -> None:
        self.pid = next(self.pids)
        self.begun = 0.0
        self.orders: list[bytes] = []
        self.answer = answer
        self.last: object = None
        self.late_answer: object = None
        self._report = report
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if report is None or report.failed:
            self.end(2)

    async def report(self) -> Report | None:
        return self._report

    async def ask(self, part: str, seconds: float = 2.0) -> object:
        return self.answer if seconds == 2.0 else self.late_answer

    def last_words(self) -> object:
        return self.last

    def order(self, line: bytes) -> None:
        self.orders.append(line)

    def end(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    def kill(self) -> None:
        self.end(-9)

    async def ended(self) -> int:
        return await asyncio.shield(self._code)


class Stage:
    """A post, the workers that come onto it, a clock, and what it tells."""

    def __init__(self) -> None:
        self.now = 100.0
        self.workers: list[FakeWorker] = []
        self.coming: list[FakeWorker] = []
        self.buried: list[object] = []
        self.failed = 0
        self.changed = asyncio.Event()
        self.gone = asyncio.Event()
        self.post = Post(0, self._spawn, self._bury, self._failed, lambda: self.now)

    async def _spawn(self, life: int) -> FakeWorker:
        assert life == len(self.workers) + 1
        worker = self.coming.pop(0) if self.coming else FakeWorker()
        if isinstance(worker, OSError):
            self.workers.append(worker)
            raise worker
        self.workers.append(worker)
        self.changed.set()
        return worker

    def _bury(self, metrics: object) -> None:
        self.buried.append(metrics)
        self.gone.set()

    def _failed(self) -> None:
        self.failed += 1

    async def until(self, count: int) -> FakeWorker:
        async with asyncio.timeout(5):
            while len(self.workers) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.workers[-1]


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_worker_that_ends_is_told_and_another_takes_its_place(log):
    stage = Stage()
    await stage.post.open()
    keeping = asyncio.create_task(stage.post.keep())
    assert await stage.post.ask("metrics") == ()
    stage.workers[0].end(-11)
    second = await stage.until(2)
    assert stage.post.started_again == 1
    stage.post.drain()
    second.end(0)
    await keeping
    assert (stage.post.state, second.orders) == ("ended", [DRAIN])
    (line,) = [line for line in log if line["event"] == "worker_ended"]
    assert (line["how"], line["again_in_seconds"], line["log_level"]) == ("SIGSEGV", 0.0, "error")


async def test_what_a_worker_told_last_outlives_it_once(log):
    stage = Stage()
    stage.coming = [FakeWorker(answer=("numbers",))]
    await stage.post.open()
    keeping = asyncio.create_task(stage.post.keep())
    await stage.post.ask("metrics")
    stage.workers[0].end(1)
    await stage.until(2)
    assert stage.buried == [("numbers",)]
    assert stage.post.metrics == ()
    stage.post.kill()
    await keeping


async def test_what_a_worker_leaves_behind_is_later_than_what_it_told(log):
    stage = Stage()
    await stage.post.open()
    keeping = asyncio.create_task(stage.post.keep())
    await stage.post.ask("metrics")
    stage.workers[0].last = ("all of it",)
    stage.workers[0].end(0)
    await stage.until(2)
    assert stage.buried == [("all of it",)]
    stage.post.kill()
    await keeping


async def test_the_first_that_cannot_start_says_why():
    stage = Stage()
    stage.coming = [FakeWorker(Report(failed="the port is taken"))]
    with pytest.raises(StartError, match="the port is taken"):
        await stage.post.open()
    stage = Stage()
    stage.coming = [FakeWorker(None)]
    with pytest.raises(StartError, match="worker 0 ended before it served: exit code 2"):
        await stage.post.open()


async def test_one_that_cannot_start_later_is_tried_again(log):
    stage = Stage()
    await stage.post.open()
    stage.coming = [FakeWorker(Report(failed="no such file"))]
    keeping = asyncio.create_task(stage.post.keep())
    stage.workers[0].end(1)
    await stage.until(3)
    assert stage.failed == 1
    (line,) = [line for line in log if line["event"] == "worker_failed"]
    assert line["text"] == "no such file"
    stage.post.kill()
    await keeping


async def test_a_machine_without_room_for_a_process_is_asked_again(log):
    stage = Stage()
    await stage.post.open()
    stage.coming = [OSError("no more processes")]
    keeping = asyncio.create_task(stage.post.keep())
    stage.workers[0].end(1)
    await stage.until(3)
    (line,) = [line for line in log if line["event"] == "worker_failed"]
    assert line["text"] == "worker 0 cannot be started: no more processes"
    stage.post.kill()
    await keeping


async def test_orders_that_come_while_a_worker_starts_reach_it(log):
    stage = Stage()
    stage.post.hurry()
    await stage.post.open()
    assert stage.workers[0].orders == [HURRY]


async def test_a_worker_that_does_not_answer_is_silent_until_it_does(log):
    stage = Stage()
    await stage.post.open()
    worker = stage.workers[0]
    worker.answer = None
    assert await stage.post.ask("checks") is None
    assert await stage.post.ask("checks") is None
    assert stage.post.state == "silent"
    worker.answer = ()
    assert await stage.post.ask("checks") == ()
    assert stage.post.state == "serving"
    assert [line["event"] for line in log] == ["worker_started", "worker_silent"]


async def test_a_worker_that_hangs_for_a_minute_is_ended_and_not_before(log):
    stage = Stage()
    await stage.post.open()
    keeping = asyncio.create_task(stage.post.keep())
    worker = stage.workers[0]
    worker.answer = None
    await stage.post.ask("metrics")
    stage.now += 59
    await stage.post.end_if_it_hangs()
    assert len(stage.workers) == 1
    assert not worker._code.done()
    stage.now += 1
    await stage.post.end_if_it_hangs()
    await stage.until(2)
    assert [line["event"] for line in log][:4] == [
        "worker_started",
        "worker_silent",
        "worker_killed",
        "worker_ended",
    ]
    stage.post.kill()
    await keeping


async def test_a_worker_that_is_only_slow_lives(log):
    stage = Stage()
    await stage.post.open()
    worker = stage.workers[0]
    worker.answer, worker.late_answer = None, []
    await stage.post.ask("metrics")
    stage.now += 60
    await stage.post.end_if_it_hangs()
    assert not worker._code.done()
    assert stage.post.state == "serving"


async def test_a_post_that_is_closed_while_it_waits_gets_no_other_worker(log):
    stage = Stage()
    await stage.post.open()
    stage.workers[0].begun = stage.now
    keeping = asyncio.create_task(stage.post.keep())
    stage.workers[0].end(1)
    await asyncio.wait_for(stage.gone.wait(), 5)
    assert stage.post.state == "waiting"
    stage.post.drain()
    await keeping
    assert (len(stage.workers), stage.post.state) == (1, "ended")
