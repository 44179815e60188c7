"""What load balancers and orchestrators do every few seconds is answered, counted, and not a warning each time."""

import asyncio
import urllib.request

import grpc
import pytest

from tests.edge.conftest import ask

LOUD = {"warning", "error", "critical"}


def loud(proxy) -> list[dict]:
    """The log lines that would wake someone."""
    return [line for line in proxy.log if line["level"] in LOUD]


async def handled(proxy, **labels: str) -> float:
    """Calls that are over, by the labels given."""
    with await asyncio.to_thread(urllib.request.urlopen, f"http://{proxy.admin}/metrics") as page:
        lines = page.read().decode().splitlines()
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("grpc_server_handled_total{") and all(each in line for each in wanted)
    )


@pytest.mark.parametrize("method", ["/AWS.ALB/healthcheck", "/grpc.health.v2.Health/Check", "/a.B/C"])
async def test_a_probe_of_a_method_that_nobody_has_is_counted_and_told_once(
    start_proxy, connect, serving, method
):
    proxy = await start_proxy()
    channel = connect(proxy)
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    for _ in range(20):
        assert (await ask(channel, method, b"")).code is grpc.StatusCode.UNIMPLEMENTED
    async with asyncio.timeout(10):
        while await handled(proxy, grpc_service="_other", grpc_code="Unimplemented") < 20:
            pass
    await asyncio.to_thread(proxy.stop)
    assert [line["method"] for line in loud(proxy) if line["event"] != "lines_suppressed"] == [method]


async def test_a_refusal_that_a_client_repeats_is_a_warning_once(start_proxy, connect, serving):
    """TensorBoard asks the profiler again and again."""
    proxy = await start_proxy()
    channel = connect(proxy)
    for _ in range(20):
        answer = await ask(channel, "/tensorflow.ProfilerService/Monitor", b"")
        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    await asyncio.to_thread(proxy.stop)
    (line,) = [line for line in loud(proxy) if line["event"] != "lines_suppressed"]
    assert line["reason"] == "PROFILER_FORBIDDEN"


async def test_a_probe_that_only_connects_is_silent(start_proxy, connect, serving):
    """A kubelet with `tcpSocket`, and load balancers that speak HTTP/1."""
    proxy = await start_proxy()
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    host, port = proxy.target.split(":")
    for sent in (
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ) * 5:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        writer.close()
        await writer.wait_closed()
    # A call on a connection of its own: what came before has been seen.
    assert (await ask(connect(proxy), "/grpc.health.v1.Health/Check", b"")).code is grpc.StatusCode.OK
    await asyncio.to_thread(proxy.stop)
    assert loud(proxy) == []
    assert proxy.noise == []
