"""What the process holds while a server does not read: bounded by --max-inflight-bytes, whatever clients send."""

import asyncio
from pathlib import Path

import grpc
import h2.events
import h2.settings
import pytest

from proxy.edge.native import slabs
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import PREDICT, ask, predict
from tests.edge.native.conftest import PATIENCE, until
from tests.fake_serving import FakeServing
from tests.proxy_process import EDGES, ProxyProcess

REQUEST = predict(shape=(90_000, 3))
"""1.08 MB."""
CONNECTIONS, STREAMS = 8, 8
WIDEST = 2**31 - 1
HOUR = ("--poll-seconds", "3600", "--refresh-seconds", "3600")


class Stalling:
    """A server of frames that has the model `m` and reads no further once a Predict has come, until `go_on`.

    `window`: how much it says that it would take, on each stream and on the connection.
    """

    def __init__(self, window):
        self.serving = FakeServing()
        self.serving.load("m")
        self.window = window
        self.stalled = set()
        self.going_on = False
        self.methods = {}
        self.bodies = {}

    def __call__(self, peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged) and self.window:
            peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.window})
            peer.h2.increment_flow_control_window(self.window - 65_535)
        elif isinstance(event, h2.events.RequestReceived):
            method = dict(event.headers)[":path"]
            self.methods[peer, event.stream_id] = method
            self.bodies[peer, event.stream_id] = bytearray()
            if method == PREDICT and not self.going_on:
                self.stalled.add(peer)
                peer.transport.pause_reading()
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[peer, event.stream_id] += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(peer, event.stream_id)

    def answer(self, peer, number):
        method = self.methods.pop((peer, number)).rpartition("/")[2]
        body = bytes(self.bodies.pop((peer, number))[5:])
        peer.answer(number, self.serving._settle(method, body))

    def go_on(self):
        self.going_on = True
        for peer in self.stalled:
            peer.transport.resume_reading()


def octets(proxy, name):
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{proxy.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def forget_peak(proxy):
    """VmHWM begins anew (proc(5))."""
    Path(f"/proc/{proxy.process.pid}/clear_refs").write_text("5")


@pytest.fixture
async def start_proxy(stack):
    async def start(target, *flags):
        proxy = await asyncio.to_thread(
            ProxyProcess, "--upstream", target, "--model", "m", *HOUR, *EDGES["native"], *flags
        )
        stack.push_async_callback(asyncio.to_thread, proxy.__exit__, None, None, None)
        await asyncio.to_thread(wait_until_ready, proxy)
        return proxy

    return start


async def at_rest(*counts):
    """Wait until nothing moves any more."""
    seen = None
    async with asyncio.timeout(PATIENCE):
        while seen != (seen := [count() for count in counts]):  # noqa: ASYNC110 - nothing is what is awaited
            await asyncio.sleep(0.3)


@pytest.mark.parametrize("window", [0, WIDEST], ids=["the first windows", "the widest windows"])
async def test_the_process_holds_no_more_than_it_may(start_frames, start_proxy, connect, window):
    server = Stalling(window)
    _, target = await start_frames(server)
    limit = 16 << 20
    proxy = await start_proxy(target, "--max-inflight-bytes", str(limit))
    channels = [connect(proxy) for _ in range(CONNECTIONS)]
    for channel in channels:  # connected, and everything loaded that a refusal needs
        assert (await ask(channel, PREDICT, predict(shape=(3,)))).reason == "RANK_MISMATCH"
    before = octets(proxy, "VmRSS")
    forget_peak(proxy)

    calls = [
        asyncio.create_task(ask(channel, PREDICT, REQUEST, timeout=60))
        for channel in channels
        for _ in range(STREAMS)
    ]
    await until(lambda: server.stalled)
    await at_rest(lambda: sum(call.done() for call in calls), lambda: octets(proxy, "VmHWM"))
    waiting = [call for call in calls if not call.done()]
    assert waiting
    assert len(waiting) * len(REQUEST) < 2 * limit
    server.go_on()
    assert {(await call).code for call in waiting} <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    turned_away = [call.result() for call in calls if call.result().code is not grpc.StatusCode.OK]
    assert len(turned_away) > len(calls) // 2
    assert {each.reason for each in turned_away} == {"OVERLOADED"}

    # What sockets are read into is there however much is held, and may be more than what is held of it.
    assert octets(proxy, "VmHWM") - before < limit + slabs.MOST * slabs.SIZE < len(calls) * len(REQUEST)
