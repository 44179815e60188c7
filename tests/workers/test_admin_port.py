"""One admin port speaks for all workers."""

import asyncio
import json
import signal
import urllib.request

import aiohttp
import grpc

from tests.edge.conftest import PREDICT, ask, predict
from tests.observe.admin.test_api import check, schema_of
from tests.observe.admin.test_events import until
from tests.test_app import until_ready
from tests.workers.conftest import kill, killed, one_channel_each

REQUESTS = "tfs_proxy_requests_total"
WRONG = predict(shape=(3,))


async def test_the_metrics_are_the_sum_of_all_calls_also_when_a_worker_has_died(start):
    with await start("--model", "m") as proxy:
        async with one_channel_each(proxy) as channels:
            for channel in channels.values():
                await proxy.call(channel)
                await proxy.ask(channel, WRONG)
            made = proxy.made
            assert await proxy.total(REQUESTS) == made
            assert await proxy.total("tfs_proxy_refusals_total", reason="RANK_MISMATCH") == 2
            assert await proxy.total("tfs_proxy_overhead_seconds_count") == made
            assert await proxy.total("tfs_proxy_overhead_seconds_bucket", le="+Inf") == made
            before = await proxy.samples()
            pids = proxy.pids()
            await killed(pids[1])
            await proxy.call(channels[0])
            assert await proxy.total(REQUESTS) == made + 1
            await asyncio.to_thread(proxy.wait, lambda: proxy.pids() != pids)
            await proxy.call(channels[1])
            assert await proxy.total(REQUESTS) == made + 2 == proxy.made
            after = await proxy.samples()
        fallen = {
            key
            for key, value in before.items()
            if key[0].endswith(("_total", "_count", "_bucket")) and after[key] < value
        }
        assert not fallen


def open_metrics(proxy) -> tuple[str, bytes]:
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    request = urllib.request.Request(f"http://{proxy.admin}/metrics", headers=wanted)
    with urllib.request.urlopen(request) as response:
        return response.headers["Content-Type"], response.read()


async def test_a_scrape_has_every_series_once_in_text_and_in_openmetrics(start):
    with await start("--model", "m") as proxy:
        async with one_channel_each(proxy):
            pass
        _, text = await proxy.get("/metrics")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)
        kind, body = await asyncio.to_thread(open_metrics, proxy)
        assert kind.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        _, one = await proxy.get("/metrics?name[]=tfs_proxy_upstream_up")
        assert [line for line in one.splitlines() if not line.startswith("#")] == [
            "tfs_proxy_upstream_up 1.0"
        ]


async def test_the_limits_are_those_of_all_together(start):
    flags = ("--max-connections", "7", "--max-inflight-bytes", "1000001", "--max-concurrent-calls", "3")
    with await start(*flags) as proxy:
        assert await proxy.total("tfs_proxy_connections_limit") == 7
        assert await proxy.total("tfs_proxy_inflight_bytes_limit") == 1000001
        _, settings = await proxy.get("/api/config")
        assert json.loads(settings)["max_connections"] == {"value": 7, "origin": "flag"}
        assert json.loads(settings)["workers"] == {"value": 2, "origin": "flag"}


async def test_models_and_refusals_of_all_are_on_its_pages(start):
    with await start("--model", "m") as proxy:
        await until_ready(proxy)
        async with one_channel_each(proxy) as channels:
            for channel in channels.values():
                assert (await ask(channel, PREDICT, WRONG)).code is grpc.StatusCode.INVALID_ARGUMENT
        _, refusals = await proxy.get("/api/refusals")
        times = [each["time"] for each in json.loads(refusals)["refusals"]]
        assert (len(times), times) == (2, sorted(times, reverse=True))
        _, models = await proxy.get("/api/models")
        (model,) = json.loads(models)["models"]
        assert (model["name"], list(model["signatures"])) == ("m", ["1"])
        code, page = await proxy.get("/")
        assert (code, "rank 2 [?,3]" in page, "<strong>2</strong>" in page) == (200, True, True)
        assert json.loads((await proxy.get("/api/suspects"))[1]) == {"deaths": []}
        assert (await proxy.get("/absent"))[0] == 404


async def test_problems_status_and_curves_are_those_of_all(start):
    with await start("--model", "m") as proxy:
        await until_ready(proxy)
        async with one_channel_each(proxy) as channels:
            for channel in channels.values():
                for _ in range(2):
                    await proxy.ask(channel, WRONG)
        made = proxy.made
        problems = json.loads((await proxy.get("/api/problems"))[1])
        check(problems, schema_of("/api/problems"))
        (problem,) = problems["problems"]
        assert (problem["count"], sum(problem["sparkline"]), problem["senders"][0]["count"]) == (4, 4, 4)
        assert len(problem["examples"]) == 4
        _, one = await proxy.get(f"/api/problems/{problem['id']}")
        assert json.loads(one)["count"] == 4
        _, none = await proxy.get("/api/problems?model=n")
        assert json.loads(none)["total"] == 0
        status = json.loads((await proxy.get("/api/status"))[1])
        check(status, schema_of("/api/status"))
        assert [each["state"] for each in status["workers"]] == ["serving", "serving"]
        assert [each["state"] for each in status["upstreams"]] == ["up"]
        assert (status["state"], status["counts"]["requests"]) == ("ready", made)
        for path in ("/api/models", "/api/history", "/api/workers"):
            check(json.loads((await proxy.get(path))[1]), schema_of(path))
        url = f"http://{proxy.admin}/api/events"
        async with aiohttp.ClientSession() as session, session.get(url) as stream:
            changed = await until(stream, "problems")
            assert changed["changed"][0]["count"] == 4
            await asyncio.to_thread(proxy.stop)
            await until(stream, "end")


async def test_it_is_ready_when_all_workers_are_and_says_which_is_not(start):
    with await start("--model", "m") as proxy:
        await until_ready(proxy)
        _, text = await proxy.get("/readyz?verbose")
        assert "[+]worker/0 ok\n[+]worker/1 ok\nok\n" in text
        made = await proxy.total("grpc_server_started_total")
        kill(proxy.pids()[1], signal.SIGSTOP)
        try:
            assert await proxy.get("/readyz") == (503, "[-]worker/1 failed: does not answer\nnot ready\n")
            assert (await proxy.get("/livez"))[0] == 200
            assert await proxy.total("tfs_proxy_workers", state="silent") == 1
            assert await proxy.total("tfs_proxy_workers", state="serving") == 1
            assert await proxy.total("grpc_server_started_total") == made
            assert proxy.wait_for("worker_silent")["worker"] == 1
        finally:
            kill(proxy.pids()[1], signal.SIGCONT)
        await until_ready(proxy)


async def test_each_worker_is_shown_with_what_it_has_and_a_silent_one_as_silent(start, serving):
    with await start("--model", "m") as proxy:
        await until_ready(proxy)
        async with one_channel_each(proxy) as channels:
            with serving.hold("Predict") as hold:
                asking = [asyncio.create_task(ask(channels[1], PREDICT, predict())) for _ in range(3)]
                await hold.arrived(3)
                _, text = await proxy.get("/api/workers")
                first, second = json.loads(text)["workers"]
                assert (first["worker"], second["worker"]) == (0, 1)
                assert {each["worker"]: each["pid"] for each in (first, second)} == proxy.pids()
                assert (first["in_flight"], second["in_flight"]) == (0, 3)
                assert first["connections"] >= 1
                assert second["connections"] >= 1
                assert await proxy.total("tfs_proxy_worker_in_flight", worker="1") == 3
                assert (
                    await proxy.total("tfs_proxy_worker_connections")
                    == first["connections"] + second["connections"]
                )
                hold.release()
                await asyncio.gather(*asking)
        pids = proxy.pids()
        await killed(pids[0])
        await asyncio.to_thread(proxy.wait, lambda: proxy.pids() != pids)
        assert await proxy.total("tfs_proxy_worker_restarts_total", worker="0") == 1
        assert await proxy.total("tfs_proxy_worker_restarts_total", worker="1") == 0
        kill(pids[1], signal.SIGSTOP)
        try:
            _, text = await proxy.get("/api/workers")
            silent = json.loads(text)["workers"][1]
            assert (silent["state"], silent["connections"], silent["in_flight"]) == ("silent", None, None)
            _, page = await proxy.get("/")
            assert '<tr><th scope="row">1</th><td><span class="state warn">Silent</span>' in page
        finally:
            kill(pids[1], signal.SIGCONT)


async def test_a_model_that_is_missing_is_said_once(start):
    with await start("--model", "late") as proxy:
        code, text = await proxy.get("/readyz")
        assert code == 503
        assert text.count("model/late failed") == 1
