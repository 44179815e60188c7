"""What is not gRPC."""

import h2.events

from tests.edge.native.conftest import REQUEST


async def test_what_is_not_grpc_is_told_so_once_it_has_been_heard(
    start_frames, start_edge, start_client, witness
):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    number = client.h2.get_next_available_stream_id()
    client.h2.send_headers(number, [*REQUEST[:3], (":authority", "x")])
    client.h2.send_data(number, b"some", end_stream=True)
    client.flush()
    assert dict((await client.next(h2.events.ResponseReceived)).headers)[":status"] == "415"
    await client.next(h2.events.StreamEnded)
    assert witness.started == 0
