"""Whose share a connection is counted to, and what becomes of one that never opens."""

import asyncio
import ssl

import pytest

from proxy.edge.native import accepting
from proxy.edge.native.accepting import client_address
from proxy.edge.native.tls import server_context
from tests.edge.native.conftest import until


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::/64"),
        (("2001:db8::ffff:1", 5, 0, 0), "2001:db8::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        ("", "unix:"),
        (b"\0abstract", "unix:"),
    ],
)
def test_a_client_is_its_address_or_its_network(name, address):
    assert client_address(name) == address


@pytest.fixture
async def secure(start_frames, start_edge, certificate):
    _, target = await start_frames()
    return await start_edge(target, tls=server_context(certificate / "cert.pem", certificate / "key.pem"))


async def silent(edge, octets=b""):
    host, _, port = edge.address.rpartition(":")
    _, peer = await asyncio.get_running_loop().create_connection(Listener, host, int(port))
    peer.transport.write(octets)
    return peer


class Listener(asyncio.Protocol):
    def __init__(self):
        self.closed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _error):
        self.closed.set()


async def test_a_handshake_counts_until_it_fails(secure):
    peer = await silent(secure)
    await until(lambda: secure.usage().connections == 1)
    peer.transport.write(b"this is no TLS\r\n\r\n")
    await until(lambda: secure.usage().connections == 0)
    peer.transport.abort()


async def test_a_handshake_that_takes_too_long_is_ended(start_frames, start_edge, certificate, set_constant):
    set_constant(accepting, "HANDSHAKE_SECONDS", 0.3)
    _, target = await start_frames()
    edge = await start_edge(target, tls=server_context(certificate / "cert.pem", certificate / "key.pem"))
    peer = await silent(edge)
    await until(peer.closed.is_set)
    await until(lambda: edge.usage().connections == 0)


async def test_stopping_does_not_wait_for_handshakes(secure):
    peers = [await silent(secure) for _ in range(5)]
    await until(lambda: secure.usage().connections == 5)
    await asyncio.wait_for(secure.stop(5), 4)
    await until(lambda: all(peer.closed.is_set() for peer in peers))


async def test_a_client_that_trusts_nobody_leaves_nothing_behind(secure):
    host, _, port = secure.address.rpartition(":")
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(host, int(port), ssl=ssl.create_default_context())
    await until(lambda: secure.usage().connections == 0)
