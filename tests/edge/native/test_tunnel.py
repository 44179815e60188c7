"""The way through a forward proxy, with one that is real, before a server that is real."""

import asyncio
import base64
import contextlib

import grpc
import pytest

from proxy.edge.native.pool_options import PoolOptions
from proxy.edge.native.tls import client_context
from proxy.edge.native.tunnel import through
from proxy.upstream.channel import Tls, open_channel
from proxy.upstream.endpoints import Endpoint
from proxy.upstream.forward_proxy import Tunnel
from tests import odd_servers
from tests.edge.native.conftest import PATIENCE
from tests.fake_serving import FakeServing

METHOD = "/some.Service/Method"
TFS = Endpoint("tfs.example", 8500)


@pytest.fixture
def named(monkeypatch):
    """Let http_proxy, and nothing else, name a forward proxy."""
    for name in ("no_grpc_proxy", "no_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    return lambda url: monkeypatch.setenv("http_proxy", url)


@pytest.fixture(params=["native", "grpcio"])
def ask(request, start_edge, channel_to, stack):
    """Call through the native edge, or as the grpcio edge does: on the channel to the server."""

    async def ask(target):
        if request.param == "native":
            channel = channel_to(await start_edge(target, http_proxy=True))
        else:
            channel = open_channel(target, http_proxy=True)
            stack.push_async_callback(channel.close)
        return await channel.unary_unary(METHOD)(b"", timeout=PATIENCE)

    return ask


async def listening(stack, **options):
    return await stack.enter_async_context(odd_servers.ForwardProxy(**options))


async def refused(ask, target):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(target)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    return caught.value.details()


async def test_a_name_that_only_the_forward_proxy_resolves_is_reached(ask, start_frames, stack, named):
    _, target = await start_frames()
    port = target.rpartition(":")[2]
    forward = await listening(stack)
    forward.names["tfs.invalid"] = "127.0.0.1"
    named(f"http://{forward.address}")
    assert await ask(f"tfs.invalid:{port}") == b""
    assert forward.asked[0][:2] == [f"CONNECT tfs.invalid:{port} HTTP/1.1", f"Host: tfs.invalid:{port}"]
    assert not [line for line in forward.asked[0] if line.lower().startswith("proxy-authorization")]


async def test_what_the_server_says_at_once_is_the_servers(ask, start_frames, stack, named):
    _, target = await start_frames()
    forward = await listening(stack, eager=True)
    named(f"http://{forward.address}")
    assert await ask(target) == b""
    assert forward.asked


async def test_credentials_go_to_the_forward_proxy_alone(ask, start_frames, stack, named):
    _, target = await start_frames()
    forward = await listening(stack)
    named(f"http://me:s%40cret@{forward.address}")
    assert await ask(target) == b""
    lines = {
        name.lower(): value.strip() for name, _, value in (each.partition(":") for each in forward.asked[0])
    }
    assert lines["proxy-authorization"] == "Basic " + base64.b64encode(b"me:s@cret").decode()


async def test_an_exempt_host_is_reached_directly(ask, start_frames, stack, named, monkeypatch):
    _, target = await start_frames()
    forward = await listening(stack)
    named(f"http://{forward.address}")
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    assert await ask(target) == b""
    assert not forward.asked


async def test_a_unix_socket_is_reached_directly(ask, stack, named, tmp_path):
    forward = await listening(stack)
    named(f"http://{forward.address}")
    serving = await stack.enter_async_context(FakeServing(f"unix:{tmp_path}/s"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(serving._address)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, "the server's own answer"
    assert not forward.asked


async def test_a_forward_proxy_is_left_aside_unless_told(start_frames, start_edge, channel_to, named):
    _, target = await start_frames()
    with odd_servers.nobody() as address:
        named(f"http://{address}")
        channel = channel_to(await start_edge(target))
        assert await channel.unary_unary(METHOD)(b"", timeout=PATIENCE) == b""


async def test_tls_is_spoken_with_the_server_and_not_with_the_forward_proxy(
    start_edge, channel_to, stack, named, tmp_path
):
    pki = odd_servers.make_pki(tmp_path)
    serving = await stack.enter_async_context(FakeServing(credentials=odd_servers.server_credentials(pki)))
    port = serving.target.rpartition(":")[2]
    forward = await listening(stack)
    forward.names["tfs.example"] = "127.0.0.1"
    named(f"http://{forward.address}")
    tls = client_context(Tls(pki / "ca.pem"))
    edge = await start_edge(f"tfs.example:{port}", upstream_tls=tls, http_proxy=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel_to(edge).unary_unary(METHOD)(b"", timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, "the server's own answer"
    assert forward.asked[0][0] == f"CONNECT tfs.example:{port} HTTP/1.1"


async def test_a_refusal_is_told_by_both_edges(ask, stack, named):
    forward = await listening(stack, answer=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    named(f"http://me:secret@{forward.address}")
    text = await refused(ask, "tfs.invalid:8500")
    assert "403" in text
    assert "secret" not in text


async def reason_of(start_edge, channel_to, target, **options):
    edge = await start_edge(target, http_proxy=True, **options)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel_to(edge).unary_unary(METHOD)(b"", timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    return caught.value.details()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403 Forbidden to CONNECT"),
        (b"HTTP/1.0 502\r\n\r\n", "answered 502 to CONNECT"),
        (b"HTTP/1.1 407 \x1b[31m" + b"x" * 200 + b"\r\n\r\n", "answered 407 \\x1b[31mxxx"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP/1"),
        (b"HTTP/1.1 101 \r\n\r\n", "answered 101 to CONNECT"),
        (b"", "hung up on CONNECT"),
        (b"x" * (17 << 10), "answered more than 16384 bytes to CONNECT"),
    ],
)
async def test_the_forward_proxys_answer_is_the_reason(start_edge, channel_to, stack, named, answer, told):
    forward = await listening(stack, answer=answer)
    named(f"http://{forward.address}")
    text = await reason_of(start_edge, channel_to, "tfs.invalid:8500")
    where = (
        f"cannot reach tfs.invalid:8500 (tfs.invalid:8500: the forward proxy {forward.address} (http_proxy) "
    )
    assert where + told in text
    assert len(text) < 300


async def test_a_forward_proxy_that_is_not_there_is_named(start_edge, channel_to, named):
    with odd_servers.nobody() as address:
        named(f"http://{address}")
        text = await reason_of(start_edge, channel_to, "tfs.invalid:8500")
    assert f"the forward proxy {address} (http_proxy) cannot be reached: connection refused" in text


async def test_a_forward_proxy_without_an_address_is_named(start_edge, channel_to, named):
    named("http://nosuch.invalid:3128")
    text = await reason_of(start_edge, channel_to, "tfs:8500")
    assert "the name of the forward proxy nosuch.invalid:3128 (http_proxy) cannot be resolved" in text


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nVia: slow"])
async def test_a_forward_proxy_that_does_not_finish_its_answer_is_given_up(
    start_edge, channel_to, stack, named, says
):
    async def talk(reader, writer):
        writer.write(says)
        await reader.read()

    named(f"http://{await stack.enter_async_context(odd_servers.talking(talk))}")
    quick = PoolOptions(connect_timeout=0.3, first_backoff=0.05, longest_backoff=0.1)
    text = await reason_of(start_edge, channel_to, "tfs:8500", pool_options=quick)
    assert "(http_proxy) gave no answer to CONNECT in time" in text


async def test_what_goes_wrong_behind_the_forward_proxy_is_told_as_such(start_edge, channel_to, stack, named):
    forward = await listening(stack)
    named(f"http://{forward.address}")
    target = await stack.enter_async_context(odd_servers.talking(odd_servers.nginx))
    text = await reason_of(start_edge, channel_to, target)
    assert f"through the forward proxy {forward.address} (http_proxy): " in text
    assert "does not speak HTTP/2" in text


async def test_nothing_of_an_attempt_that_is_given_up_stays_open(stack):
    ended = asyncio.Event()

    async def talk(reader, _writer):
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.read()
        ended.set()

    address = await stack.enter_async_context(odd_servers.talking(talk))
    tunnel = Tunnel("127.0.0.1", int(address.rpartition(":")[2]), "http_proxy")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(through(tunnel, TFS), 0.1)
    await asyncio.wait_for(ended.wait(), PATIENCE)
