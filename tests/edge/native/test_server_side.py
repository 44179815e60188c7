"""The way to the server: streams that it refuses, does not take, or allows few of."""

import asyncio

import h2.events
import h2.settings
import pytest

from proxy.edge.native import shell
from proxy.edge.native.pool_options import PoolOptions
from tests.edge.native.conftest import PREDICT, PREDICT_HEAD, REQUEST, RST, at_rest, until


@pytest.mark.parametrize("path", [PREDICT, "/some.Service/Method"])
async def test_a_refused_stream_is_tried_again_unseen(start_frames, start_edge, start_client, path):
    tries = []

    def refuse_once(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            tries.append(event.stream_id)
            if len(tries) == 1:
                peer.h2.reset_stream(event.stream_id, RST.REFUSED_STREAM)
            else:
                peer.answer(event.stream_id)

    server, target = await start_frames(refuse_once)
    client = await start_client(await start_edge(target))
    client.request([(k, path if k == ":path" else v) for k, v in REQUEST], b"body")
    assert dict((await client.next(h2.events.TrailersReceived)).headers)["grpc-status"] == "0"
    assert tries == [1, 3]
    assert server.peers[0].received == 2 * 9


async def test_a_server_that_always_refuses_is_given_up(start_frames, start_edge, start_client, witness):
    def refuse(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.reset_stream(event.stream_id, RST.REFUSED_STREAM)

    _, target = await start_frames(refuse)
    client = await start_client(await start_edge(target))
    client.request()
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == "14"
    assert "REFUSED_STREAM" in fields["grpc-message"]
    await until(lambda: witness.outcomes)


async def test_a_request_that_goaway_left_out_is_sent_to_the_next_connection(
    start_frames, start_edge, start_client
):
    connections = []

    def leave_once(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            connections.append(peer)
            if len(connections) == 1:
                peer.h2.close_connection(last_stream_id=0)
            else:
                peer.answer(event.stream_id)

    _, target = await start_frames(leave_once)
    client = await start_client(await start_edge(target))
    client.request(PREDICT_HEAD, b"x" * 1000)
    assert dict((await client.next(h2.events.TrailersReceived)).headers)["grpc-status"] == "0"
    assert connections[0] is not connections[1]


async def uploaded(client, number):
    """How many octets the proxy takes of an upload that nobody reads."""
    sent = 0

    async def send():
        nonlocal sent
        while sent < 64 << 20:
            room = min(client.h2.local_flow_control_window(number), 16_384)
            if room:
                client.h2.send_data(number, bytes(room))
                client.flush()
                sent += room
                await asyncio.sleep(0)
            else:
                await client.events.get()

    task = asyncio.create_task(send())
    try:
        return await at_rest(lambda: sent)
    finally:
        task.cancel()


@pytest.mark.parametrize("path", ["/some.Service/Method"])
async def test_a_server_that_does_not_read_stops_the_client(start_frames, start_edge, start_client, path):
    def ignore(peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.transport.pause_reading()

    _, target = await start_frames(ignore)
    client = await start_client(await start_edge(target))
    number = client.request([(k, path if k == ":path" else v) for k, v in REQUEST], None)
    assert 0 < await uploaded(client, number) < 4 << 20


async def test_calls_wait_for_a_stream_where_the_server_allows_few(start_frames, start_edge, start_client):
    """…and the pool opens more connections meanwhile, up to its bound."""
    open_streams, most = {}, 0

    def answer(peer, number):
        open_streams[peer] -= 1
        peer.answer(number, None)

    def few(peer, event):
        nonlocal most
        if isinstance(event, h2.events.StreamEnded):
            open_streams[peer] = open_streams.get(peer, 0) + 1
            most = max(most, open_streams[peer])
            asyncio.get_running_loop().call_later(0.02, answer, peer, event.stream_id)

    options = PoolOptions(connections_per_address=2, first_backoff=0.05)
    server, target = await start_frames(few)
    server.settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2}
    client = await start_client(await start_edge(target, pool_options=options))
    client.request()
    await client.next(h2.events.StreamEnded)
    numbers = {client.request() for _ in range(12)}
    while numbers:
        numbers.discard((await client.next(h2.events.StreamEnded)).stream_id)
    assert most == 2
    assert len(server.peers) == 2


async def test_a_server_gets_no_empty_data_that_the_client_did_not_send(
    start_frames, start_edge, start_client
):
    """Servers count it as abuse (Envoy: max_consecutive_inbound_frames_with_empty_payload)."""
    arrived = []

    def note(peer, event):
        if isinstance(event, h2.events.DataReceived):
            arrived.append(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            peer.answer(event.stream_id)

    client = await start_client(await start_edge((await start_frames(note))[1]))
    for _ in range(2):
        number = client.request(body=None)
        client.h2.send_data(number, b"\0\0\0\0\4body", end_stream=True)
        client.flush()
        await client.next(h2.events.StreamEnded, stream_id=number)
    assert arrived == [b"\0\0\0\0\4body"] * 2


async def test_a_transport_that_does_not_say_that_it_is_full_is_not_filled(
    start_frames, start_edge, start_client, monkeypatch, set_constant
):
    """`writelines` as in CPython 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 (CVE-2024-12254)."""
    transport = asyncio.selector_events._SelectorSocketTransport
    as_it_is = transport.writelines

    def writelines(self, pieces):
        self._maybe_pause_protocol = lambda: None
        as_it_is(self, pieces)
        del self._maybe_pause_protocol

    monkeypatch.setattr(transport, "writelines", writelines)
    set_constant(shell, "_WRITELINES_PAUSES", False)

    def take_all_and_read_nothing(peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
            peer.h2.increment_flow_control_window(2**30)
        elif isinstance(event, h2.events.RequestReceived):
            peer.transport.pause_reading()

    _, target = await start_frames(take_all_and_read_nothing)
    client = await start_client(await start_edge(target))
    number = client.request(body=None)
    assert 0 < await uploaded(client, number) < 16 << 20
