"""Binding, TLS, Unix sockets, local services, hostile and slow clients, and the end."""

import asyncio
import contextlib
import socket
import ssl

import grpc
import h2.connection
import h2.events
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hyperframe.frame import Frame

from proxy.edge.interface import AddressInUseError
from proxy.edge.local import OVERALL, Health
from proxy.edge.native import downstream
from proxy.edge.native.tls import client_context, server_context
from proxy.upstream.channel import Tls
from tests.edge.native.conftest import PATIENCE, REQUEST, Peer, until


async def echoed(channel):
    return await channel.unary_unary("/some.Service/Method")(b"", timeout=PATIENCE)


async def test_a_port_that_is_taken_is_told_on_construction(start_frames, start_edge):
    _, target = await start_frames()
    edge = await start_edge(target)
    with pytest.raises(AddressInUseError, match="already in use"):
        await start_edge(target, edge.address)


async def test_tls_on_both_sides(start_frames, start_edge, certificate, stack):
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    behind = await start_edge((await start_frames())[1], tls=server_context(cert, key))
    front = await start_edge(
        f"localhost:{behind.address.rpartition(':')[2]}",
        tls=server_context(cert, key),
        upstream_tls=client_context(Tls(ca=cert)),
    )
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    channel = grpc.aio.secure_channel(f"localhost:{front.address.rpartition(':')[2]}", credentials)
    stack.push_async_callback(channel.close)
    assert await echoed(channel) == b""


async def test_a_certificate_that_does_not_fit_is_named(start_frames, start_edge, certificate, channel_to):
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    behind = await start_edge((await start_frames())[1], tls=server_context(cert, key))
    front = await start_edge(behind.address, upstream_tls=client_context(Tls()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echoed(channel_to(front))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "TLS failed" in caught.value.details()


async def test_plaintext_where_tls_is_spoken_is_unavailable_and_not_a_hang(
    start_frames, start_edge, certificate, channel_to
):
    behind = await start_edge(
        (await start_frames())[1], tls=server_context(certificate / "cert.pem", certificate / "key.pem")
    )
    front = await start_edge(behind.address)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echoed(channel_to(front))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_tls_files_that_cannot_be_used_are_named(certificate):
    with pytest.raises(ValueError, match="--listen"):
        server_context(certificate / "key.pem", certificate / "key.pem")
    with pytest.raises(ValueError, match=r"missing\.pem"):
        client_context(Tls(ca=certificate / "missing.pem"))


def test_a_client_may_be_asked_for_a_certificate(certificate):
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    assert server_context(cert, key, cert).verify_mode is ssl.CERT_REQUIRED


async def test_unix_sockets_on_both_sides(start_frames, start_edge, channel_to, tmp_path):
    behind = await start_edge((await start_frames())[1], f"unix:{tmp_path / 'behind'}")
    front = await start_edge(f"unix:{tmp_path / 'behind'}", f"unix:{tmp_path / 'front'}")
    assert behind.address == f"unix:{tmp_path / 'behind'}"
    assert await echoed(channel_to(front)) == b""
    with pytest.raises(AddressInUseError):
        await start_edge("unix:/nowhere", f"unix:{tmp_path / 'front'}")


async def test_local_services_are_answered_here(start_frames, start_edge, channel_to, witness):
    health = Health()
    edge = await start_edge((await start_frames())[1], local=health.handlers())
    await health.tell(OVERALL, serving=True)
    stub = health_pb2_grpc.HealthStub(channel_to(edge))
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    await health.tell(OVERALL, serving=False)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()
    assert witness.started == 0


async def test_a_client_without_a_preface_is_cut_off(start_frames, start_edge, set_constant):
    set_constant(downstream, "PREFACE_SECONDS", 0.1)
    edge = await start_edge((await start_frames())[1])
    host, _, port = edge.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n")
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_connections_are_bounded(start_frames, start_edge, start_client, monkeypatch):
    edge = await start_edge((await start_frames())[1])
    edge._clients.max_connections = 1
    first = await start_client(edge)
    await first.next(h2.events.RemoteSettingsChanged) if first.request() else None
    second = await start_client(edge)
    await asyncio.wait_for(second.closed.wait(), PATIENCE)
    assert not first.closed.is_set()


async def test_one_bad_client_does_not_disturb_another(start_frames, start_edge, start_client):
    edge = await start_edge((await start_frames())[1])
    good, bad = await start_client(edge), await start_client(edge)
    bad.transport.write(b"\x00\x00\x01\x06\x00\x00\x00\x00\x00x")
    number = good.request()
    await bad.next(h2.events.ConnectionTerminated)
    await good.next(h2.events.StreamEnded, stream_id=number)


async def test_stopping_lets_calls_end_and_takes_no_more(start_frames, start_edge, channel_to):
    waiting = []

    def hold(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            waiting.append((peer, event.stream_id))

    _, target = await start_frames(hold)
    edge = await start_edge(target)
    call = asyncio.ensure_future(echoed(channel_to(edge)))
    await until(lambda: waiting)
    stopping = asyncio.create_task(edge.stop(PATIENCE))
    await until(lambda: edge._clients.draining)
    host, _, port = edge.address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    assert not stopping.done()
    peer, stream = waiting.pop()
    peer.answer(stream)
    assert await call == b""
    await asyncio.wait_for(stopping, PATIENCE)


async def test_a_client_that_came_just_before_the_end_is_served_and_asked_to_go(
    start_frames, start_edge, set_constant
):
    set_constant(downstream, "LATE_SECONDS", PATIENCE)
    edge = await start_edge((await start_frames())[1])
    host, _, port = edge.address.rpartition(":")
    # The kernel has taken them in; nobody here has looked at them.
    late, silent = (socket.create_connection((host, int(port))) for _ in range(2))
    stopping = asyncio.create_task(edge.stop(PATIENCE))
    await until(lambda: edge._clients.draining)
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, REQUEST)
    client.send_data(1, bytes(5), end_stream=True)
    reader, writer = await asyncio.open_connection(sock=late)
    writer.write(client.data_to_send())
    seen = []
    # By hand: h2 takes nothing more after the first GOAWAY, which is no end.
    while not seen or seen[-1] != ("HEADERS", 1, True):
        frame, length = Frame.parse_frame_header(await asyncio.wait_for(reader.readexactly(9), PATIENCE))
        seen.append(
            (type(frame).__name__.removesuffix("Frame").upper(), frame.stream_id, "END_STREAM" in frame.flags)
        )
        await reader.readexactly(length)
    assert ("GOAWAY", 0, False) in seen
    assert ("HEADERS", 1, False) in seen
    assert not stopping.done()
    writer.close()
    silent.close()
    await asyncio.wait_for(stopping, PATIENCE)


async def test_who_says_nothing_does_not_hold_the_end_up(start_frames, start_edge, set_constant):
    set_constant(downstream, "LATE_SECONDS", 0.1)
    edge = await start_edge((await start_frames())[1])
    host, _, port = edge.address.rpartition(":")
    with socket.create_connection((host, int(port))) as silent:
        await edge.stop(PATIENCE)
        silent.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while silent.recv(1000):
                pass


async def test_a_call_that_outlasts_the_grace_is_told_why(start_frames, start_edge, channel_to, witness):
    _, target = await start_frames(lambda *_: None)
    edge = await start_edge(target)
    call = asyncio.ensure_future(echoed(channel_to(edge)))
    await until(lambda: witness.started)
    await edge.stop(0.1)
    with pytest.raises(grpc.aio.AioRpcError, match="stopping"):
        await call
    assert witness.outcomes[0].code == 14


async def test_an_http_1_client_gets_an_answer_it_can_read(start_frames, start_edge):
    edge = await start_edge((await start_frames())[1])
    host, _, port = edge.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    assert answer.startswith(b"HTTP/1.1 400")
    writer.close()


async def test_a_flood_of_resets_ends_its_connection_only(start_frames, start_edge, start_client):
    edge = await start_edge((await start_frames(lambda *_: None))[1])
    good, bad = await start_client(edge), await start_client(edge)
    await good.next(h2.events.SettingsAcknowledged) if good.request() else None
    with contextlib.suppress(Exception):
        for count in range(5000):
            number = bad.h2.get_next_available_stream_id()
            bad.h2.send_headers(number, REQUEST)
            bad.h2.reset_stream(number)
            if count % 100 == 0:
                bad.flush()
                await asyncio.sleep(0)
    bad.flush()
    await asyncio.wait_for(bad.closed.wait(), PATIENCE)
    assert not good.closed.is_set()
    assert isinstance(good, Peer)


async def test_what_is_not_asked_for_is_not_there_to_be_looked_at(start_frames, start_edge):
    """…on the path of a call; with one server nobody is compared either."""
    edge = await start_edge((await start_frames())[1])
    plane = edge._plane
    assert (plane.allowed, plane.rates, plane.model_calls, plane.adaptive) == (None, None, None, None)
    assert plane.pool.backends is None
    assert edge.usage().upstream_calls_limit < 0
