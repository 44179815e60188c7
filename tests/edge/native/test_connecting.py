"""One attempt to connect, and what is said of it when it fails."""

import asyncio
import ssl

import pytest

from proxy.edge.native.connecting import Dialler
from proxy.edge.native.pool_options import PoolOptions
from proxy.edge.native.shell import Exchange
from proxy.edge.native.tls import client_context
from proxy.edge.native.upstream import UpstreamShell
from proxy.upstream.channel import Tls
from proxy.upstream.endpoints import Endpoint
from tests import odd_servers
from tests.conftest import interpreted_only
from tests.edge.native.conftest import outcome


async def test_a_server_that_speaks_http_1_is_recognised(start_pool, stack):
    async def serve(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    stack.callback(server.close)
    reason = await outcome(await start_pool(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert "does not speak HTTP/2" in reason


async def test_a_server_that_says_nothing_is_given_up(start_pool, stack):
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    stack.callback(server.close)
    reason = await outcome(await start_pool(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert "no HTTP/2 SETTINGS in time" in reason


async def test_a_server_that_speaks_tls_has_to_agree_on_http_2(start_pool, stack, tmp_path):
    pki = odd_servers.make_pki(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    stack.callback(server.close)
    reason = await outcome(
        await start_pool(
            f"127.0.0.1:{server.sockets[0].getsockname()[1]}",
            tls=client_context(Tls(pki / "ca.pem")),
            server_name="tfs.example",
        )
    )
    assert "does not agree on HTTP/2 (ALPN)" in reason


class NoPool:
    """Learns that it has lost what it never had."""

    def retired(self, shell: UpstreamShell) -> None: ...


@interpreted_only
async def test_a_connection_that_is_lost_before_anyone_has_looked_at_it_is_an_error_as_any_other(stack):
    """Anything else ended the task that connects, and with it every later attempt."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    stack.callback(server.close)
    address = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])

    def lost_at_once() -> UpstreamShell:
        shell = UpstreamShell(NoPool(), Exchange(), PoolOptions(), address)
        made = shell.connection_made

        def lose(transport: asyncio.Transport) -> None:
            made(transport)
            shell.connection_lost(ConnectionResetError("reset by peer"))
            transport.abort()

        shell.connection_made = lose
        return shell

    with pytest.raises(ConnectionError, match="Connection closed: reset by peer"):
        await Dialler(None, "here", {}).connect(address, lost_at_once, 5)
