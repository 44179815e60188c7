"""The questions and every kind of answer, against a real gRPC server."""

import grpc
import pytest

from proxy.core.availability import Absence, VersionStatus
from proxy.core.types import ModelKey
from proxy.upstream.channel import open_channel
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.control import ChannelControl

KEY = ModelKey("m")


@pytest.fixture
async def client(serving, channel):
    serving.load("m", 1)
    return ServingClient(ChannelControl(channel))


async def test_a_served_model_is_answered_with_its_servable(client):
    assert (await client.lookup(KEY)).version == 1


async def test_an_absent_one_with_its_versions_and_the_names_known(client):
    key = ModelKey("m", version=9)
    assert await client.lookup(key, ["m"]) == Absence(key, (VersionStatus(1, "AVAILABLE"),), ("m",))


async def test_a_model_the_server_does_not_know_has_no_versions(client):
    assert await client.versions("nosuch") == ()


@pytest.mark.parametrize("ask", [lambda client: client.lookup(KEY), lambda client: client.versions("m")])
@pytest.mark.parametrize(
    ("code", "result"),
    [
        (grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "unavailable"),
        (grpc.StatusCode.UNIMPLEMENTED, "error"),
        (grpc.StatusCode.INVALID_ARGUMENT, "error"),
    ],
)
async def test_an_answer_of_no_use_says_what_kind_and_why(serving, client, ask, code, result):
    serving.fail("GetModelMetadata", code, "sorry")
    serving.fail("GetModelStatus", code, "sorry")
    with pytest.raises(NoAnswerError, match=f"{code.name}: sorry") as caught:
        await ask(client)
    assert caught.value.result == result


async def test_a_server_that_is_too_slow_gives_no_answer(serving, channel):
    client = ServingClient(ChannelControl(channel), timeout=0.05)
    with serving.hold("GetModelStatus"), pytest.raises(NoAnswerError, match="DEADLINE_EXCEEDED"):
        await client.versions("m")


async def test_a_closed_channel_gives_no_answer(serving):
    channel = open_channel(serving.target)
    client = ServingClient(ChannelControl(channel))
    await channel.close()
    with pytest.raises(NoAnswerError):
        await client.versions("m")
