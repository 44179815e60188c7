"""One attempt to connect, and what is said of it when it fails."""

import asyncio
import ssl

from proxy.edge.native.tls import client_context
from proxy.upstream.channel import Tls
from tests import odd_servers
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
