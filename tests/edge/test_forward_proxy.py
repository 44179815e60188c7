"""With --use-http-proxy both edges, and what they ask the server themselves, go through the forward proxy."""

import asyncio
import contextlib
import json

import grpc
import pytest

from tests import odd_servers
from tests.edge.conftest import PREDICT, ask, judged, predict
from tests.proxy_process import EDGES, running_proxy


@pytest.fixture(params=EDGES)
async def proxy_through(request):
    """Start a proxy before `target` that is told of a forward proxy."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(forward, target):
            url = f"http://me:secret@{forward.address}"
            env = {"grpc_proxy": url, "no_grpc_proxy": ""}
            flags = ("--upstream", target, "--use-http-proxy", *EDGES[request.param])
            running = running_proxy(*flags, env=env)
            proxy = await asyncio.to_thread(running.__enter__)
            stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            return proxy

        yield start


async def test_calls_and_signatures_come_through_it(serving, proxy_through, connect):
    async with odd_servers.ForwardProxy() as forward:
        forward.names["tfs.invalid"] = "127.0.0.1"
        port = serving.target.rpartition(":")[2]
        proxy = await proxy_through(forward, f"tfs.invalid:{port}")
        channel = connect(proxy)
        await judged(proxy, channel)
        assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    assert {head[0].split()[1] for head in forward.asked} == {f"tfs.invalid:{port}"}


async def test_its_refusal_is_told_and_its_password_is_not(proxy_through, connect):
    async with odd_servers.ForwardProxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as forward:
        proxy = await proxy_through(forward, "tfs.invalid:8500")
        await asyncio.to_thread(proxy.wait_for, "upstream_out_of_reach")
        answer = await ask(connect(proxy), PREDICT, predict())
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE")
    assert "403" in answer.details
    assert f"calls go through the forward proxy {forward.address} named by grpc_proxy" in answer.details
    assert "secret" not in answer.details + json.dumps(proxy.log) + "".join(proxy.noise)
