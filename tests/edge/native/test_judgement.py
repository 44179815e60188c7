"""What waits for the gate, what the gate sees of it, and what room it takes meanwhile."""

import asyncio
import gzip
import zlib

import grpc
import h2.events
import pytest

from proxy.edge.admission import Limits
from tests.edge.native.conftest import PREDICT_HEAD, RST, until


@pytest.mark.parametrize("size", [0, 1, 5, 100, 70_000, 300_000])
async def test_a_judged_message_is_whole_for_the_gate_and_as_sent_for_the_server(
    start_frames, start_edge, start_client, doorkeeper, size
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    message = bytes(number % 251 for number in range(size))
    octets = size.to_bytes(5, "big") + message
    number = client.request(PREDICT_HEAD, None)
    for start in range(0, len(octets), 9_999):
        part = octets[start : start + 9_999]
        while client.h2.local_flow_control_window(number) < len(part):
            await client.next(h2.events.WindowUpdated)
        client.h2.send_data(number, part, end_stream=start + 9_999 >= len(octets))
        client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert [bytes(each) for each in doorkeeper.messages] == [message]
    assert server.peers[0].received == len(octets)


async def test_a_slow_judgement_holds_only_its_own_call(start_frames, start_edge, start_client, doorkeeper):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    doorkeeper.slow = asyncio.Event()
    slow = client.request(PREDICT_HEAD, b"slow")
    other = client.request()
    await client.next(h2.events.StreamEnded, stream_id=other)
    doorkeeper.slow.set()
    await client.next(h2.events.StreamEnded, stream_id=slow)


async def test_a_client_that_leaves_during_judgement_is_let_go(
    start_frames, start_edge, start_client, doorkeeper, witness
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    doorkeeper.slow = asyncio.Event()
    number = client.request(PREDICT_HEAD, b"slow")
    await until(lambda: doorkeeper.messages)
    client.h2.reset_stream(number, RST.CANCEL)
    client.flush()
    await until(lambda: witness.outcomes)
    assert witness.outcomes[0].code == grpc.StatusCode.CANCELLED.value[0]
    doorkeeper.slow.set()
    client.request()
    await client.next(h2.events.StreamEnded)
    assert server.peers[0].received == 5


async def test_a_compressed_message_is_judged_as_it_is_meant(
    start_frames, start_edge, start_client, doorkeeper
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    packed = gzip.compress(b"plain")
    number = client.request([*PREDICT_HEAD, ("grpc-encoding", "gzip")], None)
    octets = b"\x01" + len(packed).to_bytes(4, "big") + packed
    client.h2.send_data(number, octets, end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert doorkeeper.messages == [b"plain"]
    assert server.peers[0].received == len(octets)


ZIPPED = gzip.compress(b"a message")

ODD = {
    "flag of 2": (2, ("gzip",), ZIPPED),
    "flag of 255": (255, ("gzip",), ZIPPED),
    "no encoding": (1, (), ZIPPED),
    "identity": (1, ("identity",), b"a message"),
    "empty encoding": (1, ("",), ZIPPED),
    "unknown encoding": (1, ("snappy",), b"abc"),
    "upper case": (1, ("GZIP",), ZIPPED),
    "a list": (1, ("identity,gzip",), ZIPPED),
    "twice": (1, ("identity", "gzip"), ZIPPED),
    "twice, the other way": (1, ("gzip", "identity"), ZIPPED),
    "twice the same": (1, ("gzip", "gzip"), ZIPPED),
    "not gzip": (1, ("gzip",), b"abc"),
    "cut off": (1, ("gzip",), ZIPPED[:-1]),
    "two members": (1, ("gzip",), ZIPPED + ZIPPED),
    "something behind it": (1, ("deflate",), zlib.compress(b"a message") + b"x"),
}


@pytest.mark.parametrize(("flag", "encodings", "message"), ODD.values(), ids=ODD)
async def test_a_compressed_message_that_can_be_read_in_two_ways_is_not_sent_on(
    start_frames, start_edge, start_client, doorkeeper, flag, encodings, message
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    octets = bytes((flag,)) + len(message).to_bytes(4, "big") + message
    for lets_pass in (False, True):
        doorkeeper.lets_pass = lets_pass
        number = client.request([*PREDICT_HEAD, *(("grpc-encoding", each) for each in encodings)], None)
        client.h2.send_data(number, octets, end_stream=True)
        client.flush()
        fields = dict((await client.next(h2.events.ResponseReceived, stream_id=number)).headers)
        if not lets_pass:
            assert fields["grpc-status"] == "12"
            assert "grpc-encoding" in fields["grpc-message"]
            assert not server.peers or not server.peers[0].received
    assert server.peers[0].received == len(octets)
    assert doorkeeper.messages == []


@pytest.mark.parametrize("encodings", [("identity", "gzip"), ("snappy",), ("",)])
async def test_a_message_that_is_not_compressed_is_judged_whatever_its_encoding_is_called(
    start_frames, start_edge, start_client, doorkeeper, encodings
):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    number = client.request([*PREDICT_HEAD, *(("grpc-encoding", each) for each in encodings)], None)
    client.h2.send_data(number, b"\0\0\0\0\x03abc", end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert doorkeeper.messages == [b"abc"]


@pytest.mark.parametrize("size", [0, 100, 300_000, 5_000_000])
async def test_a_compressed_message_is_judged_by_its_plain_text_and_sent_on_as_it_came(
    start_frames, start_edge, start_client, doorkeeper, size
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    plain = bytes(number % 251 for number in range(size))
    zipped = gzip.compress(plain)
    number = client.request([*PREDICT_HEAD, ("grpc-encoding", "gzip")], None)
    client.h2.send_data(number, b"\x01" + len(zipped).to_bytes(4, "big"))
    for start in range(0, len(zipped), 9_999):
        client.h2.send_data(number, zipped[start : start + 9_999], end_stream=start + 9_999 >= len(zipped))
        client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert [bytes(each) for each in doorkeeper.messages] == [plain]
    assert server.peers[0].received == 5 + len(zipped)


async def test_the_plain_text_of_a_message_is_held_to_the_limits_of_messages(
    start_frames, start_edge, start_client, doorkeeper
):
    server, target = await start_frames()
    doorkeeper.lets_pass = True
    for limits, told in (
        (Limits(max_message_bytes=2_000_000), "--max-message-bytes"),
        (Limits(max_inflight_bytes=2_000_000), "--max-inflight-bytes"),
    ):
        client = await start_client(await start_edge(target, limits=limits))
        number = client.request([*PREDICT_HEAD, ("grpc-encoding", "gzip")], None)
        zipped = gzip.compress(bytes(3_000_000))
        client.h2.send_data(number, b"\x01" + len(zipped).to_bytes(4, "big") + zipped, end_stream=True)
        client.flush()
        fields = dict((await client.next(h2.events.ResponseReceived, stream_id=number)).headers)
        assert fields["grpc-status"] == "8"
        assert told in fields["grpc-message"]
    assert not server.peers or not server.peers[0].received
    assert doorkeeper.messages == []


async def test_half_a_message_is_left_to_the_server(start_frames, start_edge, start_client, doorkeeper):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    number = client.request(PREDICT_HEAD, None)
    client.h2.send_data(number, b"\0\0\0\0\x09abc", end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert server.peers[0].received == 8
    assert doorkeeper.messages == []


async def test_judged_messages_take_room_as_they_arrive_and_not_for_what_they_announce(
    start_frames, start_edge, start_client, witness
):
    _, target = await start_frames()
    edge = await start_edge(target, limits=Limits(max_inflight_bytes=1000))
    client = await start_client(edge)
    first = client.request(PREDICT_HEAD, None)
    client.h2.send_data(first, (950).to_bytes(5, "big"))
    unharmed = client.request(PREDICT_HEAD, b"x" * 200)
    await client.next(h2.events.TrailersReceived, stream_id=unharmed)
    client.h2.send_data(first, bytes(900))
    second = client.request(PREDICT_HEAD, b"x" * 200)
    fields = dict((await client.next(h2.events.ResponseReceived, stream_id=second)).headers)
    assert fields["grpc-status"] == "8"
    assert "--max-inflight-bytes" in fields["grpc-message"]
    client.h2.send_data(first, bytes(50), end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=first)
    announced = client.request(PREDICT_HEAD, None)
    client.h2.send_data(announced, (1001).to_bytes(5, "big"))
    client.flush()
    await client.next(h2.events.ResponseReceived, stream_id=announced)
    third = client.request(PREDICT_HEAD, b"x" * 1000)
    await client.next(h2.events.TrailersReceived, stream_id=third)
