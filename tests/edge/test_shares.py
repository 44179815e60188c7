"""What a client may have beside others, through both edges."""

import asyncio
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proxy.edge.admission import MOST_LOCAL_CALLS_OF_A_CONNECTION
from tests.edge.conftest import PREDICT, ask, judged, predict

LARGE = predict(shape=(20_000, 3))
"""240 kB."""
SMALL = predict(shape=(2, 3))


async def metrics(proxy):
    address = f"http://{proxy.admin}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(address).read().decode())
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


async def test_a_client_that_holds_much_leaves_room_for_one_that_holds_nothing(start_proxy, connect, serving):
    proxy = await start_proxy("--max-inflight-bytes", "1MiB")
    greedy, modest = connect(proxy), connect(proxy)
    await judged(proxy, greedy)
    with serving.hold("Predict") as hold:
        # While few calls are under way a long message flows on, and is held by the server.
        others = [asyncio.create_task(ask(modest, PREDICT, SMALL)) for _ in range(3)]
        await hold.arrived(3)
        held = [asyncio.create_task(ask(greedy, PREDICT, LARGE)) for _ in range(3)]
        await hold.arrived(3)
        too_much = await ask(greedy, PREDICT, LARGE)
        assert (too_much.code, too_much.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert "of its own in flight" in too_much.details
        passing = asyncio.create_task(ask(modest, PREDICT, SMALL))
        await hold.arrived()
        seen = await metrics(proxy)
        assert float(seen["tfs_proxy_inflight_bytes"]) > 3 * 240_000
        hold.release()
        assert {(await call).code for call in (*others, *held, passing)} == {grpc.StatusCode.OK}
    assert float(seen["tfs_proxy_inflight_bytes_limit"]) == 1 << 20
    assert float(seen['tfs_proxy_bound_hits_total{bound="inflight_bytes"}']) == 1
    assert proxy.wait_for("bound_hit")["bound"] == "inflight_bytes"


async def test_a_message_that_fits_the_limit_passes_when_nothing_else_is_held(start_proxy, connect):
    proxy = await start_proxy("--max-inflight-bytes", str(len(LARGE)))
    assert (await ask(connect(proxy), PREDICT, LARGE)).code is grpc.StatusCode.OK


async def test_a_client_with_all_calls_leaves_one_to_another(start_proxy, connect, serving):
    proxy = await start_proxy("--max-concurrent-calls", "8")
    greedy, modest = connect(proxy), connect(proxy)
    await judged(proxy, greedy)
    with serving.hold("Predict") as hold:
        passing = asyncio.create_task(ask(modest, PREDICT, SMALL))
        await hold.arrived()
        held = [asyncio.create_task(ask(greedy, PREDICT, SMALL)) for _ in range(20)]
        await hold.arrived(5)
        another = asyncio.create_task(ask(modest, PREDICT, SMALL))
        await hold.arrived()
        hold.release()
        assert {(await call).code for call in (passing, another)} == {grpc.StatusCode.OK}
        assert {(await call).code for call in held} == {
            grpc.StatusCode.OK,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }


async def test_watches_are_so_many_for_each_connection_and_checks_go_on(start_proxy, connect):
    proxy = await start_proxy()
    greedy, modest = connect(proxy), connect(proxy)
    watching = [
        health_pb2_grpc.HealthStub(greedy).Watch(health_pb2.HealthCheckRequest(), timeout=20)
        for _ in range(MOST_LOCAL_CALLS_OF_A_CONNECTION)
    ]
    for each in watching:
        await each.read()
    one_more = health_pb2_grpc.HealthStub(greedy).Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert await one_more.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "own services" in await one_more.details()
    for channel in (greedy, modest):
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)).status
    assert await health_pb2_grpc.HealthStub(modest).Watch(health_pb2.HealthCheckRequest(), timeout=20).read()
    watching[0].cancel()
    async with asyncio.timeout(10):
        while True:
            again = health_pb2_grpc.HealthStub(greedy).Watch(health_pb2.HealthCheckRequest(), timeout=20)
            if await again.read() is not grpc.aio.EOF:
                break


async def test_more_metadata_than_anyone_needs_is_refused_in_words(start_proxy, connect, serving):
    channel = connect(await start_proxy())
    answer = await ask(channel, PREDICT, SMALL, metadata=tuple((f"x{number}", "y") for number in range(150)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_COMPLEX")
    assert "128 fields" in answer.details
    assert serving.calls["Predict"] == 0
    answer = await ask(channel, PREDICT, SMALL, metadata=tuple((f"x{number}", "y") for number in range(100)))
    assert answer.code is grpc.StatusCode.OK, answer.details
