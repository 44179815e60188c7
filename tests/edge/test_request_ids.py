"""By what client and proxy know the same call: in the answer, in the log, among the refusals."""

import asyncio
import re
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio

from proxy.edge.request_ids import identify, trace_id
from proxy.observe.outcome import Outcome
from tests.edge.conftest import PREDICT, Answered, ask, judged, predict
from tests.fake_serving import FakeServing
from tests.proxy_process import EDGES, ProxyProcess, running_proxy

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
MADE = re.compile(r"[0-9a-f]{32}").fullmatch


# === which id ===


def identified(given: str = "", traceparent: str = "", agent: str = "") -> Outcome:
    outcome = Outcome(PREDICT)
    identify(outcome, given, traceparent, agent)
    return outcome


@pytest.mark.parametrize(
    "given", ["1", "7f2b1c9e-6f0a-4d6e-9a52-0c1d2e3f4a5b", "a/b:c.d_e~f+g=h@i,j-k", "x" * 100]
)
def test_the_id_that_the_client_gave_counts_before_its_trace(given: str):
    assert identified(given, PARENT).request_id == given


@pytest.mark.parametrize("given", ["", "x" * 101, "two words", "<b>", '"', "a\tb", "ä", "{}", "x\n"])
def test_what_is_no_id_is_not_repeated(given: str):
    assert identified(given, PARENT).request_id == TRACE


@pytest.mark.parametrize(
    "parent",
    [PARENT, PARENT[:-2] + "00", f"01-{TRACE}-00f067aa0ba902b7-01", f"cc-{TRACE}-00f067aa0ba902b7-01-more"],
)
def test_the_trace_is_read_from_every_version_of_the_field(parent: str):
    assert trace_id(parent) == TRACE


@pytest.mark.parametrize(
    "parent",
    [
        *("", "00", TRACE, PARENT.upper(), f"{PARENT}-more", f"ff-{TRACE}-00f067aa0ba902b7-01"),
        *(
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"01-{TRACE}-00f067aa0ba902b7-01more",
        ),
    ],
)
def test_what_is_no_trace_makes_the_id_a_new_one_each_time(parent: str):
    first, second = identified(traceparent=parent), identified(traceparent=parent)
    assert MADE(first.request_id)
    assert MADE(second.request_id)
    assert first.request_id != second.request_id


def test_what_the_client_says_it_is_is_cut_and_steers_no_terminal():
    assert identified(agent="grpc-python/1.85.1").user_agent == "grpc-python/1.85.1"
    assert identified(agent="\x1b[31mred").user_agent == "\\x1b[31mred"
    assert len(identified(agent="x" * 10_000).user_agent) == 128


# === where it is ===


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=EDGES)
async def through(request: pytest.FixtureRequest):
    """A proxy with an edge, a channel to it, and the server behind it."""
    async with FakeServing() as serving:
        serving.load("m")
        with running_proxy("--upstream", serving.target, *EDGES[request.param]) as proxy:
            async with grpc.aio.insecure_channel(proxy.target) as channel:
                await judged(proxy, channel)
                yield proxy, channel, serving


def id_in(answer: Answered) -> str:
    (found,) = [value for key, value in answer.trailing if key == "x-request-id"]
    return found


async def refusal_of(proxy: ProxyProcess, request_id: str) -> dict[str, Any]:
    """What is remembered of a refusal, which is once its client has been told."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://{proxy.admin}/api/refusals") as answer:
                found = [
                    each for each in (await answer.json())["refusals"] if each["request_id"] == request_id
                ]
            if found:
                return found[0]


WRONG = predict(shape=(3,))
in_module = pytest.mark.asyncio(loop_scope="module")


@in_module
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((("x-request-id", "mine-1"), ("traceparent", PARENT)), "mine-1"),
        ((("x-request-id", "mine-2"), ("x-request-id", "another")), "mine-2"),
        ((("x-request-id", "no id"), ("traceparent", PARENT)), TRACE),
        ((("traceparent", PARENT),), TRACE),
        ((), None),
    ],
)
async def test_a_refusal_has_one_id_in_answer_log_and_ring(through, sent, expected):
    proxy, channel, _ = through
    answer = await ask(channel, PREDICT, WRONG, metadata=sent)
    found = id_in(answer)
    assert found == expected if expected else MADE(found)
    remembered = await refusal_of(proxy, found)
    assert remembered["user_agent"].startswith("grpc-python-asyncio/")


@in_module
async def test_the_log_says_the_id_and_what_the_client_is(through):
    proxy, channel, _ = through
    # Another reason than that of other tests: of each kind there are so many lines a second.
    answer = await ask(channel, PREDICT, predict(alias="X"), metadata=(("x-request-id", "in-the-log"),))
    assert answer.reason == "INPUT_UNKNOWN"
    line = proxy.wait_for("request_refused", request_id="in-the-log")
    assert line["user_agent"].startswith("grpc-python-asyncio/")
    assert line["peer"].startswith("ipv4:127.0.0.1:")


@in_module
async def test_an_error_of_the_server_that_is_explained_has_an_id_too(through):
    proxy, channel, serving = through
    serving.fail("Predict", grpc.StatusCode.RESOURCE_EXHAUSTED, "OOM when allocating tensor with shape[1]")
    try:
        answer = await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "explained-1"),))
    finally:
        serving.mend("Predict")
    assert "tfs-proxy-diagnosis" in dict(answer.trailing)
    assert id_in(answer) == "explained-1"
    assert proxy.wait_for("upstream_error", request_id="explained-1")["peer"].startswith("ipv4:127.0.0.1:")


@in_module
async def test_a_warning_is_logged_with_an_id_and_the_client_and_the_answer_has_none(through):
    proxy, channel, _ = through
    answer = await ask(channel, PREDICT, predict(shape=(0, 3)), metadata=(("x-request-id", "warned-1"),))
    assert [key for key, _ in answer.trailing] == ["tfs-proxy-warning"]
    line = proxy.wait_for("request_warned", request_id="warned-1")
    assert line["peer"].startswith("ipv4:127.0.0.1:")


@in_module
async def test_a_good_call_is_answered_as_if_there_were_no_ids(through):
    _, channel, _ = through
    answer = await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "good-1"),))
    assert (answer.code, answer.trailing) == (grpc.StatusCode.OK, ())


@in_module
async def test_metadata_beyond_the_limit_is_refused_with_the_id_in_it(through):
    _, channel, _ = through
    many = tuple((f"x-{number}", "1") for number in range(300))
    answer = await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "many-1"), *many))
    assert (answer.reason, id_in(answer)) == ("REQUEST_TOO_COMPLEX", "many-1")


async def test_the_access_log_has_the_id_of_calls_that_just_pass(start_proxy, connect, serving):
    proxy = await start_proxy("--access-log")
    channel = connect(proxy)
    await judged(proxy, channel)
    await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "good-2"),))
    await ask(channel, PREDICT, predict(), metadata=(("traceparent", PARENT),))
    for request_id in ("good-2", TRACE):
        line = proxy.wait_for("call", request_id=request_id, code="OK")
        assert line["user_agent"].startswith("grpc-python-asyncio/")
        assert line["peer"].startswith("ipv4:127.0.0.1:")
