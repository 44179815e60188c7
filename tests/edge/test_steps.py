"""What each step of an edge does to a call, seen from the client and from the server."""

import asyncio

import grpc
import pytest

from proxy.wire.protos import get_model_metadata_pb2
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import signature_def
from tests.transparency.frames import FrameServer


async def test_a_good_request_reaches_the_server_unchanged(start_proxy, connect, serving):
    channel = connect(await start_proxy())
    message = predict() + b"\xd2\x3e\x02hi"  # an unknown field
    answer = await ask(channel, PREDICT, message)
    assert answer.code is grpc.StatusCode.OK
    assert [request for request in serving.requests if request[0] == "Predict"] == [("Predict", message)]
    assert answer.trailing == ()


async def test_a_wrong_shape_is_refused_and_never_reaches_the_server(start_proxy, connect, serving):
    channel = connect(await start_proxy())
    answer = await ask(channel, PREDICT, predict(shape=(3,)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RANK_MISMATCH")
    assert "expected" in answer.details
    assert serving.calls["Predict"] == 0


async def test_observe_mode_forwards_what_it_would_refuse(start_proxy, connect, serving):
    channel = connect(await start_proxy("--mode", "observe"))
    assert (await ask(channel, PREDICT, predict(shape=(3,)))).code is grpc.StatusCode.OK
    assert serving.calls["Predict"] == 1


async def test_a_warning_is_in_the_trailing_metadata_and_changes_nothing_else(start_proxy, connect, serving):
    channel = connect(await start_proxy())
    answer = await ask(channel, PREDICT, predict(shape=(0, 3)))
    assert answer.code is grpc.StatusCode.OK
    ((key, value),) = answer.trailing
    assert key == "tfs-proxy-warning"
    assert value.startswith("BATCH_EMPTY: ")


async def test_a_server_that_cannot_describe_its_models_is_not_judged_for(start_proxy, connect, serving):
    serving.fail("GetModelMetadata", grpc.StatusCode.UNIMPLEMENTED, "no")
    channel = connect(await start_proxy())
    assert (await ask(channel, PREDICT, predict(shape=(3,)))).code is grpc.StatusCode.OK


async def test_a_response_from_a_new_version_makes_the_old_signature_outdated(start_proxy, connect, serving):
    channel = connect(await start_watching(start_proxy, serving))
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    serving.swap("m", 2, {"serving_default": signature_def({"x": (1, (-1, 3))})})
    asked = serving.calls["GetModelMetadata"]
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    assert serving.calls["GetModelMetadata"] == asked + 1


async def test_a_label_that_has_moved_is_asked_for_again_and_nothing_else(start_proxy, connect, serving):
    serving.load("m", 2, {"serving_default": signature_def({"x": (1, (-1, 3))})})
    serving.labels["m"] = {"canary": 1}
    channel = connect(await start_watching(start_proxy, serving))
    for spec in ({}, {"version_label": "canary"}):
        assert (await ask(channel, PREDICT, predict(**spec))).code is grpc.StatusCode.OK
    serving.labels["m"] = {"canary": 2}
    serving.requests.clear()
    for spec in ({"version_label": "canary"}, {}, {"version_label": "canary"}):
        assert (await ask(channel, PREDICT, predict(**spec))).code is grpc.StatusCode.OK
    asked = [
        get_model_metadata_pb2.GetModelMetadataRequest.FromString(message).model_spec.version_label
        for method, message in serving.requests
        if method == "GetModelMetadata"
    ]
    assert asked == ["canary"]


async def test_a_call_without_a_deadline_gets_the_default_one(start_proxy, connect, serving):
    channel = connect(await start_proxy("--default-deadline", "0.2"))
    with serving.hold("Predict"):
        answer = await ask(channel, PREDICT, predict(), timeout=None)
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_whose_time_is_over_never_reaches_the_server(start_proxy, connect, serving):
    channel = connect(await start_proxy("--default-deadline", "0.2"))
    with serving.hold("GetModelMetadata"):
        answer = await ask(channel, PREDICT, predict(), timeout=None)
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert serving.calls["Predict"] == 0


async def test_the_client_s_own_deadline_wins_over_the_default(start_proxy, connect, serving):
    channel = connect(await start_proxy("--default-deadline", "0.05"))
    with serving.hold("Predict") as hold:
        asking = asyncio.create_task(ask(channel, PREDICT, predict(), timeout=10))
        await hold.arrived()
        await asyncio.sleep(0.2)  # four times the default
        hold.release()
        assert (await asking).code is grpc.StatusCode.OK


async def test_a_message_beyond_the_limit_is_refused_in_words(start_proxy, connect, serving):
    channel = connect(await start_proxy("--max-message-bytes", "1000"))
    answer = await ask(channel, PREDICT, predict(shape=(100, 3)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert "1000 bytes" in answer.details
    assert serving.calls["Predict"] == 0


async def test_a_message_far_beyond_the_limit_is_not_even_read(start_proxy, connect, serving):
    channel = connect(await start_proxy("--max-message-bytes", "1000"))
    answer = await ask(channel, PREDICT, predict(shape=(1000, 3)))
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert serving.calls["Predict"] == 0


async def test_a_stream_message_beyond_the_limit_ends_the_call(start_proxy, connect):
    with FrameServer() as silent:  # the fake server would answer before it has read anything
        channel = connect(await start_proxy("--max-message-bytes", "1000", "--upstream", silent.target))
        call = channel.stream_stream("/some.Service/Stream")(iter([b"x" * 1500]), timeout=10)
        assert [message async for message in _until_error(call)] == []
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1000 bytes" in await call.details()


async def test_request_bytes_in_flight_are_bounded_and_given_back(start_proxy, connect, serving):
    message = predict(shape=(100, 3))
    channel = connect(await start_proxy("--max-inflight-bytes", str(len(message) + 10)))
    with serving.hold("Predict") as hold:
        first = asyncio.create_task(ask(channel, PREDICT, message))
        await hold.arrived()
        second = await ask(channel, PREDICT, message)
        assert (second.code, second.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        hold.release()
        assert (await first).code is grpc.StatusCode.OK
    assert (await ask(channel, PREDICT, message)).code is grpc.StatusCode.OK


async def test_calls_at_a_time_are_bounded_and_given_back(start_proxy, connect, serving):
    channel = connect(await start_proxy("--max-concurrent-calls", "1"))
    with serving.hold("Predict") as hold:
        first = asyncio.create_task(ask(channel, PREDICT, predict()))
        await hold.arrived()
        assert (await ask(channel, PREDICT, predict())).reason == "OVERLOADED"
        first.cancel()
    for _ in range(100):  # the cancellation takes its time to get here
        if (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK:
            break
    else:
        pytest.fail("a cancelled call is held for ever")


async def test_health_is_answered_while_the_proxy_is_full(start_proxy, connect, serving):
    channel = connect(await start_proxy("--max-concurrent-calls", "1"))
    with serving.hold("Predict") as hold:
        first = asyncio.create_task(ask(channel, PREDICT, predict()))
        await hold.arrived()
        assert (await ask(channel, "/grpc.health.v1.Health/Check", b"")).code is grpc.StatusCode.OK
        hold.release()
        await first


async def start_watching(start_proxy, serving):
    """A proxy that has asked for the versions of its model, also after it has connected, and will not again."""
    proxy = await start_proxy("--poll-seconds", "3600", "--model", "m")
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    async with asyncio.timeout(20):
        while serving.calls["GetModelStatus", "m"] < 2:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.01)
    return proxy


async def _until_error(call):
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError:
        return
