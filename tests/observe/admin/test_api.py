"""What programs ask of the admin port: one live proxy, whose answers are held against the API's own description."""

import asyncio
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime

import grpc
import jsonschema
import pytest
from aiohttp import web
from openapi_spec_validator import validate

from proxy.observe.admin.api import openapi
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.views import Setting, Sources
from proxy.observe.metrics import Metrics
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import DT_FLOAT, signature_def
from tests.live_proxy import Live, live_proxy

DOCUMENT = openapi()


def schema_of(path: str, status: str = "200", kind: str = "application/json") -> dict:
    """The schema of an answer, with what it refers to."""
    answer = DOCUMENT["paths"][path]["get"]["responses"][status]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return answer["content"][kind]["schema"] | {"components": DOCUMENT["components"]}


def check(value: object, schema: dict) -> None:
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(value)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_proxy() as live:
        yield live


def get(live: Live, path: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(f"http://{live.admin}{path}", timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def answer(live: Live, path: str) -> dict:
    status, found = get(live, path)
    assert status == 200, found
    return found


# === the description ===


def test_the_description_is_sound_openapi():
    validate(DOCUMENT)


async def test_every_route_of_the_api_is_described_and_every_described_one_is_there():
    sources = Sources(tuple, tuple, tuple, lambda: [Setting("a", 1, "flag")], workers=tuple)
    app: web.Application = AdminServer(
        Metrics(("1", "3", "interpreted")).registry, sources, version="1", port=0
    )._runner.app
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource.canonical.startswith("/api") and route.method != "HEAD"
    }
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert routes == described


def test_every_parameter_that_is_described_is_taken(live):
    values = {
        "model": "m",
        "minutes": "5",
        "reason": "RANK_MISMATCH",
        "kind": "refusal",
        "client": "127",
        "since": "60",
        "limit": "3",
    }
    for path, methods in DOCUMENT["paths"].items():
        for parameter in methods["get"].get("parameters", []):
            if parameter["in"] == "query":
                name = parameter["name"]
                assert get(live, f"{path}?{name}={values[name]}")[0] == 200, (path, name)


@pytest.mark.parametrize(
    "path",
    [
        "/api/status",
        "/api/history",
        "/api/problems",
        "/api/models",
        "/api/refusals",
        "/api/suspects",
        "/api/config",
    ],
)
def test_what_a_running_proxy_answers_is_what_is_described(live, path):
    check(answer(live, path), schema_of(path))


def test_a_running_proxy_answers_with_the_description(live):
    assert answer(live, "/api/openapi.json") == DOCUMENT


# === problems ===


def test_problems_are_one_for_each_mistake_with_how_often_it_came(live):
    found = answer(live, "/api/problems")
    assert found["total"] == len(found["problems"]) == 3
    counts = {each["reason"]: each["count"] for each in found["problems"]}
    assert counts == {"RANK_MISMATCH": 2, "MODEL_NOT_FOUND": 1, "REQUEST_MALFORMED": 1}
    (rank,) = [each for each in found["problems"] if each["reason"] == "RANK_MISMATCH"]
    assert (rank["model"], rank["code"], rank["expected"]) == ("m", "INVALID_ARGUMENT", "rank 2 [?,3]")
    assert rank["examples"][0]["inputs"] == {"x": "float32[3]"}
    assert rank["senders"][0]["count"] == 2


def test_a_problem_has_an_address_of_its_own(live):
    problem = answer(live, "/api/problems")["problems"][0]
    found = answer(live, f"/api/problems/{problem['id']}")
    check(found, schema_of("/api/problems/{id}"))
    assert found["id"] == problem["id"]
    status, found = get(live, "/api/problems/000000000000")
    assert status == 404
    check(found, schema_of("/api/problems/{id}", "404"))


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        ("model=m", {"RANK_MISMATCH"}),
        ("model=nobody", {"MODEL_NOT_FOUND"}),
        ("reason=REQUEST_MALFORMED", {"REQUEST_MALFORMED"}),
        ("kind=warning", set()),
        ("kind=refusal&model=m", {"RANK_MISMATCH"}),
        ("client=10.9.8.7", set()),
        ("model=m&client=127.0.0", {"RANK_MISMATCH"}),
        ("model=m&since=3600", {"RANK_MISMATCH"}),
        ("since=2100-01-01T00:00:00Z", set()),
        ("model=m&since=2020-01-01T00:00:00+01:00", {"RANK_MISMATCH"}),
        ("model=m&since=&limit=", {"RANK_MISMATCH"}),
    ],
)
def test_filters_say_which_problems_are_told(live, query, reasons):
    assert {each["reason"] for each in answer(live, f"/api/problems?{query}")["problems"]} == reasons


def test_a_limit_bounds_the_list_and_not_the_total(live):
    found = answer(live, "/api/problems?limit=1")
    assert (found["total"], len(found["problems"])) == (3, 1)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/problems?limit=0", "limit"),
        ("/api/problems?limit=-1", "limit"),
        ("/api/problems?limit=1e3", "limit"),
        ("/api/problems?limit=99999999999999999999", "limit"),
        ("/api/problems?limit=%C2%B2", "limit"),
        ("/api/problems?kind=mistake", "kind"),
        ("/api/problems?reason=RANK", "reason"),
        ("/api/problems?since=yesterday", "since"),
        ("/api/problems?since=-5", "since"),
        ("/api/problems?since=1e400", "since"),
        ("/api/problems?since=99999999999999", "since"),
        ("/api/problems?model=m&model=n", "model"),
        (f"/api/problems?client={'x' * 201}", "client"),
        ("/api/history?minutes=61", "minutes"),
        ("/api/history?minutes=", ""),
        ("/api/history?model=%00&minutes=x", "minutes"),
        ("/api/problems?modle=m", "parameter"),
        ("/api/status?model=m", "parameter"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_by_the_name_of_its_parameter(live, path, name):
    status, found = get(live, path)
    if not name:
        assert status == 200
        return
    assert status == 400
    check(found, schema_of(path.partition("?")[0], "400"))
    assert name in found["error"].split()
    value = urllib.parse.unquote(path.rpartition("=")[2])
    assert value not in found["error"] or len(value) < 3


# === status and curves ===


def test_the_status_says_what_runs_and_how_it_stands(live):
    found = answer(live, "/api/status")
    assert (found["state"], found["edge"], found["log_level"], found["workers"]) == (
        "ready",
        "native",
        "info",
        None,
    )
    assert found["listen"] == live.proxy.target
    (upstream,) = found["upstreams"]
    assert (upstream["address"], upstream["state"]) == (live.serving.target, "up")
    assert datetime.fromisoformat(upstream["since"]) >= datetime.fromisoformat(found["started"])
    assert {each["name"]: each["limit"] for each in found["bounds"]}.keys() == {
        "connections",
        "inflight_bytes",
    }
    assert found["counts"]["requests"] >= 7
    assert found["counts"]["refused"] >= 4
    assert found["capture"] == {"on": False, "paused": False, "counts": {}}


def test_the_curves_are_those_of_the_model_that_is_asked_for(live):
    found = answer(live, "/api/history?model=absent&minutes=1")
    assert found["model"] == "absent"
    assert all(point["requests"] == 0 for point in found["points"])
    assert answer(live, "/api/history")["model"] is None


# === models ===


def test_models_tell_batch_sizes_and_who_is_affected_by_a_change(live):
    (model,) = answer(live, "/api/models")["models"]
    assert model["drifts"] == []
    assert sum(count for _, count in model["batch_sizes"]["buckets"]) == 3
    assert model["batch_sizes"]["buckets"][-1][0] is None

    async def change() -> None:
        live.serving.swap("m", 2, {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 5))})})
        await asyncio.to_thread(live.proxy.wait_for, "signature_drift")
        async with grpc.aio.insecure_channel(live.proxy.target) as channel:
            assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.INVALID_ARGUMENT

    live.do(change())
    found = answer(live, "/api/models")
    check(found, schema_of("/api/models"))
    (drift, *_) = found["models"][0]["drifts"]
    assert (drift["from_version"], drift["to_version"], drift["breaking"]) == (1, 2, True)
    assert drift["changes"] == ["serving_default input 'x': shape changed [?,3] -> [?,5]"]
    (affected,) = drift["affected"]
    assert re.fullmatch(r"ipv4:127\.0\.0\.1", affected["peer"])
    assert affected["count"] == 1
