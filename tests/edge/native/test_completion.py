"""How the proxy ends a call by itself."""

import gc

import h2.events

from proxy.core.reasons import Reason
from proxy.edge.native.answer import Answer
from proxy.edge.native.call import Call
from proxy.edge.native.client_side import ClientSide
from proxy.edge.native.completion import Completion
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.judgement import Judgement
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.record import Record
from proxy.edge.native.request_message import RequestMessage
from proxy.edge.native.server_side import ServerSide
from tests.edge.native.conftest import PREDICT_HEAD, REQUEST, refusal, until

PARTS = (
    *(Call, Stream, Record, Ledger, ClientSide, ServerSide),
    *(Completion, Judgement, RequestMessage, Answer),
)


async def test_a_refusal_is_a_trailers_only_answer_and_the_server_hears_nothing(
    start_frames, start_edge, start_client, doorkeeper, witness
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    doorkeeper.decide = lambda _: refusal()
    number = client.request(PREDICT_HEAD, b"wrong")
    head = await client.next(h2.events.ResponseReceived)
    fields = dict(head.headers)
    assert head.stream_ended is not None
    assert fields["grpc-status"] == "3"
    assert "rank 4" in fields["grpc-message"]
    assert fields["grpc-status-details-bin"]
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert witness.outcomes[0].refusal.violations[0].reason is Reason.RANK_MISMATCH
    assert witness.outcomes[0].peer.startswith("ipv4:127.0.0.1:")
    assert all(peer.received == 0 for peer in server.peers)


async def test_the_proxy_ends_a_call_whose_client_forgot_its_deadline(
    start_frames, start_edge, start_client, witness
):
    server, target = await start_frames(lambda *_: None)
    client = await start_client(await start_edge(target))
    client.request([*REQUEST, ("grpc-timeout", "200m")])
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == "4"
    assert "before the server had answered" in fields["grpc-message"]
    await server.peers[0].next(h2.events.StreamReset)
    assert witness.outcomes[0].code == 4


async def test_a_call_that_is_over_leaves_nothing_to_the_garbage_collector(
    start_frames, start_edge, start_client, witness
):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    gc.collect()
    gc.disable()
    try:
        for head in (REQUEST, PREDICT_HEAD) * 5:
            number = client.request(head, b"hello")
            await client.next(h2.events.StreamEnded, stream_id=number)
        await until(lambda: len(witness.outcomes) == 10)
        left = [each for each in gc.get_objects() if isinstance(each, PARTS)]
        assert left == []
    finally:
        gc.enable()
