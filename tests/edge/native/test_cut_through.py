"""Long messages flow on while they arrive, and nothing wrong gets to a server in full."""

import asyncio
import random

import h2.events
import h2.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy import Policies
from proxy.edge.admission import Limits
from proxy.edge.native.cut_through import CutThrough, divide
from proxy.edge.native.http2.limits import Limits as Http2Limits
from proxy.gate import Admit, Gate
from proxy.wire.push import PushScanner
from tests.edge.native.conftest import PATIENCE, PREDICT_HEAD, until
from tests.judging import FixedSignatures, predict, servable, signature, tensor

IMAGES = servable(signature({"image": ("float32", (-1, 300, 300, 3))}, {"scores": ("float32", (-1,))}))
MAX_CONCURRENT_STREAMS = 3
SIZE = 300 * 300 * 3 * 4


def image(outputs=()):
    request = predict(image=tensor("float32", (1, 300, 300, 3)), outputs=outputs)
    return request.SerializeToString(deterministic=True)


@pytest.fixture
def doorkeeper():
    """The gate itself."""
    return Gate(FixedSignatures(IMAGES), Policies())


def prefixed(message):
    return len(message).to_bytes(5, "big") + message


async def send(client, number, octets, *, end=False):
    """Send as the windows allow."""
    view = memoryview(octets)
    while view:
        room = min(client.h2.local_flow_control_window(number), client.h2.max_outbound_frame_size, len(view))
        if room:
            last = end and room == len(view)
            client.h2.send_data(number, view[:room].tobytes(), end_stream=last)
            client.flush()
            view = view[room:]
            await asyncio.sleep(0)
        else:
            await client.next(h2.events.WindowUpdated)


class Bodies:
    """A server that answers whole requests and remembers what it got."""

    def __init__(self):
        self.bodies = {}
        self.ended = []
        self.resets = []

    def __call__(self, peer, event):
        if isinstance(event, h2.events.RequestReceived):
            self.bodies[event.stream_id] = bytearray()
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
        elif isinstance(event, h2.events.StreamReset):
            self.resets.append(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.append(event.stream_id)
            peer.answer(event.stream_id)

    @property
    def received(self):
        return sum(map(len, self.bodies.values()))


@pytest.fixture
def bodies():
    return Bodies()


@pytest.fixture
def start_edge(start_edge):
    """Start the edge and wait until its connection to the server stands."""

    async def start(target, **options):
        edge = await start_edge(target, **options)
        await until(lambda: edge._pool._shells)
        return edge

    return start


@pytest.fixture
async def client_and_edge(start_frames, start_edge, start_client, bodies):
    _, target = await start_frames(bodies)
    edge = await start_edge(target)
    return await start_client(edge), edge


async def test_the_server_gets_the_first_octets_before_the_client_has_sent_the_last(
    client_and_edge, bodies, witness
):
    client, edge = client_and_edge
    octets = prefixed(image())
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, octets[: SIZE // 2])
    await until(lambda: bodies.received == SIZE // 2)
    await send(client, number, octets[SIZE // 2 :], end=True)
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert list(bodies.bodies.values()) == [octets]
    await until(lambda: witness.outcomes)
    (outcome,) = witness.outcomes
    assert (outcome.code, outcome.request_bytes, outcome.messages_received) == (0, len(octets) - 5, 1)
    assert (outcome.model, outcome.batch_size) == ("m", 1)
    assert outcome.upstream_seconds < outcome.seconds
    assert edge._plane.load.bytes == edge._plane.load.calls == 0


async def test_octets_arrive_as_sent_however_they_are_cut(client_and_edge, bodies):
    client, edge = client_and_edge
    rng = random.Random(7)
    for tail in (b"", b"\x1a\x06scores", b"\x7a\x03abc" * 1400):
        octets = prefixed(image().replace(bytes(SIZE), rng.randbytes(SIZE)) + tail)
        borders = [0, *sorted(rng.sample(range(1, 200), 3)), *sorted(rng.sample(range(200, len(octets)), 5))]
        borders += [len(octets) - 3]
        number = client.request(PREDICT_HEAD, None)
        for start, stop in zip(borders, [*borders[1:], len(octets)], strict=True):
            await send(client, number, octets[start:stop], end=stop == len(octets))
        await client.next(h2.events.StreamEnded, stream_id=number)
        *_, body = bodies.bodies.values()
        assert body == octets
    assert edge._plane.load.bytes == 0


async def test_a_violation_in_the_header_never_reaches_the_server(client_and_edge, bodies):
    client, _ = client_and_edge
    wrong = predict(image=tensor("float64", (1, 300, 300, 3))).SerializeToString()
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, prefixed(wrong), end=True)
    fields = dict((await client.next(h2.events.ResponseReceived, stream_id=number)).headers)
    assert fields["grpc-status"] == "3"
    assert bodies.bodies == {}


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        (b"\x1a\x05score", "score"),
        (b"\x12\x07\x0a\x05other", "other"),
        (b"\x12\x7f", ""),
    ],
    ids=["unknown output", "unknown input", "malformed"],
)
async def test_a_late_violation_resets_the_stream_before_the_server_has_the_message(
    client_and_edge, bodies, witness, tail, text
):
    client, edge = client_and_edge
    octets = prefixed(image() + tail)
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, octets[:-1])
    await until(lambda: bodies.received == len(octets) - len(tail))
    await send(client, number, octets[-1:], end=True)
    fields = dict((await client.next(h2.events.ResponseReceived, stream_id=number)).headers)
    assert fields["grpc-status"] not in {"0", "14"}
    assert text in fields["grpc-message"]
    await until(lambda: bodies.resets)
    assert bodies.ended == []
    assert bodies.received == len(octets) - len(tail)
    assert witness.outcomes[0].refusal is not None
    assert edge._plane.load.bytes == edge._plane.load.calls == 0


async def test_a_tail_that_is_right_is_sent_after_it(client_and_edge, bodies, witness):
    client, _ = client_and_edge
    octets = prefixed(image(["scores"]) + b"\x7a\x03abc")
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, octets[:-4])
    await until(lambda: bodies.received == len(octets) - len(b"\x1a\x06scores\x7a\x03abc"))
    await send(client, number, octets[-4:], end=True)
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert list(bodies.bodies.values()) == [octets]
    assert witness.outcomes[0].request_bytes == len(octets) - 5


async def test_half_a_message_with_a_tail_is_left_to_the_server(client_and_edge, bodies):
    client, _ = client_and_edge
    octets = prefixed(image(["scores"]))[:-2]
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, octets, end=True)
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert list(bodies.bodies.values()) == [octets]


async def test_a_client_that_leaves_takes_the_servers_stream_along(client_and_edge, bodies, witness):
    client, edge = client_and_edge
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, prefixed(image())[: SIZE // 2])
    await until(lambda: bodies.received)
    client.h2.reset_stream(number, 8)
    client.flush()
    await until(lambda: bodies.resets)
    await until(lambda: witness.outcomes)
    assert edge._plane.load.bytes == edge._plane.load.calls == 0


async def test_a_deadline_that_passes_while_the_client_sends_is_not_held_against_the_server(
    client_and_edge, bodies, witness
):
    client, _ = client_and_edge
    number = client.request([*PREDICT_HEAD, ("grpc-timeout", "300m")], None)
    await send(client, number, prefixed(image())[: SIZE // 2])
    fields = dict((await client.next(h2.events.ResponseReceived, stream_id=number)).headers)
    assert fields["grpc-status"] == "4"
    assert "arrived in full" in fields["grpc-message"]
    await until(lambda: bodies.resets)
    assert not witness.outcomes[0].upstream_seconds


async def test_a_stream_refused_at_once_is_tried_again(start_frames, start_edge, start_client, bodies):
    refused = []

    def refuse_first(peer, event):
        if isinstance(event, h2.events.RequestReceived) and not refused:
            refused.append(event.stream_id)
            peer.h2.reset_stream(event.stream_id, 7)
        elif getattr(event, "stream_id", None) not in refused:
            bodies(peer, event)

    _, target = await start_frames(refuse_first)
    edge = await start_edge(target)
    client = await start_client(edge)
    octets = prefixed(image(["scores"]))
    number = client.request(PREDICT_HEAD, None)
    await send(client, number, octets[:20_000])
    await until(lambda: bodies.received == 20_000)
    await send(client, number, octets[20_000:], end=True)
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert refused
    assert list(bodies.bodies.values()) == [octets]
    assert edge._plane.load.bytes == 0


async def test_a_stream_refused_after_much_was_sent_is_unavailable_with_the_reason(
    start_frames, start_edge, start_client
):
    def refuse_late(peer, event):
        if isinstance(event, h2.events.DataReceived) and peer.received > SIZE // 2:
            peer.on_event = None
            peer.h2.reset_stream(event.stream_id, 7)

    _, target = await start_frames(refuse_late)
    client = await start_client(await start_edge(target))
    number = client.request(PREDICT_HEAD, None)
    await upload(client, number, prefixed(image())[: SIZE // 2 + 100_000])
    fields = dict((await client.next(h2.events.ResponseReceived, stream_id=number)).headers)
    assert fields["grpc-status"] == "14"
    assert "REFUSED_STREAM" in fields["grpc-message"]


async def upload(client, number, octets):
    """Send as the windows allow while others do the same; until the server's side ends the stream."""
    position = 0
    while position < len(octets):
        try:
            room = min(client.h2.local_flow_control_window(number), 16_384, len(octets) - position)
            if room:
                part = octets[position : position + room]
                position += room
                client.h2.send_data(number, part, end_stream=position == len(octets))
                client.flush()
        except h2.exceptions.ProtocolError:
            return
        await asyncio.sleep(0 if room else 0.02)


async def at_rest(count):
    """The value of a count once it no longer moves."""
    seen = -1
    async with asyncio.timeout(PATIENCE):
        while seen != count():
            seen = count()
            await asyncio.sleep(0.3)
    return seen


async def test_what_is_held_of_many_long_calls_is_bounded_by_the_windows(
    start_frames, start_edge, start_client, bodies
):
    """256 requests of 1.08 MB, and a server that takes nothing for a while."""

    def slow(peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({MAX_CONCURRENT_STREAMS: 1000})
            peer.flush()
        if isinstance(event, h2.events.RequestReceived) and not bodies.bodies:
            peer.transport.pause_reading()
        bodies(peer, event)

    server, target = await start_frames(slow)
    window = 1 << 17
    edge = await start_edge(target, http2_limits=Http2Limits(stream_window=window))
    client = await start_client(edge)
    await client.next(h2.events.RemoteSettingsChanged)
    await until(lambda: edge._pool.pick().table.peer_concurrent_streams == 1000)
    load = edge._plane.load
    octets = prefixed(image())
    async with asyncio.timeout(4 * PATIENCE), asyncio.TaskGroup() as group:
        for _ in range(256):
            group.create_task(upload(client, client.request(PREDICT_HEAD, None), octets))
        await until(lambda: load.calls == 256)
        assert 256 * window // 2 < await at_rest(lambda: load.bytes) <= 256 * (window + 16_384)
        server.peers[0].transport.resume_reading()
    await until(lambda: len(bodies.ended) == 256)
    assert all(body == octets for body in bodies.bodies.values())
    await until(lambda: load.calls == 0)
    assert load.bytes == 0


async def test_calls_that_the_server_does_not_take_leave_the_client_room_for_others(
    start_frames, start_edge, start_client, bodies
):
    _, target = await start_frames(bodies)
    edge = await start_edge(
        target, http2_limits=Http2Limits(stream_window=1 << 17, connection_window=1 << 18)
    )
    client = await start_client(edge)
    await client.next(h2.events.RemoteSettingsChanged)
    connection = edge._pool.pick()
    connection.flow.initial_window = 0
    octets = prefixed(image())
    numbers = [client.request(PREDICT_HEAD, None) for _ in range(8)]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        tasks = [group.create_task(upload(client, number, octets)) for number in numbers]
        await at_rest(lambda: edge._plane.load.bytes)
        connection.flow.initial_window = 65_535
        modest = client.request(body=bytes(1000))
        await client.next(h2.events.StreamEnded, stream_id=modest)
        for task in tasks:
            task.cancel()


async def test_a_full_proxy_refuses_in_the_middle(start_frames, start_edge, start_client):
    def ignore(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            peer.transport.pause_reading()

    _, target = await start_frames(ignore)
    edge = await start_edge(target, limits=Limits(max_inflight_bytes=SIZE + 1000))
    client = await start_client(edge)
    await client.next(h2.events.RemoteSettingsChanged)
    octets = prefixed(image())
    numbers = [client.request(PREDICT_HEAD, None) for _ in range(4)]
    tasks = [asyncio.create_task(upload(client, number, octets)) for number in numbers]
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == "8"
    assert "--max-inflight-bytes" in fields["grpc-message"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 0 < edge._plane.load.bytes <= SIZE + 1000


def cut_with_tail():
    message = image(["scores"])
    scanner = PushScanner(len(message))
    assert scanner.feed(message[:100])
    return message, CutThrough(scanner, 105, Admit())


def test_the_tail_is_held_back_to_the_octet():
    message, flow = cut_with_tail()

    def passes(*pieces):
        return b"".join(flow.take(list(pieces), sum(map(len, pieces))))

    assert passes(message[100:1000]) == message[100:1000]
    assert passes(message[1000:5000], message[5000:-9], message[-9:-3]) == message[1000:-8]
    assert passes(message[-3:]) == b""
    assert passes(b"more") == b""
    assert flow.rest == -4
    assert b"".join(flow.let_go()) == message[-8:] + b"more"
    assert passes(b"even", b" more") == b"even more"


@given(st.lists(st.binary(max_size=5), max_size=8), st.data())
def test_pieces_are_divided_at_any_octet(pieces, data):
    whole = b"".join(pieces)
    count = data.draw(st.integers(0, len(whole)))
    before, after = divide(pieces, count)
    assert (b"".join(before), b"".join(after)) == (whole[:count], whole[count:])


def test_what_the_client_was_given_back_before_is_not_given_back_again():
    _, flow = cut_with_tail()
    assert flow.passed(100) == 0
    assert flow.passed(100) == 95
    flow.again()
    assert flow.passed(200) == 0
    assert flow.passed(7) == 7
