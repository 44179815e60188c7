"""While few calls are under way, nothing waits for the sake of others."""

import h2.events
import pytest

from proxy.core.policy import Policies
from proxy.edge.native.shell import Exchange
from proxy.gate import Gate
from tests.edge.native.conftest import PREDICT_HEAD, until
from tests.judging import FixedSignatures, predict, servable, signature, tensor

SIGNATURE = signature({"image": ("float32", (-1, 100, 100, 3))}, {"scores": ("float32", (-1,))})
MESSAGE = predict(image=tensor("float32", (1, 100, 100, 3))).SerializeToString(deterministic=True)
OCTETS = len(MESSAGE).to_bytes(5, "big") + MESSAGE
HALF = len(OCTETS) // 2


@pytest.fixture
def doorkeeper():
    return Gate(FixedSignatures(servable(SIGNATURE)), Policies())


class Received:
    """A server that answers each whole request, and counts octets."""

    def __init__(self):
        self.octets = {}

    def __call__(self, peer, event):
        if isinstance(event, h2.events.DataReceived):
            self.octets[event.stream_id] = self.octets.get(event.stream_id, 0) + len(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            peer.answer(event.stream_id)


async def half(client, number):
    for start in range(0, HALF, 16_384):
        client.h2.send_data(number, OCTETS[start : min(start + 16_384, HALF)])
    client.flush()


async def rest(client, number):
    while client.h2.local_flow_control_window(number) < len(OCTETS) - HALF:
        await client.next(h2.events.WindowUpdated)
    for start in range(HALF, len(OCTETS), 16_384):
        client.h2.send_data(number, OCTETS[start : start + 16_384], end_stream=start + 16_384 >= len(OCTETS))
    client.flush()


async def test_a_message_of_a_hundred_kilobytes_flows_when_its_call_is_alone_and_waits_among_many(
    start_frames, start_edge, start_client
):
    received = Received()
    _, target = await start_frames(received)
    edge = await start_edge(target)
    client = await start_client(edge)
    alone = client.request(PREDICT_HEAD, None)
    await half(client, alone)
    await until(lambda: list(received.octets.values()) == [HALF])
    for _ in range(4):
        client.request(PREDICT_HEAD, None)
    await until(lambda: edge._plane.load.calls == 5)
    before = edge._plane.load.bytes
    other = await start_client(edge)
    among = other.request(PREDICT_HEAD, None)
    await half(other, among)
    await until(lambda: edge._plane.load.bytes == before + HALF - 5)
    assert sum(received.octets.values()) == HALF
    await rest(other, among)
    await other.next(h2.events.StreamEnded, stream_id=among)
    await rest(client, alone)
    await client.next(h2.events.StreamEnded, stream_id=alone)
    assert sorted(received.octets.values()) == [len(OCTETS)] * 2


class Recorded:
    """A connection that notes when it writes."""

    def __init__(self, notes):
        self.notes = notes

    def write(self):
        self.notes.append("written")


async def test_what_is_written_soon_is_written_once_and_before_what_nobody_waits_for():
    exchange, notes = Exchange(), []
    exchange.afterwards(lambda: notes.append("told"))
    exchange.ready.append(Recorded(notes))
    exchange.flush_soon()
    exchange.flush_soon()
    assert not notes
    await until(lambda: notes)
    assert notes == ["written", "told"]
    assert not exchange.ready
