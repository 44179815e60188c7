"""What the server answers, or fails to, and what the client sees of it."""

import contextlib

import grpc
import h2.events
import h2.exceptions
import pytest

from proxy.core.verdict import Verdict
from proxy.gate import Admit
from tests.edge.native.conftest import HEAD, PREDICT_HEAD, RST, at_rest, refusal, until


async def test_a_warning_travels_in_the_trailers(start_frames, start_edge, start_client, doorkeeper):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    warned = Verdict(warnings=refusal().verdict.violations, model="m", version=1)
    doorkeeper.decide = lambda _: Admit(None, warned)
    client.request(PREDICT_HEAD, b"odd")
    trailers = dict((await client.next(h2.events.TrailersReceived)).headers)
    assert trailers["grpc-status"] == "0"
    assert trailers["tfs-proxy-warning"].startswith("RANK_MISMATCH: ")


async def test_a_trailers_only_answer_stays_one(start_frames, start_edge, start_client, witness):
    def only(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            fields = [*HEAD, ("grpc-status", "5"), ("grpc-message", "gibt%20es nicht")]
            peer.h2.send_headers(event.stream_id, fields, end_stream=True)

    _, target = await start_frames(only)
    client = await start_client(await start_edge(target))
    client.request()
    head = await client.next(h2.events.ResponseReceived)
    assert ("grpc-message", "gibt%20es nicht") in [tuple(field) for field in head.headers]
    assert head.stream_ended is not None
    await until(lambda: witness.outcomes)
    assert witness.outcomes[0].code == 5


@pytest.mark.parametrize(
    ("code", "status"),
    [(RST.INTERNAL_ERROR, "13"), (RST.CANCEL, "1"), (RST.ENHANCE_YOUR_CALM, "8"), (RST.NO_ERROR, "13")],
)
async def test_a_reset_becomes_the_status_that_grpc_names_for_it(
    start_frames, start_edge, start_client, code, status
):
    def reset(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.reset_stream(event.stream_id, code)

    _, target = await start_frames(reset)
    client = await start_client(await start_edge(target))
    client.request()
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == status
    assert code.name in fields["grpc-message"]


async def test_a_reset_after_the_head_becomes_trailers(start_frames, start_edge, start_client):
    def begin_and_reset(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, HEAD)
            peer.h2.send_data(event.stream_id, b"\0\0\0\0\x01x")
            peer.h2.reset_stream(event.stream_id, RST.INTERNAL_ERROR)

    _, target = await start_frames(begin_and_reset)
    client = await start_client(await start_edge(target))
    client.request()
    await client.next(h2.events.ResponseReceived)
    assert dict((await client.next(h2.events.TrailersReceived)).headers)["grpc-status"] == "13"


async def test_a_connection_that_breaks_is_unavailable_and_says_so(start_frames, start_edge, start_client):
    def hang_up(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.transport.abort()

    _, target = await start_frames(hang_up)
    client = await start_client(await start_edge(target))
    client.request()
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == "14"
    assert "Connection closed" in fields["grpc-message"]


async def test_a_page_for_browsers_is_dropped_and_its_stream_ended(
    start_frames, start_edge, start_client, witness
):
    """It may come while the request is still on its way, and need never end."""

    def page(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            fields = ((":status", "502"), ("content-type", "text/html"), ("server", "nginx\t1"))
            peer.h2.send_headers(event.stream_id, fields)
            peer.h2.send_data(event.stream_id, b"<html>")

    server, target = await start_frames(page)
    client = await start_client(await start_edge(target))
    client.request(end=False)
    head = await client.next(h2.events.ResponseReceived)
    fields = dict(head.headers)
    assert (fields[":status"], fields["grpc-status"]) == ("200", "14")
    assert fields["grpc-message"] == (
        f"tfs-proxy: {target} did not answer in gRPC: received http2 header with status: 502, "
        "content-type 'text/html', server 'nginx\\t1'"
    )
    assert head.stream_ended is not None
    assert (await server.peers[0].next(h2.events.StreamReset)).error_code is RST.CANCEL
    await until(lambda: witness.outcomes)
    assert [outcome.code for outcome in witness.outcomes] == [14]
    assert client.received == 0


@pytest.mark.parametrize(
    "fields",
    [
        ((":status", "404"), ("content-type", "text/html"), ("grpc-status", "5")),
        ((":status", "200"), ("content-type", "application/grpc+proto"), ("grpc-status", "5")),
        ((":status", "200"), ("grpc-status", "5")),
    ],
)
async def test_a_status_of_grpc_counts_before_one_of_http(start_frames, start_edge, start_client, fields):
    def answer(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, fields, end_stream=True)

    client = await start_client(await start_edge((await start_frames(answer))[1]))
    client.request()
    assert tuple((await client.next(h2.events.ResponseReceived)).headers) == fields


@pytest.mark.parametrize("trailers", [None, (("x-cost", "3"),)], ids=["none", "other"])
@pytest.mark.parametrize("head", [HEAD, ((":status", "200"),)], ids=["typed", "untyped"])
async def test_an_answer_without_a_status_gets_one_behind_all_of_it(
    start_frames, start_edge, start_client, witness, head, trailers
):
    """A front that drops trailers: what has been sent arrives before the status, however slow the client."""
    length = 60_000

    def answer(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, head)
            message = length.to_bytes(5, "big") + bytes(length)
            for start in range(0, len(message), 16_384):
                last = start + 16_384 >= len(message)
                piece = message[start : start + 16_384]
                peer.h2.send_data(event.stream_id, piece, end_stream=last and trailers is None)
            if trailers is not None:
                peer.h2.send_headers(event.stream_id, trailers, end_stream=True)

    _, target = await start_frames(answer)
    client = await start_client(await start_edge(target))
    client.h2.update_settings({4: 1000})
    client.request()
    fields = dict((await client.next(h2.events.TrailersReceived)).headers)
    assert fields["grpc-status"] == "2"
    assert fields["grpc-message"] == f"tfs-proxy: the answer of {target} ended without a gRPC status"
    assert client.received == 5 + length
    assert witness.outcomes[0].code == 2


async def test_a_client_that_does_not_read_stops_the_server(start_edge, start_client, stack):
    """The server may write as much as the windows and buffers hold, and no more."""
    sent = 0

    class Endless(grpc.GenericRpcHandler):
        def service(self, details):
            async def stream(_requests, context):
                nonlocal sent
                while sent < 200:
                    await context.write(bytes(1 << 20))
                    sent += 1

            return grpc.stream_stream_rpc_method_handler(stream)

    server = grpc.aio.server(handlers=(Endless(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, 0)
    client = await start_client(await start_edge(f"127.0.0.1:{port}"))
    client.h2.update_settings({4: 2**31 - 1})
    client.h2.increment_flow_control_window(2**30)
    client.transport.pause_reading()
    client.request()
    assert 0 < await at_rest(lambda: sent) < 40


async def test_a_client_that_does_not_read_leaves_other_clients_alone(start_frames, start_edge, start_client):
    """They share a connection to the server, whose window must not fill up with what one does not take."""

    begun = []

    def much(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, HEAD)
            begun.append(event.stream_id)
        if isinstance(event, h2.events.StreamEnded | h2.events.WindowUpdated):
            for number in begun:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    while room := min(peer.h2.local_flow_control_window(number), 16_384):
                        peer.h2.send_data(number, bytes(room))

    server, target = await start_frames(much)
    edge = await start_edge(target)
    greedy, modest = await start_client(edge), await start_client(edge)
    greedy.transport.pause_reading()
    for _ in range(90):
        greedy.request()
    await until(lambda: len(begun) == 90)
    connection = edge._pool.pick()
    # More than the connection's window: had it been shared, it would be used up by now.
    await until(lambda: sum(stream.held for stream in connection.streams.values()) > 8 << 20)
    modest.request()
    await modest.next(h2.events.DataReceived)
    assert len(server.peers) == 1
