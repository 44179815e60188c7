import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from proxy.core.availability import VersionStatus
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, Servable, Signature, TensorSpec, TensorView
from proxy.core.verdict import Verdict, Violation
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.views import Check, ModelListing, Setting, Sources
from proxy.observe.metrics import Metrics
from proxy.observe.refusals import RecentRefusals
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"
EVIL = "<script>alert('x')</script>"


class Admin:
    """A running admin port with something to show; tests change what it shows."""

    def __init__(self) -> None:
        self.checks = [Check("upstream", ok=True, text="localhost:8500 answers"), Check("serving", ok=True)]
        signature = Signature(
            "serving_default",
            "tensorflow/serving/predict",
            {"x": TensorSpec("x", 1, (-1, 3)), "any": TensorSpec("any", 7, None)},
            {"y": TensorSpec("y", 9, ())},
        )
        self.models = [
            ModelListing(
                "detector",
                (VersionStatus(2, "AVAILABLE"), VersionStatus(1, "END", 11, "Read less bytes")),
                (Servable("detector", 2, {"serving_default": signature}),),
                "enforce",
            )
        ]
        self.refusals = RecentRefusals()
        self.metrics = Metrics(("1.2.3", "3.11", "interpreted"))
        self.settings = [Setting("upstream", "localhost:8500", "flag"), Setting("max_batch", None, "default")]
        self.base = ""
        self.session = aiohttp.ClientSession()

    def sources(self) -> Sources:
        return Sources(lambda: self.checks, lambda: self.models, lambda: self.refusals, lambda: self.settings)

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
        async with self.session.request(method, self.base + path, headers=headers) as response:
            return response.status, await response.text(), dict(response.headers)

    async def json(self, path: str):
        async with self.session.get(self.base + path) as response:
            assert response.content_type == "application/json"
            return await response.json()


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    admin = Admin()
    server = AdminServer(admin.metrics.registry, admin.sources(), version="1.2.3", port=0)
    admin.base = f"http://127.0.0.1:{await server.start()}"
    yield admin
    await admin.session.close()
    await server.stop()


def refuse(admin: Admin, model: str = "detector") -> None:
    violation = Violation(Reason.RANK_MISMATCH, 'inputs["x"]', "input 'x'", "[?,3]", "[3]")
    view = RequestView(ModelKey(model), "", (TensorView("x", 1, (3,)),))
    admin.refusals.call_ended(
        ended(
            PREDICT,
            code=3,
            model=model,
            refusal=Verdict((violation,)),
            request=view,
            text=f"1 problem {model}",
        )
    )


async def test_alive_is_always_ok(admin):
    admin.checks = [Check("upstream", ok=False)]
    assert (await admin.get("/livez"))[:2] == (200, "ok\n")


async def test_ready_when_every_condition_holds(admin):
    assert (await admin.get("/readyz"))[:2] == (200, "ok\n")


async def test_not_ready_names_the_condition_that_fails(admin):
    admin.checks[0] = Check("upstream", ok=False, text="localhost:8500 refuses connections")
    status, text, _ = await admin.get("/readyz")
    assert status == 503
    assert text == "[-]upstream failed: localhost:8500 refuses connections\nnot ready\n"


async def test_verbose_lists_all_conditions(admin):
    admin.checks[1] = Check("serving", ok=False, text="draining")
    status, text, _ = await admin.get("/readyz?verbose")
    assert status == 503
    assert text == "[+]upstream ok: localhost:8500 answers\n[-]serving failed: draining\nnot ready\n"


async def test_metrics_are_prometheus_text(admin):
    admin.metrics.call_started(PREDICT, "unary")
    admin.metrics.call_ended(ended(PREDICT, model="detector", version=2, signature="serving_default"))
    status, text, headers = await admin.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["tfs_proxy_requests"].samples[0].labels["model"] == "detector"
    assert families["tfs_proxy_build_info"].samples[0].labels["version"] == "1.2.3"
    assert "process_resident_memory_bytes" in families


async def test_metrics_are_openmetrics_for_who_asks(admin):
    _, text, headers = await admin.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "tfs_proxy_in_flight" in {family.name for family in parse_openmetrics(text)}


async def test_metrics_can_be_restricted_to_names(admin):
    _, text, _ = await admin.get("/metrics?name[]=tfs_proxy_in_flight")
    assert [family.name for family in text_string_to_metric_families(text)] == ["tfs_proxy_in_flight"]


async def test_concurrent_scrapes_all_get_the_whole_truth(admin):
    answers = await asyncio.gather(*(admin.get("/metrics?name[]=tfs_proxy_in_flight") for _ in range(10)))
    assert {(status, text) for status, text, _ in answers} == {answers[0][:2]}


async def test_models_show_versions_states_and_signatures(admin):
    nothing = {"p50": None, "p99": None, "upstream_p50": None, "upstream_p99": None}
    assert await admin.json("/api/models") == {
        "models": [
            {
                "drifts": [],
                "batch_sizes": {"buckets": []},
                "latency": nothing,
                "name": "detector",
                "mode": "enforce",
                "versions": [
                    {"version": 2, "state": "AVAILABLE", "error": ""},
                    {"version": 1, "state": "END", "error": "Read less bytes"},
                ],
                "signatures": {
                    "2": {
                        "serving_default": {
                            "method": "tensorflow/serving/predict",
                            "inputs": {
                                "any": {"dtype": "string", "shape": None},
                                "x": {"dtype": "float32", "shape": [-1, 3]},
                            },
                            "outputs": {"y": {"dtype": "int64", "shape": []}},
                        }
                    }
                },
            }
        ]
    }


async def test_refusals_are_listed_newest_first(admin):
    refuse(admin, "one")
    refuse(admin, "two")
    listed = (await admin.json("/api/refusals"))["refusals"]
    assert [each["model"] for each in listed] == ["two", "one"]
    assert listed[0]["inputs"] == {"x": "float32[3]"}
    assert listed[0]["violations"][0]["reason"] == "RANK_MISMATCH"


async def test_settings_come_with_their_origin(admin):
    assert await admin.json("/api/config") == {
        "upstream": {"value": "localhost:8500", "origin": "flag"},
        "max_batch": {"value": None, "origin": "default"},
    }


async def test_without_settings_there_is_no_config():
    sources = Sources(lambda: (), lambda: (), lambda: ())
    server = AdminServer(Metrics(("1", "3.11", "interpreted")).registry, sources, version="1", port=0)
    port = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            assert (await session.get("/api/config")).status == 404
            assert "/api/config" not in await (await session.get("/")).text()
    finally:
        await server.stop()


@pytest.mark.parametrize("path", ["/", "/livez", "/metrics", "/api/models", "/nowhere"])
async def test_every_answer_carries_the_security_headers(admin, path):
    _, _, headers = await admin.get(path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "aiohttp" not in headers.get("Server", "").lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(admin, method):
    status, text, headers = await admin.get("/api/models", method)
    assert (status, text) == (405, "405 Method Not Allowed\n")
    assert headers["Allow"] == "GET,HEAD"


async def test_head_is_answered(admin):
    status, text, _ = await admin.get("/livez", "HEAD")
    assert (status, text) == (200, "")


async def test_an_unknown_path_is_not_echoed(admin):
    assert (await admin.get("/%3Cscript%3E"))[:2] == (404, "404 Not Found\n")


async def test_a_taken_port_is_said_in_a_sentence(admin):
    port = int(admin.base.rsplit(":", 1)[1])
    second = AdminServer(admin.metrics.registry, admin.sources(), version="1", port=port)
    with pytest.raises(
        OSError, match=rf"admin address 127\.0\.0\.1:{port} is already in use: .*--admin-listen"
    ) as raised:
        await second.start()
    assert "Errno" not in str(raised.value)
    await second.stop()


async def test_a_foreign_address_is_said_in_a_sentence(admin):
    second = AdminServer(admin.metrics.registry, admin.sources(), version="1", host="192.0.2.1", port=0)
    with pytest.raises(OSError, match="is no address of this machine"):
        await second.start()


async def test_after_stop_the_port_is_free_again(admin):
    server = AdminServer(admin.metrics.registry, admin.sources(), version="1", port=0)
    port = await server.start()
    await server.stop()
    again = AdminServer(admin.metrics.registry, admin.sources(), version="1", port=port)
    assert await again.start() == port
    await again.stop()
