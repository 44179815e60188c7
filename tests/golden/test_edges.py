"""Every case as a client sees it: sent through a real proxy with each edge, in front of a real server.

The server answers by what the client's metadata asks for, so that all its error answers come over the wire.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import pytest_asyncio

from proxy.core import values
from proxy.core.reasons import OF_NO_MODEL, Reason
from proxy.core.types import Servable
from proxy.gate import PREDICT
from proxy.wire.status import Status
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import Answered as Heard
from tests.edge.conftest import ask
from tests.fake_serving import FakeServing, signature_def
from tests.golden.cases import (
    EVERYTHING,
    MEANING,
    MOST_BYTES,
    MOST_CALLS,
    NO_POLICIES,
    PHOTO,
    STRICT,
    WARNED_OF,
    Answered,
    Case,
    Refused,
    cases,
)
from tests.golden.write import decoded
from tests.proxy_process import EDGES, ProxyProcess


def refusing(reasons: Iterable[Reason]) -> str:
    return f"severities: {{{', '.join(f'{reason}: refuse' for reason in reasons)}}}"


POLICIES = {
    id(NO_POLICIES): "{}",
    id(STRICT): f"""
{refusing(WARNED_OF)}
max-batch: 32
""",
    id(MEANING): f"""
{refusing(values.MEANING)}
models:
  fixed: {{inputs: {{x: {{min: 0, max: 1}}}}}}
  ssd: {{inputs: {{encoded_image: {{kind: image}}}}}}
  examples: {{inputs: {{examples: {{kind: example}}}}}}
""",
}
"""The policies of the cases as an operator writes them down."""

LIMITS = (
    *("--max-message-bytes", str(MOST_BYTES), "--max-inflight-bytes", str(MOST_BYTES)),
    *("--max-concurrent-calls", str(MOST_CALLS), "--default-deadline", "0.0005"),
)
"""The default deadline leaves a call no time that comes without one."""

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
PROFILE = "/tensorflow.ProfilerService/Profile"
NOT_JUDGED = "/tensorflow.serving.ModelService/GetModelStatus"
ANSWER = "x-answer-bin"
IDLE = "x-idle"
REQUEST_ID = ("x-request-id", "golden/1")
DETAILS = "grpc-status-details-bin"

CASES = {
    f"{reason.value}: {title}": case for reason, found in cases().items() for title, case in found.items()
}
GATED = [name for name, case in CASES.items() if isinstance(case, Refused)]
ANSWERED = [name for name, case in CASES.items() if isinstance(case, Answered)]


class Serving(FakeServing):
    """Has EVERYTHING; a call that carries the metadata ANSWER (code, space, text) is ended by that, one with IDLE not."""

    def __init__(self) -> None:
        super().__init__()
        self.idling = asyncio.Semaphore(0)
        for each in EVERYTHING:
            self.load(each.model, each.version, signatures_of(each))

    def service(self, details: Any) -> Any:
        metadata = dict(details.invocation_metadata)
        if IDLE in metadata:
            return grpc.unary_unary_rpc_method_handler(self._idle)
        answer = metadata.get(ANSWER)
        if answer is None:
            return super().service(details)
        number, _, text = answer.decode().partition(" ")
        code = next(code for code in grpc.StatusCode if code.value[0] == int(number))

        async def end(_: bytes, context: grpc.aio.ServicerContext) -> None:
            await context.abort(code, text)

        return grpc.unary_unary_rpc_method_handler(end)

    async def _idle(self, _: bytes, __: grpc.aio.ServicerContext) -> bytes:
        self.idling.release()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


def signatures_of(servable: Servable) -> dict[str, Any]:
    def tensors(specs: Any) -> dict[str, Any]:
        return {alias: (each.dtype, each.shape) for alias, each in specs.items()}

    return {
        name: signature_def(tensors(each.inputs), tensors(each.outputs), each.method)
        for name, each in servable.signatures.items()
    }


class Edges:
    """Proxies with either edge, by what they are told, and the server behind them."""

    def __init__(self, serving: Serving, channels: dict[tuple[str, str], grpc.aio.Channel]) -> None:
        self.serving = serving
        self._channels = channels

    async def ask(
        self, proxy: str, method: str, message: bytes, metadata: tuple[Any, ...] = (), **how: Any
    ) -> dict[str, Heard]:
        """Per edge: what the client heard, whose request has the id REQUEST_ID."""
        how["metadata"] = (*metadata, REQUEST_ID)
        return {
            edge: await ask(self._channels[proxy, edge], method, message, **how) for edge in sorted(EDGES)
        }

    async def ask_beside(
        self, held: str, count: int, method: str, message: bytes, idle: int = 0
    ) -> dict[str, Heard]:
        """The same while `count` calls like it are with the server, which holds those of the method `held`.

        `idle` calls without octets are there before: of few calls, a long message would flow on and not be held.
        """
        heard = {}
        for edge in sorted(EDGES):
            channel = self._channels["no policies", edge]
            idling = [
                channel.unary_unary(NOT_JUDGED)(b"", timeout=10, metadata=((IDLE, "1"),)) for _ in range(idle)
            ]
            for _ in idling:
                await self.serving.idling.acquire()
            with self.serving.hold(held) as hold:
                under_way = [asyncio.create_task(ask(channel, method, message)) for _ in range(count)]
                await hold.arrived(count)
                heard[edge] = await ask(channel, method, message, metadata=(REQUEST_ID,))
            assert {(await each).code for each in under_way} == {grpc.StatusCode.OK}
            for each in idling:
                each.cancel()
        return heard


PROXIES = {
    "no policies": (NO_POLICIES, False),
    "changing": (NO_POLICIES, True),
    "strict": (STRICT, False),
    "meaning": (MEANING, False),
}
"""Name → policies, and whether the server's model has versions that are not loaded."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edges(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edges]:
    async with Serving() as serving, Serving() as changing, AsyncExitStack() as stack:
        changing.load("ssd", 2, state="LOADING")
        changing.load("ssd", 1, state="END", error=(11, "Read less bytes than requested"))
        folder = tmp_path_factory.mktemp("golden")
        for name, (policies, _) in PROXIES.items():
            (folder / name).write_text(POLICIES[id(policies)], encoding="utf-8")

        async def start(name: str, edge: str) -> tuple[tuple[str, str], grpc.aio.Channel]:
            server = changing if PROXIES[name][1] else serving
            proxy = await asyncio.to_thread(
                ProxyProcess,
                *("--upstream", server.target, "--config", str(folder / name), *EDGES[edge], *LIMITS),
                *(flag for each in EVERYTHING for flag in ("--model", each.model)),
            )
            stack.push_async_callback(asyncio.to_thread, proxy.__exit__, None, None, None)
            await asyncio.to_thread(wait_until_ready, proxy)
            channel = grpc.aio.insecure_channel(
                proxy.target, options=(("grpc.use_local_subchannel_pool", 1),)
            )
            stack.push_async_callback(channel.close)
            return (name, edge), channel

        started = await asyncio.gather(*(start(name, edge) for name in PROXIES for edge in EDGES))
        yield Edges(serving, dict(started))


def seen(answer: Heard) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Code, text and details of an answer, and its other trailing metadata."""
    details = dict(answer.trailing).get(DETAILS, b"")
    others = [(key, value) for key, value in answer.trailing if key != DETAILS]
    assert answer.response is None
    return timeless(decoded(Status(answer.code.value[0], answer.details, details))), timeless(others)


def timeless(told: Any) -> Any:
    """Without how long the server had a request, which no two calls have in common."""
    if isinstance(told, dict):
        return {key: timeless(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return type(told)(map(timeless, told))
    return re.sub(r"for [\d.e-]+ of [\d.e-]+ s", "all the time", told) if isinstance(told, str) else told


def check(heard: dict[str, Heard], case: Case) -> None:
    """The edges answer alike, and as the case says; and each says which request it was."""
    sentence = [("tfs-proxy-diagnosis", case.words.sentence)] if isinstance(case, Answered) else []
    for edge, answer in heard.items():
        assert seen(answer) == (timeless(decoded(case.status)), timeless([*sentence, REQUEST_ID])), edge
    first, second = heard.values()
    if not (isinstance(case, Answered) and case.spent):  # the details are as long as what they say of time
        assert first.trailing == second.trailing


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", GATED)
async def test_a_refusal_is_the_same_through_both(edges: Edges, name: str):
    case = CASES[name]
    proxy = next(each for each, told in PROXIES.items() if told == (case.policies, bool(case.versions)))
    before = edges.serving.calls["Predict"]
    check(await edges.ask(proxy, case.method, case.message, timeout=10), case)
    assert edges.serving.calls["Predict"] == before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ANSWERED)
async def test_an_error_of_the_server_is_the_same_through_both(edges: Edges, name: str):
    case = CASES[name]
    method = case.call.method if case.call is not None else NOT_JUDGED
    check(await edges.ask("no policies", method, case.message, **answering(case)), case)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ANSWERED)
async def test_an_error_of_the_server_to_a_predict_is_explained_alike_through_both(edges: Edges, name: str):
    """What the gate knows of the request may say more than the case does."""
    case = CASES[name]
    heard = await edges.ask("no policies", PREDICT, PHOTO, **answering(case))
    assert seen(heard["grpcio"]) == seen(heard["native"])
    assert all(each.reason and each.details.startswith(case.text) for each in heard.values())


def answering(case: Answered) -> dict[str, Any]:
    return {"metadata": ((ANSWER, f"{case.code} {case.text}".encode()),)}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("method", "case"),
    [(RELOAD, "METHOD_FORBIDDEN: a reload"), (PROFILE, "PROFILER_FORBIDDEN: TensorBoard")],
)
async def test_a_method_that_only_an_operator_needs_is_refused_alike(edges: Edges, method: str, case: str):
    check(await edges.ask("no policies", method, b""), CASES[case])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_without_time_is_refused_alike(edges: Edges):
    heard = await edges.ask("no policies", PREDICT, PHOTO, timeout=None)
    check(heard, CASES["DEADLINE_EXPIRED: no time left"])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_message_beyond_the_limit_is_refused_alike(edges: Edges):
    heard = await edges.ask("no policies", PREDICT, bytes(6_000_080))
    check(heard, CASES["MESSAGE_TOO_LARGE: more than the limit"])


@pytest.mark.asyncio(loop_scope="module")
async def test_bytes_beyond_the_limit_are_refused_alike(edges: Edges):
    # Eleven are three quarters of the limit; what is left is not for a client that holds as much.
    heard = await edges.ask_beside("Predict", 11, PREDICT, PHOTO, idle=3)
    check(heard, CASES["OVERLOADED: too large a share"])


@pytest.mark.asyncio(loop_scope="module")
async def test_calls_beyond_the_limit_are_refused_alike(edges: Edges):
    heard = await edges.ask_beside("GetModelStatus", MOST_CALLS, NOT_JUDGED, b"\n\x05\n\x03ssd")
    check(heard, CASES["OVERLOADED: too many calls"])


def test_no_case_is_left_out():
    methods = {"METHOD_FORBIDDEN", "PROFILER_FORBIDDEN"}
    limits = {"DEADLINE_EXPIRED", "OVERLOADED", "MESSAGE_TOO_LARGE"}
    # What a single request cannot show goes through both edges in tests/safety/.
    attacks = {"REQUEST_TOO_COMPLEX", "REQUEST_ENCODING_INVALID", "REQUEST_STALLED"}
    # Who may call goes through both edges in tests/edge/test_access.py.
    access = {"CLIENT_UNAUTHENTICATED", "CLIENT_NOT_ALLOWED"}
    outages = {"SIGNATURE_UNCONFIRMED", "SIGNATURE_UNAVAILABLE"}
    assert {
        name.partition(":")[0] for name in CASES.keys() - {*GATED, *ANSWERED}
    } == methods | access | limits | attacks | outages
    assert {*OF_NO_MODEL} == methods
    assert {reason for reason in Reason if reason.about.family == "admission"} == {*limits, "REQUEST_STALLED"}
