"""One call between a client and a server made of frames: what passes, what is judged, what goes wrong."""

import asyncio
import contextlib
import gzip

import grpc
import h2.errors
import h2.events
import h2.exceptions
import pytest

from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation
from proxy.edge.admission import Limits
from proxy.edge.native.http2.limits import Limits as Http2Limits
from proxy.edge.native.pool import PoolOptions
from proxy.gate import Admit, Refuse
from proxy.wire.status import status_of
from tests.edge.native.conftest import HEAD, PATIENCE, PREDICT, REQUEST, until

PREDICT_HEAD = [(":path", PREDICT) if name == ":path" else (name, value) for name, value in REQUEST]
RST = h2.errors.ErrorCodes


def refusal():
    violation = Violation(
        Reason.RANK_MISMATCH, "inputs", "input 'x'", "rank 4", "rank 3", "add a batch dimension"
    )
    verdict = Verdict(violations=(violation,), model="m", version=1)
    return Refuse(None, verdict, status_of(verdict))


async def at_rest(count):
    """The value of a count once it no longer moves."""
    seen = -1
    async with asyncio.timeout(PATIENCE):
        while seen != count():
            seen = count()
            await asyncio.sleep(0.2)
    return seen


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


@pytest.mark.parametrize("size", [0, 1, 5, 100, 70_000, 300_000])
async def test_a_judged_message_is_whole_for_the_gate_and_as_sent_for_the_server(
    start_frames, start_edge, start_client, doorkeeper, size
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    message = bytes(number % 251 for number in range(size))
    octets = size.to_bytes(5, "big") + message
    number = client.request(PREDICT_HEAD, None)
    for start in range(0, len(octets), 9_999):
        part = octets[start : start + 9_999]
        while client.h2.local_flow_control_window(number) < len(part):
            await client.next(h2.events.WindowUpdated)
        client.h2.send_data(number, part, end_stream=start + 9_999 >= len(octets))
        client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert [bytes(each) for each in doorkeeper.messages] == [message]
    assert server.peers[0].received == len(octets)


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


async def test_a_slow_judgement_holds_only_its_own_call(start_frames, start_edge, start_client, doorkeeper):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    doorkeeper.slow = asyncio.Event()
    slow = client.request(PREDICT_HEAD, b"slow")
    other = client.request()
    await client.next(h2.events.StreamEnded, stream_id=other)
    doorkeeper.slow.set()
    await client.next(h2.events.StreamEnded, stream_id=slow)


async def test_a_client_that_leaves_during_judgement_is_let_go(
    start_frames, start_edge, start_client, doorkeeper, witness
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    doorkeeper.slow = asyncio.Event()
    number = client.request(PREDICT_HEAD, b"slow")
    await until(lambda: doorkeeper.messages)
    client.h2.reset_stream(number, RST.CANCEL)
    client.flush()
    await until(lambda: witness.outcomes)
    assert witness.outcomes[0].code == grpc.StatusCode.CANCELLED.value[0]
    doorkeeper.slow.set()
    client.request()
    await client.next(h2.events.StreamEnded)
    assert server.peers[0].received == 5


async def test_a_compressed_message_is_judged_as_it_is_meant(
    start_frames, start_edge, start_client, doorkeeper
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    packed = gzip.compress(b"plain")
    number = client.request([*PREDICT_HEAD, ("grpc-encoding", "gzip")], None)
    octets = b"\x01" + len(packed).to_bytes(4, "big") + packed
    client.h2.send_data(number, octets, end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert doorkeeper.messages == [b"plain"]
    assert server.peers[0].received == len(octets)


async def test_what_cannot_be_read_is_forwarded_and_counted(
    start_frames, start_edge, start_client, doorkeeper, witness
):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    number = client.request([*PREDICT_HEAD, ("grpc-encoding", "snappy")], None)
    client.h2.send_data(number, b"\x01\0\0\0\x03abc", end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert server.peers[0].received == 8
    assert doorkeeper.messages == []
    assert witness.outcomes[0].judge_failed


async def test_half_a_message_is_left_to_the_server(start_frames, start_edge, start_client, doorkeeper):
    server, target = await start_frames()
    client = await start_client(await start_edge(target))
    number = client.request(PREDICT_HEAD, None)
    client.h2.send_data(number, b"\0\0\0\0\x09abc", end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=number)
    assert server.peers[0].received == 8
    assert doorkeeper.messages == []


async def test_a_warning_travels_in_the_trailers(start_frames, start_edge, start_client, doorkeeper):
    _, target = await start_frames()
    client = await start_client(await start_edge(target))
    warned = Verdict(warnings=refusal().verdict.violations, model="m", version=1)
    doorkeeper.decide = lambda _: Admit(None, warned)
    client.request(PREDICT_HEAD, b"odd")
    trailers = dict((await client.next(h2.events.TrailersReceived)).headers)
    assert trailers["grpc-status"] == "0"
    assert trailers["tfs-proxy-warning"].startswith("RANK_MISMATCH: ")


# The server's faults.


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


async def test_metadata_beyond_the_limit_is_refused_in_words(start_frames, start_edge, start_client):
    _, target = await start_frames()
    client = await start_client(await start_edge(target, http2_limits=Http2Limits(header_list_size=2000)))
    client.request([*REQUEST, ("x", "v" * 2000)])
    fields = dict((await client.next(h2.events.ResponseReceived)).headers)
    assert fields["grpc-status"] == "8"
    assert "2000 bytes" in fields["grpc-message"]


# Memory.


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


@pytest.mark.parametrize("path", ["/some.Service/Method"])
async def test_a_server_that_does_not_read_stops_the_client(start_frames, start_edge, start_client, path):
    def ignore(peer, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.transport.pause_reading()

    _, target = await start_frames(ignore)
    client = await start_client(await start_edge(target))
    number = client.request([(k, path if k == ":path" else v) for k, v in REQUEST], None)
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
    assert 0 < await at_rest(lambda: sent) < 4 << 20
    task.cancel()


async def test_judged_messages_take_room_as_they_arrive_and_not_for_what_they_announce(
    start_frames, start_edge, start_client, witness
):
    _, target = await start_frames()
    edge = await start_edge(target, limits=Limits(max_inflight_bytes=1000))
    client = await start_client(edge)
    first = client.request(PREDICT_HEAD, None)
    client.h2.send_data(first, (950).to_bytes(5, "big"))
    unharmed = client.request(PREDICT_HEAD, b"x" * 200)
    await client.next(h2.events.TrailersReceived, stream_id=unharmed)
    client.h2.send_data(first, bytes(900))
    second = client.request(PREDICT_HEAD, b"x" * 200)
    fields = dict((await client.next(h2.events.ResponseReceived, stream_id=second)).headers)
    assert fields["grpc-status"] == "8"
    assert "--max-inflight-bytes" in fields["grpc-message"]
    client.h2.send_data(first, bytes(50), end_stream=True)
    client.flush()
    await client.next(h2.events.StreamEnded, stream_id=first)
    announced = client.request(PREDICT_HEAD, None)
    client.h2.send_data(announced, (1001).to_bytes(5, "big"))
    client.flush()
    await client.next(h2.events.ResponseReceived, stream_id=announced)
    third = client.request(PREDICT_HEAD, b"x" * 1000)
    await client.next(h2.events.TrailersReceived, stream_id=third)


async def test_calls_wait_for_a_stream_where_the_server_allows_few(start_frames, start_edge, start_client):
    """…and the pool opens more connections meanwhile, up to its bound."""
    open_streams, most = {}, 0

    def answer(peer, number):
        open_streams[peer] -= 1
        peer.answer(number, None)

    def few(peer, event):
        nonlocal most
        if isinstance(event, h2.events.RemoteSettingsChanged):
            peer.h2.update_settings({3: 2})
        if isinstance(event, h2.events.StreamEnded):
            open_streams[peer] = open_streams.get(peer, 0) + 1
            most = max(most, open_streams[peer])
            asyncio.get_running_loop().call_later(0.02, answer, peer, event.stream_id)

    options = PoolOptions(connections_per_address=2, first_backoff=0.05)
    server, target = await start_frames(few)
    client = await start_client(await start_edge(target, pool_options=options))
    client.request()
    await client.next(h2.events.StreamEnded)
    numbers = {client.request() for _ in range(12)}
    while numbers:
        numbers.discard((await client.next(h2.events.StreamEnded)).stream_id)
    assert most == 2
    assert len(server.peers) == 2
