"""Both ways of making a unary call bring the same back."""

import asyncio

import grpc
import pytest

from proxy.edge.grpcio.upstream import unary
from tests.fake_serving import FakeServing

METHOD = "/some.Service/Method"
PAIRS = (("a", "1"), ("x-bin", b"\x00\xff"), ("a", "2"))


class PublicOnly:
    """A channel of which nothing below is known."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.unary_unary = channel.unary_unary


@pytest.fixture
async def server():
    """Answers what it got; `fail` and `wait` as messages do what they say."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    gone = asyncio.Event()

    async def answer(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.send_initial_metadata(PAIRS)
        context.set_trailing_metadata(context.invocation_metadata()[1:])  # all but the user agent
        if message == b"fail":
            await context.abort(grpc.StatusCode.DATA_LOSS, "lost")
        if message == b"wait":
            try:
                await asyncio.Event().wait()
            finally:
                gone.set()
        return message

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("some.Service", {"Method": handler}),)
    )
    server.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.gone = gone
    await server.start()
    yield server
    await server.stop(None)


@pytest.fixture(params=["below", "public"])
async def ask(request, server):
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield unary(channel if request.param == "below" else PublicOnly(channel), METHOD)


async def test_an_answer_comes_with_all_metadata(ask):
    reply = await ask(b"hello", 10.0, PAIRS)
    assert reply.message == b"hello"
    assert sorted(reply.initial, key=str) == sorted(PAIRS, key=str)
    assert sorted(reply.ending.trailing, key=str) == sorted(PAIRS, key=str)
    assert reply.ending.code == 0


async def test_an_error_is_no_exception(ask):
    reply = await ask(b"fail", None, ())
    assert reply.message is None
    assert (reply.ending.code, reply.ending.details) == (grpc.StatusCode.DATA_LOSS.value[0], "lost")


async def test_a_deadline_ends_it(ask):
    reply = await ask(b"wait", 0.1, ())
    assert (reply.message, reply.ending.code) == (None, grpc.StatusCode.DEADLINE_EXCEEDED.value[0])


async def test_cancelling_it_cancels_the_call(ask, server):
    asking = asyncio.create_task(ask(b"wait", 20.0, ()))
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # Cancelled before or after it reached the server: it is not there for long.
    await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_server_that_is_away_is_an_answer_too():
    async with FakeServing() as away:
        target = away.target
    async with grpc.aio.insecure_channel(target) as channel:
        reply = await unary(channel, METHOD)(b"", 10.0, ())
    assert (reply.message, reply.ending.code) == (None, grpc.StatusCode.UNAVAILABLE.value[0])
