"""S1: however many names a client invents, what is known stays known and what is bad stays out."""

import asyncio
import contextlib
import itertools
from collections import Counter

import grpc
import pytest

from proxy.core.types import ModelKey
from proxy.wire.metadata import metadata_request, status_request
from tests.edge.conftest import ask, predict
from tests.edge.native.conftest import until
from tests.fake_serving import DT_FLOAT
from tests.safety.clients import BAD, GOOD, RETRYABLE, ask_all, ask_predict, bystanding, channel_to

FRESH = itertools.count()


def _models(number):
    return predict(f"invented-{number}")


def _versions(number):
    return predict(version=number + 2)


def _labels(number):
    return predict(version_label=f"label-{number}")


def _signatures(number):
    return predict(signature_name=f"signature-{number}")


def _long_models(number):
    return predict(f"{number}" * 300)


INVENTED = {"models": _models, "long names": _long_models, "versions": _versions, "labels": _labels}


@contextlib.asynccontextmanager
async def flooding(target, invent, at_once, connections):
    """So many invented names at a time over so many connections, ever new ones, while the block runs.

    Yields the channels, and how often what has been answered.
    """
    answers = Counter()

    async def invent_names(channel):
        while True:
            answer = await ask_predict(channel, invent(next(FRESH)))
            answers[answer.code, answer.reason] += 1
            await asyncio.sleep(0.05)

    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(channel_to(target)) for _ in range(connections)]
        flood = [asyncio.create_task(invent_names(channels[n % connections])) for n in range(at_once)]
        await asyncio.wait(flood, timeout=0.2)
        yield channels, answers
        for each in flood:
            each.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


@pytest.fixture
def slow_metadata(server):
    """Questions take their time, so that they pile up."""
    server.order("delay", method="GetModelMetadata", seconds=0.1)
    yield
    server.order("delay", method="GetModelMetadata", seconds=0)


@pytest.mark.usefixtures("slow_metadata")
@pytest.mark.parametrize(
    ("kind", "at_once", "connections"), [("models", 150, 1), *((kind, 600, 8) for kind in INVENTED)]
)
async def test_invented_names_let_no_bad_request_through(proxy, server, kind, at_once, connections):
    with server.spared():
        async with flooding(proxy.target, INVENTED[kind], at_once, connections) as (channels, _):
            for channel in {channels[0], channels[-1]}:
                bad, good = await asyncio.gather(ask_all(channel, BAD, 20), ask_all(channel, GOOD, 20))
                assert good == {("OK", ""): 20}
                assert set(bad) <= {
                    ("INVALID_ARGUMENT", "RANK_MISMATCH"),
                    ("UNAVAILABLE", "SIGNATURE_UNCONFIRMED"),
                }


@pytest.mark.usefixtures("slow_metadata")
async def test_a_bad_request_is_still_told_what_is_wrong_during_a_flood(proxy):
    """Confirmations have room of their own."""
    async with flooding(proxy.target, _models, 600, 4), channel_to(proxy.target) as channel:
        assert await ask_all(channel, BAD, 10) == {("INVALID_ARGUMENT", "RANK_MISMATCH"): 10}


@pytest.mark.usefixtures("slow_metadata")
async def test_a_model_that_nobody_has_asked_for_yet_is_not_served_unjudged_during_a_flood(proxy, server):
    model = f"late-{next(FRESH)}"
    server.load(model, {"x": (DT_FLOAT, (-1, 3))})
    with server.spared():
        async with flooding(proxy.target, _models, 600, 4), channel_to(proxy.target) as channel:
            bad = await ask_all(channel, predict(model, (3,)), 20)
            good = await ask_all(channel, predict(model), 20)
    assert set(bad) <= {
        ("INVALID_ARGUMENT", "RANK_MISMATCH"),
        ("UNAVAILABLE", "SIGNATURE_UNAVAILABLE"),
        ("RESOURCE_EXHAUSTED", "OVERLOADED"),
    }
    assert set(good) <= {
        ("OK", ""),
        ("UNAVAILABLE", "SIGNATURE_UNAVAILABLE"),
        ("RESOURCE_EXHAUSTED", "OVERLOADED"),
    }


@pytest.mark.usefixtures("slow_metadata")
async def test_invented_names_are_told_to_come_again_or_that_they_are_unknown(proxy, server):
    before = server.order("calls").get("Predict", 0)
    async with flooding(proxy.target, _models, 600, 4) as (_, answers):
        await until(lambda: answers.total() > 1000)
    assert {code for code, _ in answers} <= {grpc.StatusCode.NOT_FOUND, *RETRYABLE}
    assert all(reason for _, reason in answers)
    assert server.order("calls").get("Predict", 0) == before


async def test_a_known_servable_asked_for_under_invented_signature_names_is_judged(proxy, server):
    with server.spared():
        async with channel_to(proxy.target) as channel:
            answers = await asyncio.gather(
                *(ask_predict(channel, _signatures(number)) for number in range(200))
            )
            assert (await ask_predict(channel, GOOD)).code is grpc.StatusCode.OK
    assert {answer.reason for answer in answers} == {"SIGNATURE_NOT_FOUND"}


QUESTIONS = {
    "/tensorflow.serving.PredictionService/GetModelMetadata": lambda name: metadata_request(ModelKey(name)),
    "/tensorflow.serving.ModelService/GetModelStatus": status_request,
}


@pytest.mark.parametrize("method", QUESTIONS)
@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip], ids=["plain", "gzip"])
async def test_a_question_that_the_server_would_echo_costs_nobody_the_connection(proxy, method, compression):
    """The server answers with the name in its error, in metadata as long as that."""
    async with bystanding(proxy) as bystander, channel_to(proxy.target) as channel:
        for length in (5_000, 150_000, 3_000_000):
            answer = await ask(channel, method, QUESTIONS[method]("x" * length), compression=compression)
            # Not UNAVAILABLE: that is what a connection that ended looks like.
            assert answer.code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED}
            if compression is None:
                assert answer.reason == "REQUEST_TOO_COMPLEX"
    assert bystander.was_served, bystander.answers


@pytest.mark.parametrize("method", QUESTIONS)
@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip], ids=["plain", "gzip"])
async def test_questions_with_real_names_are_answered(proxy, method, compression):
    async with channel_to(proxy.target) as channel:
        answer = await ask(channel, method, QUESTIONS[method]("m"), compression=compression)
        assert answer.code is grpc.StatusCode.OK
        long = await ask(channel, method, QUESTIONS[method]("long-model-name-" * 12), compression=compression)
    assert long.code is grpc.StatusCode.NOT_FOUND
