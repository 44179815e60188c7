"""A probe finds out what is in the way, on real sockets."""

import asyncio
import contextlib
import socket
import time

import pytest

from proxy.diagnosis.reach import Connect, Speaks
from proxy.upstream.channel import Tls
from proxy.upstream.endpoints import Endpoint
from proxy.upstream.probe import probe, resolve
from tests import odd_servers
from tests.fake_serving import FakeServing

STEP = 0.3


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return odd_servers.make_pki(tmp_path_factory.mktemp("pki"))


async def reach_of(target, tls=None):
    return await probe(target, tls, environ={}, seconds=STEP)


async def spoken_at(talk, tls=None):
    async with odd_servers.talking(talk) as target:
        return (await reach_of(target, tls)).spoken


async def test_a_grpc_server_speaks_http2():
    async with FakeServing() as serving:
        reach = await reach_of(serving.target)
    assert reach.addresses == (serving.target,)
    assert [attempt.result for attempt in reach.attempts] == [Connect.OPEN]
    assert reach.spoken.speaks is Speaks.HTTP2


async def test_a_unix_socket_is_a_place_too(tmp_path):
    async with FakeServing(f"unix:{tmp_path}/s") as serving:
        assert (await reach_of(serving._address)).spoken.speaks is Speaks.HTTP2
    assert (await reach_of(f"unix:{tmp_path}/none")).attempts[0].result is Connect.FAILED


async def test_a_closed_port_refuses():
    with odd_servers.nobody() as target:
        (attempt,) = (await reach_of(target)).attempts
    assert (attempt.address, attempt.result) == (target, Connect.REFUSED)


async def test_every_address_of_a_name_is_tried():
    with odd_servers.nobody() as one, odd_servers.nobody() as other:
        reach = await reach_of(f"ipv4:{one},{other}")
    assert [attempt.address for attempt in reach.attempts] == [one, other]


async def test_dropped_packets_time_out():
    with odd_servers.full_backlog() as target:
        began = time.monotonic()
        (attempt,) = (await reach_of(target)).attempts
    assert attempt.result is Connect.TIMED_OUT
    assert time.monotonic() - began < 5 * STEP + 1


async def test_a_name_without_an_address_says_so():
    reach = await reach_of("nosuch.invalid:8500")
    assert reach.addresses == ()
    assert reach.name_error


async def test_a_resolver_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(0.5) or [])
    began = time.monotonic()
    assert "no answer in 0.05 s" in (await resolve(Endpoint("tfs", 8500), 0.05)).error
    assert time.monotonic() - began < 0.4


async def test_the_rest_port_is_recognised_as_such():
    spoken = await spoken_at(odd_servers.rest)
    assert (spoken.speaks, spoken.rest) == (Speaks.HTTP1, True)
    assert spoken.text == "HTTP/1.1 404 Not Found"


async def test_another_http1_server_is_not_taken_for_rest():
    spoken = await spoken_at(odd_servers.nginx)
    assert (spoken.speaks, spoken.rest) == (Speaks.HTTP1, False)


@pytest.mark.parametrize(
    ("talk", "speaks"),
    [
        (odd_servers.silence, Speaks.SILENT),
        (odd_servers.hanging_up, Speaks.CLOSES),
        (odd_servers.babble, Speaks.OTHER),
    ],
)
async def test_what_is_no_server_for_grpc_is_told_apart(talk, speaks):
    assert (await spoken_at(talk)).speaks is speaks


async def test_a_tls_server_is_recognised_from_plaintext(pki):
    async with FakeServing(credentials=odd_servers.server_credentials(pki)) as serving:
        assert (await reach_of(serving.target)).spoken.speaks is Speaks.TLS


async def test_a_plaintext_server_is_recognised_from_tls(pki):
    async with FakeServing() as serving:
        spoken = (await reach_of(serving.target, Tls(pki / "ca.pem"))).spoken
    assert spoken.speaks is Speaks.PLAINTEXT


async def test_a_plaintext_http1_server_is_recognised_from_tls(pki):
    spoken = await spoken_at(odd_servers.rest, Tls(pki / "ca.pem"))
    assert spoken.speaks is Speaks.PLAINTEXT
    assert spoken.text.startswith("HTTP/1.1 404")


async def test_tls_that_fits_speaks_http2(pki):
    async with FakeServing(credentials=odd_servers.server_credentials(pki)) as serving:
        tls = Tls(pki / "ca.pem", server_name="tfs.example")
        assert (await reach_of(serving.target, tls)).spoken.speaks is Speaks.HTTP2


@pytest.mark.parametrize(
    ("tls", "text"),
    [
        (lambda pki: Tls(pki / "ca.pem"), "not valid for '127.0.0.1'"),
        (lambda _: Tls(server_name="tfs.example"), "unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_that_is_not_accepted_says_why(pki, tls, text):
    async with FakeServing(credentials=odd_servers.server_credentials(pki)) as serving:
        spoken = (await reach_of(serving.target, tls(pki))).spoken
    assert spoken.speaks is Speaks.CERTIFICATE
    assert text in spoken.text


async def test_a_server_that_demands_a_certificate_says_so(pki):
    async with FakeServing(credentials=odd_servers.server_credentials(pki, demand=True)) as serving:
        spoken = (await reach_of(serving.target, Tls(pki / "ca.pem", server_name="tfs.example"))).spoken
    assert spoken.speaks is Speaks.CERTIFICATE


async def test_a_probe_leaves_no_connection_behind():
    ended = asyncio.Semaphore(0)
    begun = []

    async def count(reader, _writer):
        begun.append(True)
        with contextlib.suppress(OSError):
            await reader.read()
        ended.release()

    async with odd_servers.talking(count) as target, asyncio.timeout(10):
        await reach_of(target)
        for _ in begun:
            await ended.acquire()
    assert len(begun) > 2
