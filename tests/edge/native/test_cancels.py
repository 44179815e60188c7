"""What clients cancel never costs the connection that all of them share, however strict the server is."""

import asyncio
import time
from collections import deque

import h2.events
import h2.settings
import pytest

from proxy.edge.admission import Limits
from proxy.edge.native.http2.pacing import SHARE
from tests.edge.native.conftest import REQUEST, RST, until

HANG = [(k, "/some.Service/Hang" if k == ":path" else v) for k, v in REQUEST]


class Nghttp2:
    """`nghttp2_option_set_stream_reset_rate_limit`: 1000, and 33 each second."""

    def __init__(self):
        self.tokens, self.then = 1000.0, time.monotonic()

    def exceeded(self, _lived, _ended):
        now = time.monotonic()
        self.tokens = min(1000.0, self.tokens + 33 * (now - self.then)) - 1
        self.then = now
        return self.tokens < 0


class Netty:
    """`decoderEnforceMaxRstFramesPerWindow(200, 30)`."""

    def __init__(self):
        self.seen = deque()

    def exceeded(self, _lived, _ended):
        now = time.monotonic()
        self.seen.append(now)
        while self.seen[0] < now - 30:
            self.seen.popleft()
        return len(self.seen) > 200


class Envoy:
    """`maybeDrainDueToPrematureResets` of the connection manager."""

    def __init__(self):
        self.premature = 0

    def exceeded(self, lived, ended):
        self.premature += lived < 1
        return self.premature * 2 >= max(500, ended)


class Strict:
    """A server with a limit on resets; it never answers `Hang`, and the rest at once."""

    def __init__(self, limit, streams):
        self.limit, self.streams = limit, streams
        self.limits, self.began, self.ended = {}, {}, {}
        self.resets = self.hanging = 0
        self.ended_for = []

    def __call__(self, peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.streams})
            self.limits.setdefault(peer, self.limit())
            self.ended.setdefault(peer, 0)
        elif isinstance(event, h2.events.RequestReceived):
            self.began[peer, event.stream_id] = time.monotonic()
            if (b":path", b"/some.Service/Hang") in event.headers or HANG[2] in event.headers:
                self.hanging += 1
                self.began[peer, event.stream_id, "hangs"] = 0
        elif isinstance(event, h2.events.StreamEnded):
            if (peer, event.stream_id, "hangs") not in self.began:
                self.ended[peer] += 1
                peer.answer(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.resets += 1
            self.ended[peer] += 1
            lived = time.monotonic() - self.began[peer, event.stream_id]
            if self.limits[peer].exceeded(lived, self.ended[peer]):
                self.ended_for.append(peer)
                peer.h2.close_connection(RST.ENHANCE_YOUR_CALM)
                peer.flush()
                peer.transport.close()


async def flood(client, count):
    """Open and cancel, as fast as the proxy takes it."""
    room = client.h2.remote_settings.max_concurrent_streams
    for start in range(0, count, room := min(room, 100)):
        numbers = [client.request(HANG) for _ in range(min(room, count - start))]
        await asyncio.sleep(0.01)
        for number in numbers:
            client.h2.reset_stream(number, RST.CANCEL)
        client.flush()
        await asyncio.sleep(0)


async def bystand(client, done):
    """Call, one call after the other, each answered within ten seconds; return the statuses."""
    statuses = []
    while not done.is_set() or len(statuses) < 20:
        number = client.request()
        async with asyncio.timeout(10):
            while True:
                event = await client.events.get()
                assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated), event
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    statuses += [v for k, v in event.headers if k == "grpc-status"]
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == number:
                    break
        await asyncio.sleep(0.01)
    return statuses


@pytest.mark.parametrize("limit", [Nghttp2, Netty, Envoy])
@pytest.mark.parametrize("streams", [100_000, 100])
async def test_a_flood_of_cancels_fails_nobody_else_s_call(
    start_frames, start_edge, start_client, limit, streams
):
    strict = Strict(limit, streams)
    server, target = await start_frames(strict)
    edge = await start_edge(target)
    await until(lambda: edge._pool._shells[0].connection.table.peer_concurrent_streams == streams)
    attackers = [await start_client(edge) for _ in range(4)]
    done = asyncio.Event()
    bystanders = [asyncio.create_task(bystand(await start_client(edge), done)) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for attacker in attackers:
            group.create_task(flood(attacker, 900))
    done.set()
    for bystander in bystanders:
        assert set(await bystander) == {"0"}
    assert strict.hanging > 300
    assert strict.ended_for == []
    assert edge._plane.load.calls == 0
    if streams == 100_000:
        assert len(server.peers) == 1


async def test_a_mass_of_expired_deadlines_goes_the_same_way(start_frames, start_edge, start_client):
    strict = Strict(Nghttp2, 100_000)
    server, target = await start_frames(strict)
    edge = await start_edge(target, limits=Limits(default_deadline=2.0))
    await until(lambda: edge._pool._shells[0].connection.table.peer_concurrent_streams == 100_000)
    clients = [await start_client(edge) for _ in range(4)]
    for client in clients:
        await client.next(h2.events.RemoteSettingsChanged)
        for _ in range(600):
            client.request(HANG)
    await until(lambda: strict.hanging == 2400)
    await until(lambda: edge._plane.load.calls == 0)
    assert strict.ended_for == []
    bystander = await start_client(edge)
    bystander.request()
    assert dict((await bystander.next(h2.events.TrailersReceived)).headers)["grpc-status"] == "0"
    assert len(server.peers) == 1


async def test_one_client_s_cancels_wait_and_another_s_do_not(start_frames, start_edge, start_client):
    strict = Strict(Netty, 100_000)
    server, target = await start_frames(strict)
    edge = await start_edge(target)
    await until(lambda: edge._pool._shells[0].connection.table.peer_concurrent_streams == 100_000)
    many = await start_client(edge)
    await flood(many, 100)
    await until(lambda: strict.hanging == 100 and edge._plane.load.calls == 0)
    await until(lambda: strict.resets >= SHARE)
    assert strict.resets == SHARE
    one = await start_client(edge)
    number = one.request(HANG)
    await until(lambda: edge._plane.load.calls == 1)
    one.h2.reset_stream(number, RST.CANCEL)
    one.flush()
    await server.peers[0].next(h2.events.StreamReset, stream_id=201)


async def test_streams_that_wait_for_their_reset_end_with_the_server_s_answer(
    start_frames, start_edge, start_client
):
    strict = Strict(Nghttp2, 100_000)
    server, target = await start_frames(strict)
    edge = await start_edge(target)
    client = await start_client(edge)
    await flood(client, 50)
    connection = edge._pool._shells[0].connection
    await until(lambda: strict.hanging == 50 and edge._plane.load.calls == 0)
    peer = server.peers[0]
    for stream in list(connection.streams):
        peer.answer(stream, b"late")
    await until(lambda: not connection.streams)
    assert len(connection.closing.pacing) == 0
    assert strict.resets < 20
