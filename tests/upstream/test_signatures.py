"""The cache against a real gRPC server that does what a test says."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from proxy.core.availability import Absence, Unanswered, VersionStatus
from proxy.core.drift import DriftKind
from proxy.core.types import ModelKey, Servable
from proxy.upstream.channel import open_channel
from proxy.upstream.control import ChannelControl
from proxy.upstream.signatures import SignatureCache
from tests.fake_serving import DT_FLOAT, DT_UINT8, signature_def

KEY = ModelKey("m")
V1 = {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 3))})}
V2 = {"serving_default": signature_def({"x": (DT_UINT8, (-1, 3))})}


@pytest.fixture
async def cache(serving, channel, clock, heard) -> AsyncIterator[SignatureCache]:
    serving.load("m", 1, V1)
    cache = SignatureCache(ChannelControl(channel), configured=["m"], listener=heard, clock=clock)
    yield cache
    await cache.stop()


async def settled(heard, count):
    """Wait until `count` questions have ended."""
    async with asyncio.timeout(10):
        while len(heard.fetches) < count:
            await heard.something()


# what a look-up finds


async def test_a_served_model_is_found_with_the_version_that_latest_resolves_to(serving, cache):
    serving.load("m", 3, V2)
    found = await cache.lookup(KEY, 5)
    assert (found.model, found.version) == ("m", 3)
    assert found.signature("").inputs["x"].dtype == DT_UINT8


async def test_latest_a_version_and_a_label_are_three_keys_with_their_own_answers(serving, cache):
    serving.load("m", 2, V2)
    serving.labels["m"] = {"stable": 1}
    assert (await cache.lookup(KEY, 5)).version == 2
    assert (await cache.lookup(ModelKey("m", version=1), 5)).version == 1
    assert (await cache.lookup(ModelKey("m", label="stable"), 5)).version == 1
    assert serving.calls["GetModelMetadata"] == 3


async def test_a_second_look_up_asks_nobody(serving, cache):
    first = await cache.lookup(KEY, 5)
    assert await cache.lookup(KEY, 5) is first
    assert cache.peek(KEY) is first
    assert serving.calls["GetModelMetadata"] == 1


async def test_peek_finds_nothing_before_anyone_has_asked(serving, cache):
    assert cache.peek(KEY) is None
    assert serving.calls.total() == 0


async def test_a_hundred_concurrent_look_ups_are_one_question(serving, cache):
    with serving.hold("GetModelMetadata") as hold:
        lookups = [asyncio.create_task(cache.lookup(KEY, 5)) for _ in range(100)]
        await hold.arrived()
        hold.release()
        found = await asyncio.gather(*lookups)
    assert len({id(each) for each in found}) == 1
    assert serving.calls["GetModelMetadata"] == 1


# absence


async def test_a_name_that_the_server_does_not_know_is_absent_without_versions(cache, heard):
    key = ModelKey("nosuch")
    assert await cache.lookup(key, 5) == Absence(key, (), ("m",))
    assert cache.peek(key) is None
    assert heard.fetches == [(key, "absent")]


async def test_a_wrong_version_is_absent_with_all_versions_of_the_model(serving, cache):
    serving.load("m", 4, state="END")
    found = await cache.lookup(ModelKey("m", version=9), 5)
    assert found.versions == (VersionStatus(4, "END"), VersionStatus(1, "AVAILABLE"))


async def test_a_label_nobody_assigned_is_absent_though_the_server_calls_it_an_invalid_argument(cache):
    key = ModelKey("m", label="stable")
    assert await cache.lookup(key, 5) == Absence(key, (VersionStatus(1, "AVAILABLE"),), ("m",))


async def test_a_loading_and_a_failed_model_are_told_apart_with_the_servers_own_text(serving, cache):
    serving.load("slow", 1, state="LOADING")
    serving.load("broken", 1, state="END", error=(11, "Read less bytes than requested"))
    slow = await cache.lookup(ModelKey("slow"), 5)
    broken = await cache.lookup(ModelKey("broken"), 5)
    assert slow.versions == (VersionStatus(1, "LOADING"),)
    assert broken.versions == (VersionStatus(1, "END", 11, "Read less bytes than requested"),)


async def test_an_absence_is_remembered_for_a_second_and_no_longer(serving, cache, clock):
    key = ModelKey("late")
    absent = await cache.lookup(key, 5)
    serving.load("late", 1)
    clock.advance(0.9)
    assert await cache.lookup(key, 5) is absent
    assert serving.calls["GetModelMetadata"] == 1
    clock.advance(0.2)
    assert isinstance(await cache.lookup(key, 5), Servable)


async def test_names_seen_served_become_known_and_absent_ones_do_not(serving, cache):
    serving.load("other", 1)
    await cache.lookup(ModelKey("other"), 5)
    await cache.lookup(ModelKey("nosuch"), 5)
    assert cache.known_models() == ("m", "other")


# freshness


async def test_an_old_servable_is_used_at_once_and_refreshed_behind_the_request(serving, cache, clock, heard):
    old = await cache.lookup(KEY, 5)
    serving.swap("m", 2, V2)
    clock.advance(31)
    with serving.hold("GetModelMetadata") as hold:
        assert cache.peek(KEY) is old
        assert cache.peek(KEY) is old
        await hold.arrived()
        assert cache.peek(KEY) is old
    await settled(heard, 2)
    assert cache.peek(KEY).version == 2
    assert serving.calls["GetModelMetadata"] == 2


async def test_a_refresh_that_brings_the_same_keeps_the_same_object(cache, clock, heard):
    old = await cache.lookup(KEY, 5)
    clock.advance(31)
    assert await cache.lookup(KEY, 5) is old
    await settled(heard, 2)
    assert cache.peek(KEY) is old
    assert [age for _, _, age in cache.ages()] == [0]


async def test_ages_name_every_servable_and_how_old_it_is(cache, clock):
    found = await cache.lookup(KEY, 5)
    await cache.lookup(ModelKey("nosuch"), 5)
    clock.advance(7)
    assert list(cache.ages()) == [(KEY, found, 7)]


async def test_an_answer_from_another_version_invalidates_the_latest(serving, cache):
    await cache.lookup(KEY, 5)
    serving.swap("m", 2, V2)
    cache.observe_version("m", 2)
    assert cache.peek(KEY) is None
    assert (await cache.lookup(KEY, 5)).version == 2


async def test_an_answer_from_the_cached_version_invalidates_nothing(cache):
    await cache.lookup(KEY, 5)
    cache.observe_version("m", 1)
    assert cache.peek(KEY) is not None


async def test_what_an_answer_contradicts_is_renewed_at_once(serving, cache, heard):
    await cache.lookup(KEY, 5)
    serving.swap("m", 2, V2)
    cache.observe_contradiction(KEY)
    await settled(heard, 2)
    assert cache.peek(KEY).version == 2
    assert [drift.new_version for drift in heard.drifts] == [2]


async def test_answers_that_always_contradict_cost_one_question_a_second(serving, cache, clock, heard):
    await cache.lookup(KEY, 5)
    for round_ in range(20):
        cache.observe_contradiction(KEY)
        await cache.lookup(KEY, 5)
        clock.advance(0.1)
        assert serving.calls["GetModelMetadata"] <= 2 + round_ // 10


async def test_of_what_is_not_held_nothing_can_be_contradicted(serving, cache):
    cache.observe_contradiction(ModelKey("invented"))
    await cache.lookup(ModelKey("nosuch"), 5)
    asked = serving.calls.total()
    cache.observe_contradiction(ModelKey("nosuch"))
    await asyncio.sleep(0)
    assert repr(cache) == "<SignatureCache [0 served, 1 missing, 0 being asked]>"
    assert serving.calls.total() == asked


async def test_an_answer_for_a_label_concerns_that_label_alone(serving, cache):
    serving.load("m", 2, V2)
    serving.labels["m"] = {"stable": 1}
    label = ModelKey("m", label="stable")
    await cache.lookup(KEY, 5)
    await cache.lookup(label, 5)
    cache.observe_version("m", 2, "stable")
    assert cache.peek(KEY) is not None
    assert cache.peek(label) is None


async def test_a_label_that_moved_right_after_a_recheck_refuses_nobody(serving, cache, clock):
    serving.load("m", 2, V2)
    serving.labels["m"] = {"stable": 1}
    label = ModelKey("m", label="stable")
    seen = await cache.lookup(label, 5)
    assert await cache.recheck(label, seen, 5) is seen
    clock.advance(0.01)
    serving.labels["m"] = {"stable": 2}
    assert (await cache.recheck(label, seen, 5)).version == 2


async def test_bad_requests_for_a_label_cost_few_questions(serving, cache, clock):
    serving.labels["m"] = {"stable": 1}
    label = ModelKey("m", label="stable")
    seen = await cache.lookup(label, 5)
    await cache.recheck(label, seen, 5)
    before = serving.calls["GetModelMetadata"]
    asking = [asyncio.create_task(cache.recheck(label, seen, 5)) for _ in range(50)]
    await asyncio.sleep(0)
    clock.advance(0.01)
    assert all(answer is seen for answer in await asyncio.gather(*asking))
    assert serving.calls["GetModelMetadata"] <= before + 2


@pytest.mark.parametrize("other", [ModelKey("m", 1), ModelKey("m", label="stable")])
async def test_a_model_that_was_known_is_not_kept_unknown_under_another_name(serving, cache, other):
    await cache.lookup(KEY, 5)
    serving.fail("GetModelMetadata", grpc.StatusCode.UNIMPLEMENTED)
    answer = await cache.lookup(other, 5)
    assert isinstance(answer, Unanswered)
    assert not answer.kept
    assert (await cache.lookup(ModelKey("never known"), 5)).kept


async def test_answers_from_two_versions_in_turn_cost_one_question_a_second(serving, cache, clock):
    await cache.lookup(KEY, 5)
    for round_ in range(20):
        cache.observe_version("m", 2)
        await cache.lookup(KEY, 5)
        clock.advance(0.1)
        assert serving.calls["GetModelMetadata"] <= 2 + round_ // 10


async def test_a_version_seen_while_a_question_is_under_way_outdates_its_answer(serving, cache):
    await cache.lookup(KEY, 5)
    cache.invalidate("m")
    with serving.hold("GetModelMetadata") as hold:
        lookup = asyncio.create_task(cache.lookup(KEY, 5))
        await hold.arrived()  # the server has settled on version 1
        serving.swap("m", 2, V2)
        cache.observe_version("m", 2)
        hold.release()
        assert (await lookup).version == 1
    assert (await cache.lookup(KEY, 5)).version == 2


async def test_what_is_outdated_still_serves_to_explain(cache):
    found = await cache.lookup(KEY, 5)
    cache.invalidate()
    assert cache.peek(KEY) is None
    assert cache.last(KEY) == found
    assert cache.last(ModelKey("other")) is None


async def test_invalidating_a_model_leaves_the_others_alone(serving, cache):
    serving.load("other", 1)
    await cache.lookup(KEY, 5)
    await cache.lookup(ModelKey("other"), 5)
    cache.invalidate("m")
    assert cache.peek(KEY) is None
    assert cache.peek(ModelKey("other")) is not None


# rechecks


async def test_a_recheck_asks_again_however_fresh_the_entry_is(serving, cache):
    seen = await cache.lookup(KEY, 5)
    serving.swap("m", 2, V2)
    assert (await cache.recheck(KEY, seen, 5)).version == 2


async def test_a_recheck_that_finds_no_change_returns_what_was_seen(serving, cache):
    seen = await cache.lookup(KEY, 5)
    assert await cache.recheck(KEY, seen, 5) is seen
    assert serving.calls["GetModelMetadata"] == 2


async def test_a_recheck_of_an_absence_finds_a_model_loaded_meanwhile(serving, cache):
    seen = await cache.lookup(ModelKey("late"), 5)
    serving.load("late", 1)
    assert isinstance(await cache.recheck(ModelKey("late"), seen, 5), Servable)


async def test_a_flood_of_refusals_costs_one_recheck_a_second(serving, cache, clock):
    seen = await cache.lookup(KEY, 5)
    for _ in range(50):
        await asyncio.gather(*(cache.recheck(KEY, seen, 5) for _ in range(20)))
        clock.advance(0.1)
    assert 1 + 5 <= serving.calls["GetModelMetadata"] <= 1 + 6


async def test_a_swap_right_after_a_recheck_is_seen_by_the_next_refusal(serving, cache):
    """A flood of bad requests must not make the proxy refuse what the new version accepts."""
    seen = await cache.lookup(KEY, 5)
    assert await cache.recheck(KEY, seen, 5) is seen
    serving.swap("m", 2, V2)
    assert (await cache.recheck(KEY, seen, 5)).version == 2


async def test_a_model_that_appears_right_after_a_recheck_is_seen_by_the_next_refusal(serving, cache):
    late = ModelKey("late")
    seen = await cache.lookup(late, 5)
    assert await cache.recheck(late, seen, 5) is seen
    serving.load("late", 1)
    assert isinstance(await cache.recheck(late, seen, 5), Servable)


async def test_a_server_without_model_status_leaves_a_recheck_standing_for_a_second(serving, cache):
    seen = await cache.lookup(KEY, 5)
    serving.fail("GetModelStatus", grpc.StatusCode.UNIMPLEMENTED)
    for _ in range(3):
        assert await cache.recheck(KEY, seen, 5) is seen
    assert serving.calls["GetModelMetadata"] == 2


async def test_whoever_comes_while_a_recheck_is_under_way_waits_for_it(serving, cache):
    seen = await cache.lookup(KEY, 5)
    serving.swap("m", 2, V2)
    with serving.hold("GetModelMetadata") as hold:
        rechecks = [asyncio.create_task(cache.recheck(KEY, seen, 5)) for _ in range(100)]
        await hold.arrived()
        rechecks += [asyncio.create_task(cache.recheck(KEY, seen, 5)) for _ in range(10)]
        hold.release()
        assert {each.version for each in await asyncio.gather(*rechecks)} == {2}
    assert serving.calls["GetModelMetadata"] == 2


async def test_a_question_asked_before_the_request_came_is_no_recheck_for_it(serving, cache, clock):
    seen = await cache.lookup(KEY, 5)
    clock.advance(31)
    with serving.hold("GetModelMetadata") as hold:
        cache.peek(KEY)
        await hold.arrived()  # the server has settled on version 1
        serving.swap("m", 2, V2)
        clock.advance(0.1)
        recheck = asyncio.create_task(cache.recheck(KEY, seen, 5))
        await asyncio.sleep(0)
        hold.release()
        assert (await recheck).version == 2
    assert serving.calls["GetModelMetadata"] == 3


@pytest.mark.parametrize("later", [0.1, 1.5], ids=["at once", "when another may be asked"])
async def test_a_recheck_that_began_before_a_request_came_does_not_count_for_it(serving, cache, clock, later):
    seen = await cache.lookup(KEY, 5)
    with serving.hold("GetModelMetadata") as hold:
        early = asyncio.create_task(cache.recheck(KEY, seen, 5))
        await hold.arrived()
        serving.swap("m", 2, V2)
        clock.advance(later)
        late = asyncio.create_task(cache.recheck(KEY, seen, 5))
        await asyncio.sleep(0)
        hold.release()
        assert (await early).version == 1
        assert (await late).version == 2


async def test_an_entry_asked_for_by_the_request_itself_needs_no_recheck(serving, cache, clock):
    arrived = clock()
    clock.advance(0.001)
    seen = await cache.lookup(ModelKey("nosuch"), 5)
    assert await cache.recheck(ModelKey("nosuch"), seen, 5, arrived) is seen
    assert serving.calls["GetModelMetadata"] == 1


async def test_an_outdated_entry_is_asked_for_again_however_recent_its_recheck(serving, cache):
    seen = await cache.lookup(KEY, 5)
    seen = await cache.recheck(KEY, seen, 5)
    serving.swap("m", 2, V2)
    cache.invalidate("m")
    assert (await cache.recheck(KEY, seen, 5)).version == 2


# no answer


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "unavailable"),
        (grpc.StatusCode.UNIMPLEMENTED, "error"),
        (grpc.StatusCode.INTERNAL, "error"),
        (grpc.StatusCode.INVALID_ARGUMENT, "error"),
    ],
)
async def test_a_failed_question_gives_nothing_and_is_not_repeated_at_once(
    serving, cache, clock, heard, code, result
):
    serving.fail("GetModelMetadata", code)
    for _ in range(10):
        assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    assert heard.fetches == [(KEY, result)]
    serving.mend("GetModelMetadata")
    clock.advance(1.1)
    assert isinstance(await cache.lookup(KEY, 5), Servable)


async def test_an_absence_that_the_status_cannot_explain_is_no_absence(serving, cache):
    serving.fail("GetModelStatus", grpc.StatusCode.UNIMPLEMENTED)
    assert isinstance(await cache.lookup(ModelKey("nosuch"), 5), Unanswered)


async def test_metadata_that_cannot_be_read_gives_nothing(serving, cache, heard):
    serving.answer("GetModelMetadata", b"\xff\xff")
    assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    assert heard.fetches == [(KEY, "error")]


async def test_a_dead_server_costs_the_first_request_one_question_and_the_next_none(
    serving, channel, cache, heard
):
    await serving.stop()
    for _ in range(5):
        assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    assert heard.fetches == [(KEY, "unavailable")]
    await serving.start()


async def test_a_servable_outlives_the_death_of_the_server_for_admission_but_not_for_refusal(
    serving, cache, clock
):
    seen = await cache.lookup(KEY, 5)
    serving.fail("GetModelMetadata", grpc.StatusCode.UNAVAILABLE)
    assert isinstance(await cache.recheck(KEY, seen, 5), Unanswered)
    assert isinstance(await cache.recheck(KEY, seen, 5), Unanswered)
    clock.advance(100)
    assert cache.peek(KEY) is seen
    assert serving.calls["GetModelMetadata"] == 2


async def test_invalidating_everything_forgets_failures_too(serving, cache):
    serving.fail("GetModelMetadata", grpc.StatusCode.UNAVAILABLE)
    assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    serving.mend("GetModelMetadata")
    cache.invalidate()
    assert isinstance(await cache.lookup(KEY, 5), Servable)


async def test_a_caller_without_time_gets_nothing_and_the_question_goes_on_for_others(serving, cache):
    with serving.hold("GetModelMetadata") as hold:
        assert isinstance(await cache.lookup(KEY, 0.01), Unanswered)
        await hold.arrived()
        patient = asyncio.create_task(cache.lookup(KEY, 5))
        hold.release()
        assert isinstance(await patient, Servable)
    assert serving.calls["GetModelMetadata"] == 1


async def test_a_caller_that_goes_away_does_not_take_the_question_with_it(serving, cache):
    with serving.hold("GetModelMetadata") as hold:
        gone = asyncio.create_task(cache.lookup(KEY, None))
        stays = asyncio.create_task(cache.lookup(KEY, None))
        await hold.arrived()
        gone.cancel()
        hold.release()
        assert isinstance(await stays, Servable)


async def test_a_recheck_that_outlasts_its_time_confirms_nothing(serving, cache, clock):
    seen = await cache.lookup(KEY, 5)
    with serving.hold("GetModelMetadata"):
        assert isinstance(await cache.recheck(KEY, seen, 0.01), Unanswered)
        clock.advance(2)
        assert isinstance(await cache.recheck(KEY, seen, 0.01), Unanswered)


async def test_a_server_that_swallows_questions_is_left_alone_as_long_as_it_swallowed(
    serving, channel, clock, heard
):
    cache = SignatureCache(ChannelControl(channel), listener=heard, clock=clock, fetch_timeout=0.05)
    with serving.hold("GetModelMetadata") as hold:
        lookup = asyncio.create_task(cache.lookup(KEY, None))
        await hold.arrived()
        clock.advance(5)  # by this clock the question took five seconds
        assert isinstance(await lookup, Unanswered)
    clock.advance(4.9)
    assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    assert heard.fetches == [(KEY, "unavailable")]
    await cache.stop()


@pytest.mark.parametrize("key", [ModelKey("m", version=7), ModelKey("m", label="stable")], ids=str)
async def test_no_other_name_of_a_model_that_was_told_is_kept_unknown(serving, cache, key):
    await cache.lookup(KEY, 5)
    serving.answer("GetModelMetadata", b"\xff\xff")
    found = await cache.lookup(key, 5)
    assert isinstance(found, Unanswered)
    assert not found.kept


# bounds


async def test_invented_names_never_push_out_a_served_model(serving, channel, clock):
    serving.load("m", 1)
    cache = SignatureCache(ChannelControl(channel), clock=clock, max_keys=8)
    await cache.lookup(KEY, 5)
    for number in range(50):
        await cache.lookup(ModelKey(f"invented-{number}"), 5)
    assert repr(cache) == "<SignatureCache [1 served, 8 missing, 0 being asked]>"
    assert cache.peek(KEY) is not None
    await cache.stop()


async def test_an_endless_invented_name_is_answered_and_not_remembered(cache):
    assert isinstance(await cache.lookup(ModelKey("x" * 100_000), 5), Absence)
    assert isinstance(await cache.lookup(ModelKey("m", label="x" * 100_000), 5), Absence)
    assert repr(cache) == "<SignatureCache [0 served, 0 missing, 0 being asked]>"


async def test_the_servable_unused_for_longest_makes_room(serving, channel, clock):
    serving.load("m", 1)
    for number in range(2, 5):
        serving.load("m", number)
    cache = SignatureCache(ChannelControl(channel), clock=clock, max_keys=3)
    for number in (1, 2, 3):
        await cache.lookup(ModelKey("m", number), 5)
    cache.peek(ModelKey("m", 1))
    await cache.lookup(ModelKey("m", 4), 5)
    assert [number for number in (1, 2, 3, 4) if cache.peek(ModelKey("m", number))] == [1, 3, 4]
    await cache.stop()


async def test_questions_are_bounded_and_whoever_exceeds_them_is_not_kept_waiting(serving, channel, clock):
    cache = SignatureCache(ChannelControl(channel), clock=clock, max_fetches=2, max_strangers=5)
    with serving.hold("GetModelMetadata") as hold:
        lookups = [asyncio.create_task(cache.lookup(ModelKey(f"m{n}"), None)) for n in range(5)]
        await hold.arrived(2)
        assert isinstance(await cache.lookup(ModelKey("m6"), None), Unanswered)
        assert serving.calls["GetModelMetadata"] == 2
        hold.release()
        assert all(isinstance(each, Absence) for each in await asyncio.gather(*lookups))
    await cache.stop()


# drift


async def test_a_breaking_step_of_the_latest_version_is_told_with_its_differences(serving, cache, heard):
    seen = await cache.lookup(KEY, 5)
    serving.swap("m", 2, V2)
    await cache.recheck(KEY, seen, 5)
    (drift,) = heard.drifts
    assert (drift.model, drift.old_version, drift.new_version) == ("m", 1, 2)
    assert drift.kind is DriftKind.BREAKING
    assert [str(each) for each in drift.differences] == [
        "serving_default input 'x': dtype changed float32 -> uint8"
    ]


async def test_a_step_with_the_same_signatures_is_told_as_unchanged(serving, cache, heard):
    seen = await cache.lookup(KEY, 5)
    serving.swap("m", 2, V1)
    await cache.recheck(KEY, seen, 5)
    assert [drift.kind for drift in heard.drifts] == [DriftKind.UNCHANGED]


async def test_drift_is_seen_across_a_gap_in_which_nothing_was_loaded(serving, cache, clock, heard):
    await cache.lookup(KEY, 5)
    serving.models["m"][1].state = "END"
    cache.invalidate("m")
    assert isinstance(await cache.lookup(KEY, 5), Absence)
    serving.load("m", 2, V2)
    clock.advance(2)
    await cache.lookup(KEY, 5)
    assert [drift.new_version for drift in heard.drifts] == [2]


async def test_files_replaced_under_the_same_version_number_drift_too(serving, cache, heard):
    await cache.lookup(KEY, 5)
    serving.load("m", 1, V2)
    cache.invalidate()
    await cache.lookup(KEY, 5)
    assert [(drift.old_version, drift.new_version) for drift in heard.drifts] == [(1, 1)]


# the end


async def test_stop_ends_questions_and_leaves_nobody_waiting(serving, channel, clock):
    cache = SignatureCache(ChannelControl(channel), clock=clock, max_fetches=1)
    with serving.hold("GetModelMetadata") as hold:
        lookups = [asyncio.create_task(cache.lookup(ModelKey(f"m{n}"), None)) for n in range(3)]
        await hold.arrived()
        await cache.stop()
        assert {each.why for each in await asyncio.gather(*lookups)} == {"the proxy is stopping"}
    assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    assert serving.calls["GetModelMetadata"] == 1


async def test_a_question_not_yet_begun_when_the_cache_stops_leaves_nobody_waiting(channel, clock):
    cache = SignatureCache(ChannelControl(channel), clock=clock)
    lookup = asyncio.create_task(cache.lookup(KEY, None))
    await asyncio.sleep(0)  # the look-up has begun, its question has not
    await cache.stop()
    assert isinstance(await lookup, Unanswered)


async def test_a_closed_channel_gives_nothing_instead_of_raising(serving, clock, heard):
    channel = open_channel(serving.target)
    cache = SignatureCache(ChannelControl(channel), listener=heard, clock=clock)
    await channel.close()
    assert isinstance(await cache.lookup(KEY, 5), Unanswered)
    assert heard.fetches == [(KEY, "error")]
