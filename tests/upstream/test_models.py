"""The status watch against a real gRPC server that does what a test says.

A watch here polls without a pause worth mentioning, or once a minute where a test wakes it.
"""

import asyncio
import contextlib

import grpc
import pytest

from proxy.core.availability import VersionStatus
from proxy.core.drift import DriftKind
from proxy.core.types import ModelKey
from proxy.upstream.control import ChannelControl
from proxy.upstream.models import ModelState, ModelWatch
from proxy.upstream.signatures import SignatureCache
from tests.fake_serving import DT_UINT8, signature_def

KEY = ModelKey("m")
V2 = {"serving_default": signature_def({"x": (DT_UINT8, (-1, 3))})}


@pytest.fixture
async def cache(channel, heard, clock):
    cache = SignatureCache(ChannelControl(channel), configured=["m"], listener=heard, clock=clock)
    yield cache
    await cache.stop()


@contextlib.asynccontextmanager
async def watching(channel, cache, heard, **options):
    watch = ModelWatch(
        ChannelControl(channel), cache, listener=heard, **{"configured": ["m"], "interval": 0.001} | options
    )
    await watch.start()
    try:
        yield watch
    finally:
        await watch.stop()


async def until(heard, condition):
    async with asyncio.timeout(10):
        while not condition():
            await heard.something()


async def polled(serving, count=2):
    """Wait until `count` more polls have begun: what happened before is then surely taken in."""
    seen = serving.calls["GetModelStatus"]
    async with asyncio.timeout(10):
        while serving.calls["GetModelStatus"] < seen + count:  # noqa: ASYNC110  the server is in this loop
            await asyncio.sleep(0.001)


def test_before_the_first_answer_a_configured_model_is_listed_without_versions(channel_free_watch):
    assert channel_free_watch.models() == (ModelState("a", configured=True), ModelState("m", configured=True))
    assert channel_free_watch.model("m").available == ()
    assert channel_free_watch.model("other") is None


@pytest.fixture
async def channel_free_watch(channel, cache):
    return ModelWatch(ChannelControl(channel), cache, configured=["m", "a"])


async def test_a_configured_model_is_asked_from_the_start_and_its_signatures_fetched(
    serving, channel, cache, heard
):
    serving.load("m", 1)
    async with watching(channel, cache, heard) as watch:
        await until(heard, lambda: heard.fetches)
        assert cache.peek(KEY).version == 1
        assert watch.model("m").versions == (VersionStatus(1, "AVAILABLE"),)
        assert watch.model("m").available == (1,)
        assert watch.model("m").error == ""
    assert heard.versions == [("m", (VersionStatus(1, "AVAILABLE"),))]


async def test_a_model_that_is_still_loading_is_fetched_once_it_is_available(serving, channel, cache, heard):
    serving.load("m", 1, state="LOADING")
    async with watching(channel, cache, heard):
        await until(heard, lambda: heard.versions)
        await polled(serving)
        assert heard.fetches == []
        serving.load("m", 1)
        await until(heard, lambda: heard.fetches)
    assert cache.peek(KEY).version == 1


async def test_a_swap_invalidates_refetches_and_tells_the_drift(serving, channel, cache, heard):
    serving.load("m", 1)
    async with watching(channel, cache, heard) as watch:
        await until(heard, lambda: heard.fetches)
        serving.swap("m", 2, V2)
        await until(heard, lambda: heard.drifts)
        assert watch.model("m").available == (2,)
    assert cache.peek(KEY).version == 2
    assert [drift.kind for drift in heard.drifts] == [DriftKind.BREAKING]
    assert heard.versions[-1] == ("m", (VersionStatus(2, "AVAILABLE"), VersionStatus(1, "END")))


async def test_a_swap_between_the_first_question_and_the_first_round_is_seen(serving, channel, cache, heard):
    serving.load("m", 1)
    assert (await cache.lookup(KEY, 5)).version == 1
    serving.swap("m", 2, V2)
    async with watching(channel, cache, heard):
        await until(heard, lambda: heard.drifts)
    assert cache.peek(KEY).version == 2


async def test_a_state_change_that_makes_no_version_come_or_go_invalidates_nothing(
    serving, channel, cache, heard
):
    serving.load("m", 1)
    async with watching(channel, cache, heard):
        await until(heard, lambda: heard.fetches)
        serving.load("m", 2, state="LOADING")
        await until(heard, lambda: len(heard.versions) == 2)
        await polled(serving)
    assert serving.calls["GetModelMetadata"] == 1


async def test_without_change_nothing_is_told_and_nothing_fetched(serving, channel, cache, heard):
    serving.load("m", 1)
    async with watching(channel, cache, heard):
        await until(heard, lambda: heard.fetches)
        await polled(serving, 5)
    assert len(heard.versions) == len(heard.fetches) == 1


async def test_an_unloaded_model_is_no_longer_admitted_by(serving, channel, cache, heard):
    serving.load("m", 1)
    async with watching(channel, cache, heard) as watch:
        await until(heard, lambda: heard.fetches)
        serving.models["m"][1].state = "END"
        await until(heard, lambda: len(heard.versions) == 2)
        assert watch.model("m").available == ()
    assert cache.peek(KEY) is None


async def test_a_model_that_the_server_does_not_know_has_no_versions(channel, cache, heard):
    async with watching(channel, cache, heard) as watch:
        await until(heard, lambda: heard.versions)
        assert watch.model("m").versions == ()
        assert watch.model("m").error == ""


async def test_a_model_seen_served_is_watched_from_then_on_and_an_invented_one_never(
    serving, channel, cache, heard
):
    serving.load("m", 1)
    serving.load("learnt", 1)
    async with watching(channel, cache, heard) as watch:
        await cache.lookup(ModelKey("learnt"), 5)
        await cache.lookup(ModelKey("invented"), 5)
        await until(heard, lambda: len(heard.versions) == 2)
        assert [(state.model, state.configured) for state in watch.models()] == [
            ("learnt", False),
            ("m", True),
        ]


async def test_the_number_of_watched_models_is_bounded(serving, channel, cache, heard):
    for number in range(5):
        serving.load(f"m{number}", 1)
        await cache.lookup(ModelKey(f"m{number}"), 5)
    async with watching(channel, cache, heard, max_models=3) as watch:
        await until(heard, lambda: len(heard.versions) == 3)
        await polled(serving, 6)
        assert len(watch.models()) == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED])
async def test_a_server_that_does_not_answer_leaves_what_was_known_and_says_why(
    serving, channel, cache, heard, code
):
    serving.load("m", 1)
    async with watching(channel, cache, heard) as watch:
        await until(heard, lambda: heard.fetches)
        serving.fail("GetModelStatus", code, "sorry")
        await polled(serving)
        assert watch.model("m").available == (1,)
        assert watch.model("m").error == f"{code.name}: sorry"
        serving.mend("GetModelStatus")
        await polled(serving)
        assert watch.model("m").error == ""
    assert len(heard.versions) == 1


async def test_an_answer_that_cannot_be_read_says_so(serving, channel, cache, heard):
    serving.answer("GetModelStatus", b"\xff\xff")
    async with watching(channel, cache, heard) as watch:
        await polled(serving)
        assert "cannot be parsed" in watch.model("m").error


async def test_a_failing_server_is_asked_about_one_model_and_not_about_all(serving, channel, cache, heard):
    serving.fail("GetModelStatus", grpc.StatusCode.UNAVAILABLE)
    async with watching(channel, cache, heard, configured=["a", "b", "c"]):
        await polled(serving, 4)
    assert serving.calls["GetModelStatus", "b"] == 0


async def test_signatures_that_could_not_be_had_are_fetched_at_a_later_poll(
    serving, channel, cache, heard, clock
):
    serving.load("m", 1)
    serving.fail("GetModelMetadata", grpc.StatusCode.UNAVAILABLE)
    async with watching(channel, cache, heard):
        await until(heard, lambda: heard.fetches)
        serving.mend("GetModelMetadata")
        clock.advance(2)
        await until(heard, lambda: len(heard.fetches) == 2)
    assert cache.peek(KEY).version == 1


async def test_waking_asks_at_once(serving, channel, cache, heard):
    async with watching(channel, cache, heard, interval=60) as watch:
        await until(heard, lambda: heard.versions)
        serving.load("m", 1)
        watch.wake()
        await until(heard, lambda: len(heard.versions) == 2)
        assert watch.model("m").available == (1,)


async def test_a_watch_stops_in_the_middle_of_a_question(serving, channel, cache, heard):
    with serving.hold("GetModelStatus") as hold:
        async with watching(channel, cache, heard):
            await hold.arrived()
    assert heard.versions == []


async def test_a_watch_that_was_never_started_can_be_stopped(channel, cache):
    await ModelWatch(ChannelControl(channel), cache).stop()


@pytest.mark.parametrize("turns", range(6))
async def test_it_stops_whenever_that_comes_after_the_server_came_back(serving, channel, cache, heard, turns):
    serving.load("m", 1)
    async with watching(channel, cache, heard, interval=60) as watch:
        await until(heard, lambda: watch.model("m").available)
        while not watch._wake._waiters:  # noqa: ASYNC110  it is pausing once it waits for this
            await asyncio.sleep(0)
        watch.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await watch.stop()
