"""Heads of calls that no library sends: octets that are no text, in the path and in values.

Law: a call with such a head has an end that says so, and costs nobody but its client anything; what a value was stands
in no log.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import hpack
import pytest

from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import PREDICT
from tests.faults.ground import Ground, marked, tell
from tests.faults.server import END_HEADERS, HEADERS, frame
from tests.faults.spoken import Call, Heard
from tests.proxy_process import ProxyProcess
from tests.safety.clients import Fields, channel_to, head
from tests.safety.serving import CountingServer

PATIENCE = 5.0
OF_A_SERVER_THAT_ENDED = {("CANCELLED", ""), ("UNAVAILABLE", "")}


async def told(
    ground: Ground, path: bytes = PREDICT.encode(), more: Fields = (), seconds: float = PATIENCE
) -> Heard:
    """What comes of a good Predict with this head; values are Latin-1, an octet for each character."""
    call = Call(marked(b"of this call"))
    fields = [
        (name.encode(), path if name == ":path" else value.encode("latin-1"))
        for name, value in head(more=more)
    ]
    octets = dict(call.frames)
    block = frame(HEADERS, END_HEADERS, 1, hpack.Encoder().encode(fields))
    await call.connect(ground.proxy.target)
    await call.say(call.up_to("SETTINGS") + block)
    await call.say(b"".join(octets for name, octets in octets.items() if name.startswith("DATA")))
    return await call.hear(seconds)


@pytest.mark.parametrize("path", [b"/\xff\xfe/Predict", b"/tensorflow.serving.PredictionService/\x80"])
async def test_a_path_that_is_no_text(ground: Ground, path: bytes):
    """grpc.aio ends as a whole where it cannot decode a path; the edge that is made of it stands again at once."""
    if ground.edge == "native":
        async with ground.undisturbed():
            assert (await told(ground, path)).reset is not None
        return
    async with ground.disturbed(OF_A_SERVER_THAT_ENDED, PATIENCE) as bystanders:
        for _ in range(3):
            before = listened_again(ground.proxy)
            await told(ground, path, seconds=0)
            async with asyncio.timeout(PATIENCE):
                while listened_again(ground.proxy) == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await bystanders.served_again(20)


async def test_a_path_that_is_no_text_at_a_unix_socket(tmp_path: Path):
    """The core removes the file of the server that ended, and must not remove that of the one that stands in its place."""
    at = tmp_path / "socket"
    flags = ("--edge", "grpcio", "--listen", f"unix:{at}", "--model", "m")
    with CountingServer() as server, ProxyProcess("--upstream", server.target, *flags) as proxy:
        wait_until_ready(proxy)
        for number in range(1, 6):
            async with asyncio.timeout(PATIENCE):
                call = Call(None)
                reader, writer = await asyncio.open_unix_connection(at)
                fields = [
                    (name.encode(), b"/\xff" if name == ":path" else value.encode()) for name, value in head()
                ]
                block = frame(HEADERS, END_HEADERS, 1, hpack.Encoder().encode(fields))
                writer.write(call.up_to("SETTINGS") + block)
                while listened_again(proxy) < number:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                writer.close()
                del reader
            async with channel_to(proxy.target) as channel:
                assert (await tell(channel, marked(b"of this call"), timeout=PATIENCE)).code == "OK"


async def test_servers_that_ended_and_still_have_calls_are_bounded():
    """A client that breaks one after another, and holds a call at each, holds no more than a few of them."""
    with (
        CountingServer() as server,
        ProxyProcess("--upstream", server.target, "--edge", "grpcio", "--model", "m") as proxy,
    ):
        wait_until_ready(proxy)
        first: asyncio.Future[object] | None = None
        async with AsyncExitStack() as stack:
            for _ in range(12):
                channel = await stack.enter_async_context(channel_to(proxy.target))
                # Its message never comes.
                held = channel.stream_stream(PREDICT)(timeout=60, wait_for_ready=True)
                await held.wait_for_connection()
                first = first or asyncio.ensure_future(held.code())
                await broken(proxy)
            async with asyncio.timeout(PATIENCE):
                assert await first in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            async with channel_to(proxy.target) as channel:
                assert (
                    await tell(channel, marked(b"of this call"), timeout=PATIENCE, wait_for_ready=True)
                ).code == "OK"
    lines = [line for line in proxy.log if line["event"] == "listening_again"]
    assert len(lines) + sum(line.get("suppressed", 0) for line in lines) <= 12


async def broken(proxy: ProxyProcess) -> None:
    """Have the server at this port end, and wait until another stands there."""
    before = listened_again(proxy)
    call = Call(None)
    fields = [(name.encode(), b"/\xff" if name == ":path" else value.encode()) for name, value in head()]
    await call.connect(proxy.target)
    await call.say(call.up_to("SETTINGS") + frame(HEADERS, END_HEADERS, 1, hpack.Encoder().encode(fields)))
    await call.hear(0)
    async with asyncio.timeout(PATIENCE):
        while listened_again(proxy) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def listened_again(proxy: ProxyProcess) -> int:
    return sum(line["event"] == "listening_again" for line in proxy.log)


@pytest.mark.parametrize("value", ["s\xe9cret", "s\xc3\xa9cret", "secret\t", "secret\x7f"])
async def test_a_value_that_is_no_ascii(ground: Ground, value: str):
    lines = len(ground.proxy.log)
    async with ground.undisturbed():
        for name in "authorization", "x-other":
            heard = await told(ground, more=((name, value),))
            assert heard.status is not None, heard
            assert heard.seconds < PATIENCE
            if ground.edge == "grpcio" and heard.status:
                assert "printable ASCII" in heard.text
                assert name in heard.text
    assert "cret" not in str(ground.proxy.log[lines:])
    assert not [line for line in ground.proxy.log[lines:] if line["level"] == "error"]
