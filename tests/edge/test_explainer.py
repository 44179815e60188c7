"""Errors that the proxy did not make keep code and text, and the proxy says behind them what it knows."""

import asyncio
import contextlib
import json
import urllib.error
import urllib.request

import grpc
import pytest

from tests import odd_servers
from tests.edge.conftest import EDGES, PREDICT, ask, judged, predict
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def
from tests.proxy_process import running_proxy

TRAILER = "tfs-proxy-diagnosis"
MISTYPED = "Expects arg[0] to be float but int64 is provided"


@pytest.fixture(params=EDGES)
async def proxy_to(request):
    """Start a proxy in front of any target."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(target, *flags):
            running = running_proxy("--upstream", target, *EDGES[request.param], *flags)
            proxy = await asyncio.to_thread(running.__enter__)
            stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            return proxy

        yield start


def sentence(answer):
    return dict(answer.trailing).get(TRAILER, "")


async def admin(proxy, path):
    def get():
        with urllib.request.urlopen(f"http://{proxy.admin}{path}", timeout=10) as response:
            return response.read().decode()

    return await asyncio.to_thread(get)


async def deaths(proxy, calls):
    """The deaths of the server once so many calls are told: a client may have its answer before its call is booked."""
    async with asyncio.timeout(10):
        while True:
            found = json.loads(await admin(proxy, "/api/suspects"))["deaths"]
            if sum(each["calls"] for each in found) == calls:
                return found
            await asyncio.sleep(0.01)


async def unready(proxy):
    """What /readyz says while it fails."""

    def get():
        try:
            urllib.request.urlopen(f"http://{proxy.admin}/readyz", timeout=10).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        raise AssertionError("ready")

    return await asyncio.to_thread(get)


async def test_an_answer_of_the_server_keeps_its_code_and_its_text_in_front(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target)
    channel = connect(proxy)
    await judged(proxy, channel)
    serving.fail("Predict", grpc.StatusCode.INVALID_ARGUMENT, MISTYPED)
    answer = await ask(channel, PREDICT, predict())
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith(f"{MISTYPED} [tfs-proxy: arg[0] is input 'x'")
    assert answer.reason == "DTYPE_MISMATCH"
    assert sentence(answer).startswith("DTYPE_MISMATCH: arg[0] is input 'x'")


async def test_nothing_is_explained_by_a_signature_that_the_servers_text_contradicts(
    serving, proxy_to, connect
):
    proxy = await proxy_to(serving.target, "--poll-seconds", "600")
    channel = connect(proxy)
    await judged(proxy, channel)
    serving.swap("m", 2, {"serving_default": signature_def({"renamed": (DT_FLOAT, (-1, 3))})})
    text = "Signature input alias: renamed(feed name: serving_default_renamed:0) not found in request"
    serving.fail("Predict", grpc.StatusCode.INVALID_ARGUMENT, text)
    answer = await ask(channel, PREDICT, predict())
    assert answer.details.startswith(text)
    assert "input 'renamed' is missing" in answer.details
    assert "contradicts the signature known so far (version 1)" in answer.details
    assert "takes 'x'" not in answer.details
    await asyncio.to_thread(proxy.wait_for, "signature_drift")
    answer = await ask(channel, PREDICT, predict())
    assert answer.reason == "INPUT_UNKNOWN"
    assert "version 2 accepts serving_default(renamed: float32[?,3])" in answer.details


async def test_a_version_that_is_gone_is_noticed_by_the_first_who_asks_for_it(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target, "--poll-seconds", "600")
    channel = connect(proxy)
    await judged(proxy, channel)
    serving.models["m"][1].state = "END"
    first = await ask(channel, PREDICT, predict())
    assert first.details.startswith("Servable not found for request: Latest(m)")
    then = await ask(channel, PREDICT, predict())
    assert then.reason == "MODEL_NOT_FOUND"
    assert "all versions unloaded" in then.details


async def test_a_text_that_says_enough_stays_alone(serving, proxy_to, connect):
    text = "Task size 64 is larger than maximum input batch size 32"
    serving.fail("Predict", grpc.StatusCode.INVALID_ARGUMENT, text)
    answer = await ask(connect(await proxy_to(serving.target)), PREDICT, predict())
    assert answer.details == text
    assert "max_batch_size of '32'" in sentence(answer)


async def test_an_error_that_nobody_knows_passes_as_it_is(serving, proxy_to, connect):
    serving.fail("Predict", grpc.StatusCode.DATA_LOSS, "the moon is full")
    answer = await ask(connect(await proxy_to(serving.target)), PREDICT, predict())
    assert (answer.code, answer.details) == (grpc.StatusCode.DATA_LOSS, "the moon is full")
    assert answer.trailing == ()


async def test_diagnosis_can_be_switched_off(serving, proxy_to, connect):
    serving.fail("Predict", grpc.StatusCode.INVALID_ARGUMENT, MISTYPED)
    answer = await ask(connect(await proxy_to(serving.target, "--no-diagnosis")), PREDICT, predict())
    assert (answer.details, answer.trailing) == (MISTYPED, ())


async def test_an_explained_error_is_counted_and_logged(serving, proxy_to, connect):
    serving.fail("Predict", grpc.StatusCode.FAILED_PRECONDITION, "Table not initialized.")
    proxy = await proxy_to(serving.target)
    await ask(connect(proxy), PREDICT, predict())
    line = await asyncio.to_thread(proxy.wait_for, "upstream_error")
    assert line["reason"] == "UPSTREAM_EXPORT_FAULT"
    assert (line["model"], line["inputs"]) == ("m", {"x": "float32[2,3]"})
    expected = 'tfs_proxy_upstream_errors_total{model="m",reason="UPSTREAM_EXPORT_FAULT"} 1.0'
    assert expected in await admin(proxy, "/metrics")


async def test_not_found_of_an_available_model_is_a_contradiction(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target, "--model", "m", "--poll-seconds", "0.05")
    await asyncio.to_thread(proxy.wait_for, "model_versions_changed")
    serving.fail("Predict", grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)")
    answer = await ask(connect(proxy), PREDICT, predict())
    assert answer.code is grpc.StatusCode.NOT_FOUND
    assert answer.reason == "UPSTREAM_CONTRADICTORY"
    assert "two servers may share one port" in answer.details


async def test_a_closed_port_is_named_with_every_address(proxy_to, connect):
    with odd_servers.nobody() as target:
        proxy = await proxy_to(target)
        line = await asyncio.to_thread(proxy.wait_for, "upstream_out_of_reach")
        answer = await ask(connect(proxy), PREDICT, predict())
    assert line["reason"] == answer.reason == "UPSTREAM_UNREACHABLE"
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert f"nothing listens there ({target} refused)" in answer.details


@pytest.mark.parametrize(
    ("talk", "reason", "words"),
    [
        (odd_servers.rest, "UPSTREAM_NOT_GRPC", "speaks TensorFlow Serving's REST interface, not gRPC"),
        (odd_servers.nginx, "UPSTREAM_NOT_GRPC", "speaks HTTP/1, not gRPC"),
        (odd_servers.hanging_up, "UPSTREAM_UNREACHABLE", "closes it at once"),
        (odd_servers.babble, "UPSTREAM_NOT_GRPC", "another service has this port"),
    ],
)
async def test_what_is_not_grpc_is_named(proxy_to, connect, talk, reason, words):
    async with odd_servers.talking(talk) as target:
        proxy = await proxy_to(target)
        await asyncio.to_thread(proxy.wait_for, "upstream_out_of_reach")
        answer = await ask(connect(proxy), PREDICT, predict())
        assert words in await unready(proxy)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    assert words in answer.details


async def test_tls_on_one_side_only_is_named(proxy_to, connect, tmp_path):
    pki = odd_servers.make_pki(tmp_path)
    async with FakeServing(credentials=odd_servers.server_credentials(pki)) as serving:
        proxy = await proxy_to(serving.target)
        await asyncio.to_thread(proxy.wait_for, "upstream_out_of_reach")
        answer = await ask(connect(proxy), PREDICT, predict())
    assert answer.reason == "UPSTREAM_TLS_MISMATCH"
    assert "speaks TLS and is spoken to in plaintext" in answer.details


async def test_a_server_that_is_gone_is_told_from_one_that_never_was(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target)
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    await serving.stop()
    await asyncio.to_thread(proxy.wait_for, "upstream_out_of_reach")
    answer = await ask(connect(proxy), PREDICT, predict())
    assert "the server was there and is gone" in answer.details
    await serving.start()


async def test_what_was_in_flight_when_the_server_died_is_remembered(serving, proxy_to, connect):
    async with odd_servers.Tunnel(serving.target) as tunnel:
        proxy = await proxy_to(tunnel.target)
        channel = connect(proxy)
        with serving.hold("Predict") as hold:
            calls = [
                asyncio.create_task(ask(channel, PREDICT, predict(shape=shape))) for shape in ((2, 3), (5, 3))
            ]
            await hold.arrived(2)
            tunnel.cut()
            answers = await asyncio.gather(*calls)
    assert {(answer.code, answer.reason) for answer in answers} == {
        (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_RESET")
    }
    (death,) = await deaths(proxy, calls=2)
    assert {json.dumps(suspect["inputs"]) for suspect in death["suspects"]} == {
        '{"x": "float32[2,3]"}',
        '{"x": "float32[5,3]"}',
    }
    assert all(suspect["peer"].startswith("ipv4:127.0.0.1:") for suspect in death["suspects"])
    assert "tfs_proxy_upstream_deaths_total 1.0" in await admin(proxy, "/metrics")


async def test_a_deadline_that_passes_while_the_server_works_says_so(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target, "--default-deadline", "0.5")
    channel = connect(proxy)
    await judged(proxy, channel)
    with serving.hold("Predict"):
        answer = await ask(channel, PREDICT, predict(), timeout=None)
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "UPSTREAM_DEADLINE_EXCEEDED",
    )
    assert "over a connection that stands, and gave no answer: executing, as no other call" in answer.details


async def test_a_deadline_that_passes_beside_others_may_be_spent_in_a_queue(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target, "--default-deadline", "1")
    channel = connect(proxy)
    await judged(proxy, channel)
    with serving.hold("Predict"):
        answers = await asyncio.gather(*(ask(channel, PREDICT, predict(), timeout=None) for _ in range(3)))
    assert any("queued behind others or executing: 2 more calls" in answer.details for answer in answers)


async def test_a_deadline_of_the_client_is_explained_in_the_log(serving, proxy_to, connect):
    proxy = await proxy_to(serving.target)
    channel = connect(proxy)
    await judged(proxy, channel)
    with serving.hold("Predict"):
        answer = await ask(channel, PREDICT, predict(), timeout=0.5)
        line = await asyncio.to_thread(proxy.wait_for, "upstream_error")
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert line["reason"] == "UPSTREAM_DEADLINE_EXCEEDED"
    assert "the server had the request for" in line["text"]


async def test_a_deadline_without_a_connection_says_never_connected(proxy_to, connect):
    with odd_servers.full_backlog() as target:
        proxy = await proxy_to(target)
        await asyncio.to_thread(proxy.wait_for, "upstream_out_of_reach")
        answer = await ask(connect(proxy), PREDICT, predict(), timeout=1)
        line = await asyncio.to_thread(proxy.wait_for, "upstream_error")
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert line["text"].startswith("never connected: ")
    assert "packets are dropped on the way" in line["text"]
