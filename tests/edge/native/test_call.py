"""One call between a client and a server made of frames: what passes, and what a client that leaves takes along."""

import h2.events

from tests.edge.native.conftest import RST, until


async def test_a_call_passes_and_is_told_once(start_frames, start_edge, start_client, witness):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    number = client.request(body=b"hello")
    assert dict((await client.next(h2.events.ResponseReceived)).headers)[":status"] == "200"
    assert dict((await client.next(h2.events.TrailersReceived)).headers) == {"grpc-status": "0"}
    await client.next(h2.events.StreamEnded, stream_id=number)
    await until(lambda: witness.outcomes)
    (outcome,) = witness.outcomes
    assert (outcome.code, outcome.request_bytes, outcome.messages_received, outcome.messages_sent) == (
        0,
        5,
        1,
        1,
    )
    assert outcome.upstream_seconds <= outcome.seconds


async def test_a_client_that_resets_resets_the_server_s_stream(
    start_frames, start_edge, start_client, witness
):
    server, target = await start_frames(lambda *_: None)
    client = await start_client(await start_edge(target))
    number = client.request()
    await until(lambda: server.peers and server.peers[0].received)
    client.h2.reset_stream(number, RST.CANCEL)
    client.flush()
    assert (await server.peers[0].next(h2.events.StreamReset)).error_code == RST.CANCEL
    assert witness.outcomes[0].code == 1


async def test_a_client_that_hangs_up_resets_all_its_calls(start_frames, start_edge, start_client, witness):
    server, target = await start_frames(lambda *_: None)
    client = await start_client(await start_edge(target))
    for _ in range(3):
        client.request()
    await until(lambda: server.peers and server.peers[0].received == 15)
    client.transport.abort()
    await until(lambda: len(witness.outcomes) == 3)
    for _ in range(3):
        await server.peers[0].next(h2.events.StreamReset)
