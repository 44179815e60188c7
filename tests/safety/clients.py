"""Those who call: good and bad requests, a bystander who must not notice, and HTTP/2 connections made by hand."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import h2.events

from tests.edge.conftest import PREDICT, Answered, ask, predict
from tests.edge.native.conftest import REQUEST, Peer, until
from tests.proxy_process import ProxyProcess

GOOD = predict("m", (2, 3))
BAD = predict("m", (3,))
"""Contradicts the signature of `m`."""
IMAGE = predict("conv", (1, 4, 4, 3), "image")
KILLING = predict("conv", (4, 4, 3), "image")
"""An image without a batch, which ends a mortal server."""

RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
PATIENCE = 15.0
LONGEST_WAIT = 1.0
"""Seconds that a bystander's small call may take beside anything; on a machine of its own it is a quarter."""

Fields = Sequence[tuple[str, str]]


@contextlib.asynccontextmanager
async def channel_to(target: str, *options: tuple[str, Any]) -> AsyncIterator[grpc.aio.Channel]:
    """A connection that is shared with no other channel."""
    own = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    async with grpc.aio.insecure_channel(target, options=(*own, *options)) as channel:
        yield channel


async def ask_predict(channel: grpc.aio.Channel, message: bytes, **how: Any) -> Answered:
    return await ask(channel, PREDICT, message, **how)


async def ask_all(channel: grpc.aio.Channel, message: bytes, times: int) -> Counter[tuple[str, str]]:
    """Ask at once, so many times; how often each (status, reason) came back."""
    answers = await asyncio.gather(*(ask_predict(channel, message) for _ in range(times)))
    return Counter((answer.code.name, answer.reason) for answer in answers)


@contextlib.asynccontextmanager
async def by_hand(proxy: ProxyProcess, source: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """An h2 connection to the proxy, from an address of this machine; it answers nothing by itself."""
    host, _, port = proxy.target.rpartition(":")
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(lambda: Peer(client=True), host, int(port), local_addr=(source, 0))
    try:
        yield peer
    finally:
        peer.transport.abort()


def head(path: str = PREDICT, more: Fields = ()) -> list[tuple[str, str]]:
    """The fields of a call by hand."""
    return [*((name, path if name == ":path" else value) for name, value in REQUEST), *more]


async def status_of(peer: Peer, more: Fields = (), message: bytes = GOOD) -> int:
    """Make a Predict by hand; its grpc-status, or -1 when the stream or the connection ends without one."""
    number = peer.request(head(more=more), message)
    async with asyncio.timeout(PATIENCE):
        while True:
            match await peer.events.get():
                case h2.events.StreamReset(stream_id=stream) if stream == number:
                    return -1
                case h2.events.ConnectionTerminated():
                    return -1
                case (
                    h2.events.TrailersReceived(stream_id=stream)
                    | h2.events.ResponseReceived(stream_id=stream)
                ) as event if stream == number:
                    status = dict(event.headers).get("grpc-status")
                    if status is not None:
                        return int(status)


async def spoken(proxy: ProxyProcess, body: bytes, *more: tuple[str, str], path: str = PREDICT) -> int | None:
    """Make one call by hand and return its grpc-status; None: reset, or hung up on."""
    from tests.clients.raw import RawCall  # the connection is its own, and a thread's

    try:
        call = await asyncio.to_thread(RawCall, proxy.target, path, body, *more)
    except (OSError, AssertionError):
        return None
    return None if call.reset is not None or call.code < 0 else call.code


class Bystander:
    """A small good call every so many seconds on a connection of its own: what it was answered, how long it took."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self.longest = 0.0

    @property
    def was_served(self) -> bool:
        return set(self.answers) == {("OK", "")}

    async def _call(self, channel: grpc.aio.Channel, every: float) -> None:
        while True:
            asked = time.monotonic()
            answer = await ask_predict(channel, GOOD, timeout=PATIENCE)
            self.longest = max(self.longest, time.monotonic() - asked)
            self.answers[answer.code.name, answer.reason or (answer.details or "")] += 1
            await asyncio.sleep(every)


@contextlib.asynccontextmanager
async def bystanding(proxy: ProxyProcess, every: float = 0.02) -> AsyncIterator[Bystander]:
    """A bystander while the block runs. Its first call is over before, and another one follows the block."""
    async with channel_to(proxy.target) as channel:
        bystander = Bystander()
        assert (await ask_predict(channel, GOOD)).code is grpc.StatusCode.OK
        calling = asyncio.create_task(bystander._call(channel, every))
        try:
            yield bystander
            seen = bystander.answers.total()
            await until(lambda: bystander.answers.total() >= seen + 2)
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)


def peak(proxy: ProxyProcess) -> int:
    """The most memory that the proxy has held, in octets."""
    lines = Path(f"/proc/{proxy.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak(proxy: ProxyProcess) -> None:
    """VmHWM begins anew (proc(5))."""
    Path(f"/proc/{proxy.process.pid}/clear_refs").write_text("5")
