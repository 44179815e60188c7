"""Questions about models on the pool's connections: answered, refused, cut off, and never behind the calls."""

import asyncio
import socket

import h2.events
import h2.settings
import pytest

from proxy.core.types import ModelKey
from proxy.edge.native import asking
from proxy.edge.native.asking import PoolWay
from proxy.edge.native.pool_options import PoolOptions
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.control import ControlError
from tests.edge.native.conftest import HEAD, OK, PATIENCE, RST, Caller, until
from tests.fake_serving import FakeServing

METHOD = "/tensorflow.serving.ModelService/GetModelStatus"
UNAVAILABLE, DEADLINE_EXCEEDED, EXHAUSTED, UNKNOWN, INTERNAL = 14, 4, 8, 2, 13


def ask(pool, message=b"question", timeout=PATIENCE):
    return PoolWay(pool).ask(METHOD, message, timeout)


async def refused(question):
    with pytest.raises(ControlError) as caught:
        await question
    return caught.value


async def test_a_question_and_its_answer_are_one_message_each(start_frames, start_pool):
    asked = []

    def answer(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            asked.append(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            asked.append(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            peer.answer(event.stream_id, b"answer")

    _, target = await start_frames(answer)
    assert await ask(await start_pool(target)) == b"answer"
    head, body = asked
    assert (head[":path"], head[":method"], head["te"]) == (METHOD, "POST", "trailers")
    assert (head[":authority"], head["content-type"]) == (target, "application/grpc")
    assert head["grpc-timeout"].endswith("u")
    assert body == b"\0\0\0\0\x08question"


async def test_a_real_server_is_asked_as_over_a_channel(start_pool):
    async with FakeServing() as serving:
        serving.load("m", 3)
        pool = await start_pool(serving.target)
        client = ServingClient(PoolWay(pool))
        assert (await client.lookup(ModelKey("m"))).version == 3
        assert await client.versions("nosuch") == ()
        assert (await client.lookup(ModelKey("m", version=9))).key.version == 9
        await until(lambda: not pool._shells[0].connection.streams)


async def test_a_server_that_cannot_be_reached_is_named(start_pool):
    error = await refused(ask(await start_pool("127.0.0.1:1")))
    assert error.code == UNAVAILABLE
    assert "connection refused" in error.text
    with pytest.raises(NoAnswerError, match="UNAVAILABLE: cannot reach"):
        await ServingClient(PoolWay(await start_pool("127.0.0.1:1"))).versions("m")


def says(*fields, end=True, body=None, status="200"):
    def answer(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            head = [(":status", status), *HEAD[1:]]
            peer.h2.send_headers(event.stream_id, [*head, *fields] if end else head, end_stream=end)
            if not end:
                peer.h2.send_data(event.stream_id, body)
                peer.h2.send_headers(event.stream_id, fields or OK, end_stream=True)

    return answer


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (says(("grpc-status", "5"), ("grpc-message", "no %22m%22")), 5, 'no "m"'),
        (says(("grpc-status", "3"), ("grpc-message", "bad"), end=False, body=b""), 3, "bad"),
        (says(), UNKNOWN, "without a gRPC status"),
        (says(*OK), INTERNAL, "not one message"),
        (says(end=False, body=b"\x01\0\0\0\x01x"), INTERNAL, "not one message"),
        (says(end=False, body=b"\0\0\0\0\x05x"), INTERNAL, "not one message"),
        (says(status="503"), UNAVAILABLE, "http2 header with status: 503"),
    ],
)
async def test_what_is_no_answer_is_told_with_its_code(start_frames, start_pool, answer, code, text):
    _, target = await start_frames(answer)
    error = await refused(ask(await start_pool(target)))
    assert error.code == code
    assert text in error.text


async def test_an_answer_without_end_is_cut_off(start_frames, start_pool, set_constant):
    set_constant(asking, "MAX_ANSWER", 100_000)

    def pour(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, HEAD)
            for _ in range(7):
                peer.h2.send_data(event.stream_id, bytes(16_000))

    server, target = await start_frames(pour)
    pool = await start_pool(target)
    assert (await refused(ask(pool))).code == EXHAUSTED
    await server.peers[0].next(h2.events.StreamReset)
    assert not pool._shells[0].connection.streams


async def test_time_that_is_up_resets_the_stream_and_so_does_whoever_asks_no_more(start_frames, start_pool):
    server, target = await start_frames(lambda *_: None)
    pool = await start_pool(target)
    assert (await refused(ask(pool, timeout=0.1))).code == DEADLINE_EXCEEDED
    await server.peers[0].next(h2.events.StreamReset, error_code=RST.CANCEL)
    task = asyncio.create_task(ask(pool))
    await server.peers[0].next(h2.events.StreamEnded)
    task.cancel()
    await server.peers[0].next(h2.events.StreamReset, error_code=RST.CANCEL)
    assert not pool._shells[0].connection.streams


async def test_no_connection_in_time_is_told_and_nobody_waits_on(start_pool):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        pool = await start_pool(f"127.0.0.1:{mute.getsockname()[1]}")
        error = await refused(ask(pool, timeout=0.1))
        assert (error.code, "before a connection" in error.text) == (DEADLINE_EXCEEDED, True)
        assert "0 waiting" in repr(pool)


@pytest.mark.parametrize("leaves", ["refuses", "goes away"])
async def test_a_question_that_the_server_has_not_looked_at_is_asked_again(start_frames, start_pool, leaves):
    tries = []

    def once(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            tries.append(event.stream_id)
            if len(tries) > 1:
                peer.answer(event.stream_id, b"answer")
            elif leaves == "refuses":
                peer.h2.reset_stream(event.stream_id, RST.REFUSED_STREAM)
            else:
                peer.h2.close_connection(last_stream_id=0)

    _, target = await start_frames(once)
    assert await ask(await start_pool(target)) == b"answer"
    assert len(tries) == 2


async def test_a_server_that_always_refuses_is_given_up(start_frames, start_pool):
    def refuse(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.reset_stream(event.stream_id, RST.REFUSED_STREAM)

    _, target = await start_frames(refuse)
    error = await refused(ask(await start_pool(target)))
    assert error.code == UNAVAILABLE
    assert "REFUSED_STREAM" in error.text


async def test_a_connection_that_is_lost_is_told(start_frames, start_pool):
    def die(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.transport.abort()

    _, target = await start_frames(die)
    assert (await refused(ask(await start_pool(target)))).code == UNAVAILABLE


async def test_a_question_goes_before_the_calls_that_wait_for_a_stream(start_frames, start_pool):
    held = []

    def one_at_a_time(peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        elif isinstance(event, h2.events.StreamEnded):
            held.append((peer, event.stream_id))

    _, target = await start_frames(one_at_a_time)
    pool = await start_pool(target, options=PoolOptions(connections_per_address=1, first_backoff=0.02))
    await until(lambda: pool._shells and pool._shells[0].connection.table.peer_concurrent_streams == 1)
    first = asyncio.create_task(ask(pool))
    await until(lambda: len(held) == 1)
    callers = [Caller() for _ in range(3)]
    for caller in callers:
        pool.wait(caller)
    question = asyncio.create_task(ask(pool))
    await asyncio.sleep(0)
    held[0][0].answer(held[0][1], b"1")
    await first
    await until(lambda: len(held) == 2)
    assert not any(caller.told.done() for caller in callers)
    held[1][0].answer(held[1][1], b"2")
    assert await question == b"2"
    await callers[0].told


async def test_the_way_is_up_while_the_pool_is(start_frames, start_pool):
    server, target = await start_frames()
    pool = await start_pool(target)
    way = PoolWay(pool)
    assert way.up is None
    await until(lambda: way.up)
    server.stop()
    await until(lambda: way.up is False)
