"""Certificates that expire while the proxy runs, by a clock of its own: what stands goes on, what is new is told why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from tests.certificates import Authority, key_of
from tests.edge.conftest import PREDICT, ask
from tests.fake_serving import FakeServing
from tests.faults.ground import marked
from tests.faults.machine import Clock
from tests.odd_servers import server_credentials
from tests.proxy_process import EDGES, ProxyProcess
from tests.test_app import get

BEYOND = 20 * 86_400
"""Seconds after which what was signed for nine days holds no more."""
MARK = bytes(12)


class Secured(NamedTuple):
    proxy: ProxyProcess
    serving: FakeServing
    clock: Clock
    connect: Any


@pytest.fixture
async def secured(edge: str, tmp_path: Path) -> AsyncIterator[Secured]:
    """TLS with certificates on both sides of the proxy, all of them for nine days."""
    clock = Clock(tmp_path / "clock")
    (tmp_path / "pki").mkdir()
    authority = Authority(tmp_path / "pki")
    server, client = authority.sign("server"), authority.sign("client", "")
    roots = str(authority.roots)
    async with contextlib.AsyncExitStack() as stack:
        serving = FakeServing(credentials=server_credentials(authority.folder, demand=True))
        serving.load("m")
        await stack.enter_async_context(serving)
        proxy = await asyncio.to_thread(
            ProxyProcess,
            *("--upstream", serving.target, "--model", "m", "--poll-seconds", "0.5", *EDGES[edge]),
            *("--upstream-ca", roots, "--upstream-cert", str(client), "--upstream-key", str(key_of(client))),
            *("--listen-cert", str(server), "--listen-key", str(key_of(server)), "--listen-client-ca", roots),
            env=clock.env,
        )
        stack.push_async_callback(asyncio.to_thread, proxy.__exit__, None, None, None)
        parts = (authority.roots, key_of(client), client)
        credentials = grpc.ssl_channel_credentials(*(each.read_bytes() for each in parts))

        def connect() -> grpc.aio.Channel:
            options = (
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.ssl_target_name_override", "localhost"),
                ("grpc.min_reconnect_backoff_ms", 200),
            )
            return grpc.aio.secure_channel(proxy.target, credentials, options=options)

        yield Secured(proxy, serving, clock, connect)


async def told(channel: grpc.aio.Channel) -> tuple[str, str, str]:
    """Status, reason and text of a good call."""
    answer = await ask(channel, PREDICT, marked(MARK))
    return answer.code.name, answer.reason, answer.details


async def is_served(channel: grpc.aio.Channel) -> None:
    async with asyncio.timeout(20):
        while (await told(channel))[0] != "OK":
            pass


async def test_a_client_s_certificate_expires(secured: Secured):
    """…and when each will is told beforehand."""
    uses = {"listen_cert", "listen_client_ca", "upstream_ca", "upstream_cert"}
    _, text = await asyncio.to_thread(get, secured.proxy, "/metrics")
    lines = [line for line in text.splitlines() if line.startswith("tfs_proxy_certificate_expiry")]
    assert {use for use in uses for line in lines if f'"{use}"' in line} == uses
    async with secured.connect() as standing:
        await is_served(standing)
        secured.clock.jump(BEYOND)
        async with secured.connect() as late:
            assert (await told(late))[0] == "UNAVAILABLE"
            assert (await told(standing))[0] == "OK"
            secured.clock.jump(0)
            await is_served(late)


async def test_the_server_s_certificate_expires(secured: Secured):
    async with secured.connect() as standing:
        await is_served(standing)
        secured.clock.jump(BEYOND)
        for _ in range(20):
            assert (await told(standing))[0] == "OK", "a connection that stands goes on"
        await secured.serving.stop()
        await secured.serving.start()
        async with asyncio.timeout(20):
            while (found := await told(standing))[1] != "UPSTREAM_TLS_MISMATCH":
                assert found[0] != "OK", "a certificate that has expired was taken"
        assert "expired" in found[2]
        code, text = await asyncio.to_thread(get, secured.proxy, "/readyz?verbose")
        assert (code, "upstream" in text) == (503, True)
        secured.clock.jump(0)
        await is_served(standing)
