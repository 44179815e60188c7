"""What a connection of a client takes in."""

import h2.events

from proxy.edge.native.http2.limits import Limits as Http2Limits
from tests.edge.native.conftest import REQUEST


async def test_metadata_beyond_the_limit_is_refused_in_words(start_frames, start_edge, start_client):
    _, target = await start_frames()
    client = await start_client(await start_edge(target, http2_limits=Http2Limits(header_list_size=2000)))
    client.request([*REQUEST, ("x", "v" * 2000)])
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == "8"
    assert "2000 bytes" in fields["grpc-message"]
