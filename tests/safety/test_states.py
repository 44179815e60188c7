"""Whatever a server goes through and whatever clients send, step by step: it runs nothing that contradicts it.

The server swaps, loads, unloads, restarts, goes away, and is slow or silent about its metadata; clients send good and
bad requests, alone and in bursts, with odd encodings, short deadlines and cancellations, among floods of names.
After every step:

- The server has run no request that contradicts the signature it had at that moment. The one exception: the server
  has changed a moment ago, told nobody, and the request fits what it had before (TELLING is how long that may last).
- Every good request was answered OK, or with a retryable status whose reason is true.

`TFS_PROXY_EXPLORE=20 pytest tests/safety/test_states.py` goes 20 times as far.
"""

import asyncio
import gzip
import itertools
import time
from dataclasses import dataclass, field

import grpc
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proxy.wire.protos import predict_pb2
from tests.clients.raw import framed
from tests.conftest import EXPLORE
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import PREDICT, Answered
from tests.fake_serving import DT_FLOAT
from tests.safety.clients import GOOD, ask_predict, channel_to, spoken
from tests.safety.conftest import start
from tests.safety.serving import CountingServer

POLL = 0.3
TELLING = POLL + 0.7
"""Seconds within which the proxy has to notice a swap of which nobody tells it."""
RECOVERING = 6.0
"""Seconds after a restart within which the server may still be said to be out of reach: the longest back-off."""

SHAPES = {"rows of 3": (-1, 3), "rows of 4": (-1, 4), "pictures": (-1, 2, 2), "anything": None}
SENT = {"rows of 3": (1, 3), "rows of 4": (2, 4), "pictures": (1, 2, 2)}
NEVER = {"no batch": (3,), "far too many": (1, 9), "one number too many": (1, 1, 1, 7)}
"""Shapes that contradict every signature but that of anything."""

MARKS = itertools.count(1)
NAMES = itertools.count(1)

UPSTREAM_LOST = {"UPSTREAM_UNREACHABLE", "UPSTREAM_RESET"}
NOT_ASKED = {"SIGNATURE_UNCONFIRMED", "SIGNATURE_UNAVAILABLE"}


def request_for(model: str, shape: tuple[int, ...], mark: int) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["x"]
    tensor.dtype = DT_FLOAT
    count = 1
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
        count *= size
    tensor.tensor_content = (mark.to_bytes(12, "big") + bytes(4 * count))[: 4 * count]
    return request.SerializeToString()


def fits(shape: tuple[int, ...], signature: str) -> bool:
    wanted = SHAPES[signature]
    return wanted is None or (
        len(wanted) == len(shape) and all(want in {-1, got} for want, got in zip(wanted, shape, strict=True))
    )


@dataclass
class Model:
    """`past`: until when the server had which signature, oldest first."""

    name: str
    signature: str
    version: int = 1
    past: list[tuple[float, str]] = field(default_factory=list)

    def had(self, sent: float, answered: float) -> set[str]:
        """The signatures that were in force at any moment between."""
        until = [*self.past, (float("inf"), self.signature)]
        return {
            signature
            for (end, signature), begin in zip(until, (0.0, *(end for end, _ in self.past)), strict=True)
            if end >= sent and begin <= answered
        }


@dataclass
class Sent:
    model: Model
    shape: tuple[int, ...]
    at: float
    timed: bool = False
    answered: float = 0.0
    answer: Answered | None = field(default=None, repr=False)


class States(RuleBasedStateMachine):
    """`broken`: where a broken promise is noted, since hypothesis asks again and time does not repeat itself."""

    def __init__(
        self,
        server: CountingServer,
        target: str,
        loop: asyncio.AbstractEventLoop,
        broken: list[AssertionError],
    ) -> None:
        super().__init__()
        self.server, self.target, self.loop, self.broken = server, target, loop, broken
        self.story: list[str] = []
        """What the server went through."""
        self.models = [self._load("rows of 3")]
        self.sent: dict[int, Sent] = {}
        self.judged = len(server.ran)
        self.withheld = False
        self.trouble = 0.0
        """When the server was last out of reach, silent about itself, or drowned in names."""

    def _load(self, signature: str) -> Model:
        model = Model(f"state-{next(NAMES)}", signature)
        self.server.load(model.name, {"x": (DT_FLOAT, SHAPES[signature])})
        return model

    def teardown(self) -> None:
        self._mend()
        for model in self.models:
            self.server.unload(model.name)
        self.loop.run_until_complete(self._served_again())

    async def _served_again(self) -> None:
        async with channel_to(self.target) as channel, asyncio.timeout(20):
            while (await ask_predict(channel, GOOD)).code is not grpc.StatusCode.OK:
                pass

    # === clients ===

    async def _ask(self, channel: grpc.aio.Channel, sent: Sent, mark: int, **how: object) -> None:
        self.sent[mark] = sent
        sent.answer = await ask_predict(channel, request_for(sent.model.name, sent.shape, mark), **how)
        sent.answered = time.monotonic()

    async def _burst(self, calls: list[tuple[Model, tuple[int, ...]]], names: int = 0, **how: object) -> None:
        async with channel_to(self.target) as channel:
            flood = [
                asyncio.create_task(
                    ask_predict(channel, request_for(f"invented-{next(NAMES)}", (1, 3), 0), timeout=5)
                )
                for _ in range(names)
            ]
            await asyncio.sleep(0)
            asked = [Sent(model, shape, time.monotonic(), timed="timeout" in how) for model, shape in calls]
            await asyncio.gather(*(self._ask(channel, sent, next(MARKS), **how) for sent in asked))
            for each in flood:
                each.cancel()
            await asyncio.gather(*flood, return_exceptions=True)

    def _pick(self, index: int) -> Model:
        return self.models[index % len(self.models)]

    @rule(
        index=st.integers(0, 5),
        shape=st.sampled_from([*SENT.values(), *NEVER.values()]),
        times=st.integers(1, 8),
    )
    def send(self, index, shape, times):
        self.loop.run_until_complete(self._burst([(self._pick(index), shape)] * times))

    @rule(
        index=st.integers(0, 5),
        shapes=st.lists(st.sampled_from([*SENT.values(), *NEVER.values()]), min_size=5),
    )
    def send_all_at_once(self, index, shapes):
        self.loop.run_until_complete(self._burst([(self._pick(index), shape) for shape in shapes]))

    @rule(
        index=st.integers(0, 5),
        names=st.sampled_from([140, 400]),
        shapes=st.lists(st.sampled_from([*SENT.values(), *NEVER.values()]), min_size=5, max_size=20),
    )
    def send_among_names(self, index, names, shapes):
        self.trouble = float("inf")
        self.loop.run_until_complete(self._burst([(self._pick(index), shape) for shape in shapes], names))
        self.trouble = time.monotonic()

    @rule(
        index=st.integers(0, 5),
        shape=st.sampled_from([*SENT.values(), *NEVER.values()]),
        timeout=st.sampled_from([0.0002, 0.001, 0.005, 0.05]),
    )
    def send_in_a_hurry(self, index, shape, timeout):
        self.loop.run_until_complete(self._burst([(self._pick(index), shape)] * 10, timeout=timeout))

    @rule(
        index=st.integers(0, 5),
        shape=st.sampled_from([*SENT.values(), *NEVER.values()]),
        encodings=st.lists(st.sampled_from(["identity", "gzip", "deflate", ""]), max_size=3),
        flag=st.sampled_from([0, 1, 2, 255]),
    )
    def send_oddly_encoded(self, index, shape, encodings, flag):
        async def speak():
            model, mark = self._pick(index), next(MARKS)
            self.sent[mark] = Sent(model, shape, time.monotonic())
            message = request_for(model.name, shape, mark)
            body = framed(gzip.compress(message) if flag else message, flag)

            class At:
                target = self.target

            await spoken(At, body, *(("grpc-encoding", name) for name in encodings))

        self.loop.run_until_complete(speak())

    @rule(
        index=st.integers(0, 5),
        shape=st.sampled_from([*SENT.values(), *NEVER.values()]),
        moment=st.sampled_from([0, 0.001, 0.01]),
    )
    def cancel(self, index, shape, moment):
        async def begin_and_cancel():
            async with channel_to(self.target) as channel:
                calls = []
                for _ in range(20):
                    mark, model = next(MARKS), self._pick(index)
                    self.sent[mark] = Sent(model, shape, time.monotonic())
                    calls.append(
                        channel.unary_unary(PREDICT)(request_for(model.name, shape, mark), timeout=10)
                    )
                await asyncio.sleep(moment)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*(call.code() for call in calls))

        self.loop.run_until_complete(begin_and_cancel())

    # === the server ===

    @precondition(lambda self: self.server.alive)
    @rule(index=st.integers(0, 5), signature=st.sampled_from(list(SHAPES)))
    def swap(self, index, signature):
        model = self._pick(index)
        model.version += 1
        before, model.signature = model.signature, signature
        self.server.swap(model.name, model.version, {"x": (DT_FLOAT, SHAPES[signature])})
        model.past.append((time.monotonic(), before))
        self.story.append(f"{model.name} swapped from {before} to {signature}")

    @precondition(lambda self: self.server.alive and len(self.models) < 4)
    @rule(signature=st.sampled_from(list(SHAPES)))
    def load(self, signature):
        self.models.append(self._load(signature))

    @precondition(lambda self: self.server.alive)
    @rule()
    def restart(self):
        self.server.kill()
        self.server.revive()
        self.withheld = False
        self.trouble = time.monotonic()
        self.story.append("restarted")

    @precondition(lambda self: self.server.alive)
    @rule()
    def go_away(self):
        self.server.kill()
        self.trouble = float("inf")
        self.story.append("gone")

    @precondition(lambda self: self.server.alive)
    @rule(
        method=st.sampled_from(["GetModelMetadata", "GetModelStatus"]),
        how=st.sampled_from(["slow", "silent", "failing"]),
    )
    def withhold(self, method, how):
        if how == "failing":
            self.server.order("fail", method=method, code="UNAVAILABLE", text="not now")
        else:
            self.server.order("delay", method=method, seconds=0.2 if how == "slow" else 30)
        self.withheld = True
        self.story.append(f"{method} {how}")

    @precondition(lambda self: self.withheld or not self.server.alive)
    @rule()
    def mend(self):
        self._mend()
        self.story.append("mended")

    def _mend(self):
        if not self.server.alive:
            self.server.revive()
            self.withheld = False
            self.trouble = time.monotonic()
        elif self.withheld:
            for method in ("GetModelMetadata", "GetModelStatus"):
                self.server.order("mend", method=method)
                self.server.order("delay", method=method, seconds=0)
            self.withheld = False
            self.trouble = time.monotonic()

    # === what holds after every step ===

    @invariant()
    def nothing_was_run_that_contradicts(self):
        if self.server.alive:
            self.server.order("under_way")
        for mark, what in list(zip(self.server.marks, self.server.ran, strict=True))[self.judged :]:
            sent = self.sent.get(mark)
            self._hold(
                sent is not None
                and any(
                    fits(sent.shape, signature) and sent.at < until + TELLING
                    for until, signature in sent.model.past[-1:]
                ),
                what,
                sent,
            )
        self.judged = len(self.server.ran)

    @invariant()
    def good_requests_were_answered(self):
        for sent in self.sent.values():
            if sent.answer is not None:
                self._check(sent, sent.answer)
        # Kept for what may still be run; what was answered is not looked at twice.
        for sent in self.sent.values():
            sent.answer = None

    def _check(self, sent: Sent, answer: Answered) -> None:
        signatures = sent.model.had(sent.at, sent.answered)
        good = all(fits(sent.shape, signature) for signature in signatures)
        told = answer.code, answer.reason, answer.details
        if not good:
            return
        if answer.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._hold(sent.timed, *told)
            return
        if answer.code is grpc.StatusCode.OK:
            return
        retryable = answer.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        troubled = self.withheld or sent.at < self.trouble + RECOVERING
        true = answer.reason in UPSTREAM_LOST | NOT_ASKED | {"OVERLOADED"}
        self._hold(retryable and troubled and true, *told, sent)

    def _hold(self, promise: object, *told: object) -> None:
        if not promise:
            self.broken.append(AssertionError((*told, self.story)))
            raise self.broken[-1]


STEPS = settings(
    max_examples=6 * max(1, EXPLORE),
    stateful_step_count=30,
    phases=[Phase.generate, Phase.shrink] if EXPLORE else [Phase.generate],
    deadline=None,
)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_a_server_runs_nothing_that_contradicts_it_whatever_happens(edge):
    with CountingServer() as server, start(server, edge, "--poll-seconds", str(POLL)) as proxy:
        wait_until_ready(proxy)
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            broken: list[AssertionError] = []
            try:
                run_state_machine_as_test(lambda: States(server, proxy.target, loop, broken), settings=STEPS)
            except Exception:
                if broken:
                    raise broken[0] from None
                raise
