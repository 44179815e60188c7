"""The control plane over a channel: an answer, or a status with its number and text."""

import grpc
import pytest

from proxy.upstream.channel import ChannelWay, open_channel
from proxy.upstream.client import GET_MODEL_STATUS
from proxy.upstream.control import ChannelControl, ControlError
from proxy.wire.metadata import status_request


async def test_an_answer_comes_as_it_was_sent(serving, channel):
    serving.answer("GetModelStatus", b"octets")
    assert await ChannelControl(channel).ask(GET_MODEL_STATUS, status_request("m"), 5) == b"octets"


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED])
async def test_a_status_comes_with_number_and_text(serving, channel, code):
    serving.fail("GetModelStatus", code, "sorry")
    with pytest.raises(ControlError, match="sorry") as caught:
        await ChannelControl(channel).ask(GET_MODEL_STATUS, status_request("m"), 5)
    assert (caught.value.code, caught.value.text) == (code.value[0], "sorry")


async def test_the_way_goes_up_and_ends_with_its_channel(serving):
    changes = []
    way = ChannelWay(open_channel(serving.target), changes.append)
    assert way.up is None
    await way.start()
    await way.channel.channel_ready()
    serving.load("m")
    assert await way.ask(GET_MODEL_STATUS, status_request("m"), 5)
    assert way.up is True
    await way.stop()
    with pytest.raises(ControlError):
        await way.ask(GET_MODEL_STATUS, status_request("m"), 5)
