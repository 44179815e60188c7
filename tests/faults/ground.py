"""What every fault is held against: those who stand by, and what the proxy has when it is at rest.

Law: knows no fault. A test breaks something while bystanders call, and then everything must come back to where it was.

    async with ground.undisturbed() as bystanders:      # or `disturbed`, where a fault concerns the whole server
        …the fault…
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import struct
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from proxy.wire.protos import predict_pb2
from tests.edge.conftest import PREDICT, Answered, ask
from tests.proxy_process import ProxyProcess
from tests.safety.clients import channel_to
from tests.safety.serving import CountingServer

MIB = 1 << 20
REST = 15.0
"""Seconds within which all is as before."""
LONGEST_WAIT = 3.0
"""Seconds that a bystander's call may take beside a fault that is none of its business; on a quiet machine it is a
tenth."""


class At(NamedTuple):
    """What a process holds, and what it counts of itself."""

    sockets: int
    descriptors: int
    tasks: Counter[str]
    in_flight: float
    inflight_bytes: float
    connections: float
    streams: int
    """Calls at the server."""
    resident: int

    def beyond(self, before: "At", growth: int) -> list[str]:
        """What there is more of than before."""
        more = [
            f"{name}: {now:g} after {then:g}"
            for name, now, then in (
                ("sockets", self.sockets, before.sockets),
                ("descriptors", self.descriptors, before.descriptors),
                ("tasks", self.tasks.total(), before.tasks.total()),
                ("calls in flight", self.in_flight, before.in_flight),
                ("inflight bytes", self.inflight_bytes, before.inflight_bytes),
                ("connections", self.connections, before.connections),
                ("streams of the server", self.streams, before.streams),
                ("memory beyond what may stay", self.resident - growth, before.resident),
            )
            if now > then
        ]
        return [*more, f"new tasks: {dict(self.tasks - before.tasks)}"] if more else []


@dataclass
class Bystanders:
    """What those who stand by were answered, how long the longest call took, and what was not theirs."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    longest: float = 0.0
    last: tuple[str, str] = ("", "")

    def seen(self) -> set[str]:
        return {code for code, _ in self.answers}

    async def served_again(self, calls: int = 6, seconds: float = REST) -> None:
        """Wait until so many calls in a row were good."""
        before, deadline = self._good, time.monotonic() + seconds
        while self._good < before + calls:
            assert time.monotonic() < deadline, (self.last, self.answers, self.texts[-3:])
            before = min(before, self._good)
            await asyncio.sleep(0.01)

    _good: int = 0

    async def call(self, target: str, number: int, message: Callable[[bytes], bytes], every: float) -> None:
        async with channel_to(target, ("grpc.min_reconnect_backoff_ms", 100)) as channel:
            turn = 0
            while True:
                turn += 1
                mark = struct.pack("<fff", float(number), float(turn), 1.0)
                asked = time.monotonic()
                answer = await ask(channel, PREDICT, message(mark), timeout=30)
                self.longest = max(self.longest, time.monotonic() - asked)
                self._note(answer, mark)
                await asyncio.sleep(every)

    def _note(self, answer: Answered, mark: bytes) -> None:
        self.last = answer.code.name, answer.reason
        if answer.code is grpc.StatusCode.OK:
            response = predict_pb2.PredictResponse.FromString(answer.response)
            if response.outputs["mark"].tensor_content != mark:
                self.last = "OK", "another call's answer"
        else:
            self.texts.append(f"{answer.code.name}: {answer.details}")
        self.answers[self.last] += 1
        self._good = self._good + 1 if self.last == ("OK", "") else 0


def marked(mark: bytes, model: str = "m") -> bytes:
    """A good Predict for `m` (float32[1,3]) that the server answers with its own content."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=1)
    tensor.tensor_shape.dim.add(size=3)
    tensor.tensor_content = mark
    return request.SerializeToString()


class Told(NamedTuple):
    """What a client was told, and how long that took. An `Answered` would keep the connection of its channel open."""

    code: str
    reason: str
    details: str
    seconds: float
    response: bytes | None


async def tell(channel: grpc.aio.Channel, message: bytes, **how: Any) -> Told:
    """One Predict, however it ends."""
    asked = time.monotonic()
    answer = await ask(channel, PREDICT, message, **how)
    took = time.monotonic() - asked
    try:
        reason = answer.reason
    except (AssertionError, DecodeError):  # what the server made of its details
        reason = "unreadable"
    return Told(answer.code.name, reason, answer.details or "", took, answer.response)


class Ground:
    """A proxy in front of a server of its own process, to break things on. Shared: whoever breaks it mends it.

    `counted` is the socket of `counted.py`, at which the proxy tells its tasks.
    """

    def __init__(self, edge: str, server: CountingServer, proxy: ProxyProcess, counted: Path) -> None:
        self.edge = edge
        self.server = server
        self.proxy = proxy
        self._counted = counted

    # === what it says ===

    def get(self, path: str) -> tuple[int, str]:
        """Ask the admin port."""
        try:
            with urllib.request.urlopen(f"http://{self.proxy.admin}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def api(self, path: str) -> Any:
        """An answer of /api as data."""
        code, text = self.get(f"/api/{path}")
        assert code == 200, (code, text)
        return json.loads(text)

    def problems(self) -> dict[str, int]:
        """How often each reason is counted among the problems that the page shows."""
        counts: Counter[str] = Counter()
        for problem in self.api("problems")["problems"]:
            counts[problem["reason"]] += problem["count"]
        return dict(counts)

    def upstream(self) -> str:
        """The state of the server as /api/status and the page have it."""
        return self.api("status")["upstreams"][0]["state"]

    def metrics(self) -> dict[str, float]:
        """Every sample by its name with labels, as scraped."""
        lines = (line for line in self.get("/metrics")[1].splitlines() if line and line[0] != "#")
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def count(self, family: str, **labels: str) -> float:
        """The sum of the samples of a family that carry these labels."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        return sum(
            value
            for name, value in self.metrics().items()
            if name.partition("{")[0] == family and all(each in name for each in wanted)
        )

    def errors(self, reason: str) -> tuple[float, int]:
        """How often a reason stands behind the server's errors: in the metrics, and on the page."""
        return self.count("tfs_proxy_upstream_errors_total", reason=reason), self.problems().get(reason, 0)

    async def tells(self, reason: str, since: tuple[float, int]) -> None:
        """Wait until metrics and page count one more than `since`."""
        deadline = time.monotonic() + REST
        while not all(
            now > then for now, then in zip(await asyncio.to_thread(self.errors, reason), since, strict=True)
        ):
            assert time.monotonic() < deadline, f"{reason} is not told: {self.problems()}"
            await asyncio.sleep(0.02)

    async def says(self, words: str, seconds: float = REST) -> None:
        """Wait until /readyz and the page say so; `words` is a regular expression."""
        deadline = time.monotonic() + seconds
        while True:
            told = [
                (await asyncio.to_thread(self.get, path))[1] for path in ("/readyz?verbose", "/api/status")
            ]
            if all(re.search(words, text) for text in told):
                return
            assert time.monotonic() < deadline, f"{words!r} is not in {told[0]}"
            await asyncio.sleep(0.02)

    async def has_taken(self, calls: int) -> None:
        """Wait until the server has so many calls that it holds; those that it answers at once come and go."""
        deadline = time.monotonic() + REST
        seen = 0
        while seen < 3:
            # Three looks in a row: a bystander's call is not there that long.
            seen = seen + 1 if await asyncio.to_thread(self.server.order, "under_way") >= calls else 0
            assert time.monotonic() < deadline, "the server holds no call"
            await asyncio.sleep(0.01)

    # === what it holds ===

    def at(self) -> At:
        """What there is now."""
        pid = self.proxy.process.pid
        kinds = []
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                kinds.append(str(each.readlink()))
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self._counted))
            asking.settimeout(10)
            tasks = Counter(asking.makefile().read().splitlines())
        metrics = self.metrics()
        return At(
            sum(kind.startswith("socket:") for kind in kinds),
            len(kinds),
            tasks,
            metrics["tfs_proxy_in_flight"],
            metrics["tfs_proxy_inflight_bytes"],
            metrics["tfs_proxy_connections"],
            self.server.order("under_way") if self.server.alive else 0,
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        )

    async def settled(self) -> At:
        """What there is once two looks in a row agree, with memory aside."""
        before = await asyncio.to_thread(self.at)
        async with asyncio.timeout(REST):
            while True:
                await asyncio.sleep(0.05)
                now = await asyncio.to_thread(self.at)
                if now[:-1] == before[:-1]:
                    return now
                before = now

    async def comes_to_rest(self, before: At, growth: int = 24 * MIB) -> None:
        """Wait until nothing is more than before, and the proxy ready; memory may have grown by `growth`."""
        deadline = time.monotonic() + REST
        while True:
            now = await asyncio.to_thread(self.at)
            more = now.beyond(before, growth)
            ready, text = await asyncio.to_thread(self.get, "/readyz?verbose")
            if not more and ready == 200:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"not at rest: {more}, ready: {ready} {text}")
            await asyncio.sleep(0.05)

    # === who stands by ===

    @contextlib.asynccontextmanager
    async def standing_by(
        self, many: int = 3, every: float = 0.01, message: Callable[[bytes], bytes] = marked
    ) -> AsyncIterator[Bystanders]:
        """Good calls all the time, each client on a connection of its own, while the block runs and a little longer."""
        bystanders = Bystanders()
        calling = [
            asyncio.create_task(bystanders.call(self.proxy.target, number, message, every))
            for number in range(many)
        ]
        try:
            await bystanders.served_again()
            yield bystanders
            await bystanders.served_again()
        finally:
            for each in calling:
                each.cancel()
            ended = await asyncio.gather(*calling, return_exceptions=True)
        wrong = [each for each in ended if not isinstance(each, asyncio.CancelledError)]
        assert not wrong, wrong

    @contextlib.asynccontextmanager
    async def undisturbed(self, growth: int = 24 * MIB, **how: Any) -> AsyncIterator[Bystanders]:
        """A fault that is nobody else's business: bystanders see nothing of it, and afterwards all is as before."""
        before = await self.settled()
        with self.server.spared():
            async with self.standing_by(**how) as bystanders:
                yield bystanders
            assert bystanders.answers.keys() == {("OK", "")}, (bystanders.answers, bystanders.texts[:5])
            assert bystanders.longest < LONGEST_WAIT, bystanders.longest
            await self.comes_to_rest(before, growth)

    @contextlib.asynccontextmanager
    async def disturbed(
        self,
        allowed: Iterable[tuple[str, str]],
        longest: float,
        growth: int = 24 * MIB,
        **how: Any,
    ) -> AsyncIterator[Bystanders]:
        """A fault of the whole server: bystanders are told the truth, one of the (status, reason) that are `allowed`,
        within `longest` seconds, and are served again afterwards; then all is as before."""
        before = await self.settled()
        with self.server.spared():
            async with self.standing_by(**how) as bystanders:
                yield bystanders
            lies = bystanders.answers.keys() - {("OK", ""), *allowed}
            assert not lies, (bystanders.answers, bystanders.texts[:5])
            assert bystanders.longest < longest, bystanders.longest
            await self.comes_to_rest(before, growth)
