"""Traces as a collector gets them, of calls through a real proxy with each edge."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.edge.conftest import PREDICT, ask, judged, predict
from tests.fake_serving import FakeServing
from tests.proxy_process import EDGES, ROOT, ProxyProcess, running_proxy

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
NAME = PREDICT.removeprefix("/")
SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
CLIENT, SERVER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER
ERROR = 2
FREE_PORTS = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
in_module = pytest.mark.asyncio(loop_scope="module")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes what is sent to it by OTLP; spans by the `tfs_proxy.request_id` of their call's trace."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self._told = asyncio.Condition()

    async def Export(self, request, _context):  # noqa: N802
        async with self._told:
            for resource in request.resource_spans:
                self.resources.append(attributes(resource.resource))
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self._told.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    async def of(self, request_id: str, count: int = 2) -> dict[int, Span]:
        """The spans of the call with this id, by kind, once there are so many."""

        def found() -> dict[int, Span]:
            traces = {
                s.trace_id for s in self.spans if attributes(s).get("tfs_proxy.request_id") == request_id
            }
            return {span.kind: span for span in self.spans if span.trace_id in traces}

        async with asyncio.timeout(10), self._told:
            await self._told.wait_for(lambda: len(found()) >= count)
        return found()


def attributes(carrier: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in carrier.attributes}


class Serving(FakeServing):
    """Keeps the metadata of the last Predict."""

    metadata: tuple[tuple[str, str], ...] = ()

    def service(self, details):
        if details.method == PREDICT:
            self.metadata = tuple((key, value) for key, value in details.invocation_metadata)
        return super().service(details)

    @property
    def parent(self) -> list[str]:
        return [value for key, value in self.metadata if key == "traceparent"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector, f"http://127.0.0.1:{port}"
    await server.stop(None)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=EDGES)
async def traced(request: pytest.FixtureRequest, collector):
    """A channel to a proxy that traces, the server behind it, and what is collected."""
    found, endpoint = collector
    found.spans.clear()
    async with Serving() as serving:
        serving.load("m")
        flags = ("--upstream", serving.target, "--otlp-endpoint", endpoint, *EDGES[request.param])
        with running_proxy(*flags, env=QUICK) as proxy:
            async with grpc.aio.insecure_channel(proxy.target) as channel:
                await judged(proxy, channel)
                yield channel, serving, found


@in_module
async def test_a_call_is_a_span_and_what_the_server_is_asked_one_in_it(traced):
    channel, serving, collected = traced
    await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "good"),))
    spans = await collected.of("good")
    call, question = spans[SERVER], spans[CLIENT]
    assert (call.name, question.name) == (NAME, NAME)
    assert not call.parent_span_id
    assert question.parent_span_id == call.span_id
    (parent,) = serving.parent
    version, trace, span, flags = parent.split("-")
    assert (version, trace, span) == ("00", call.trace_id.hex(), question.span_id.hex())
    assert int(flags, 16) & 1
    told = attributes(call)
    assert told.pop("user_agent.original").startswith("grpc-python-asyncio/")
    assert told.pop("network.peer.port") > 0
    assert told == {
        "rpc.system.name": "grpc",
        "rpc.method": NAME,
        "rpc.response.status_code": "OK",
        "network.peer.address": "127.0.0.1",
        "tfs_proxy.model": "m",
        "tfs_proxy.version": 1,
        "tfs_proxy.signature": "serving_default",
        "tfs_proxy.request_id": "good",
    }
    host, _, port = serving.target.rpartition(":")
    assert attributes(question) == {
        "rpc.system.name": "grpc",
        "rpc.method": NAME,
        "rpc.response.status_code": "OK",
        "server.address": host,
        "server.port": int(port),
    }
    times = (
        call.start_time_unix_nano,
        question.start_time_unix_nano,
        question.end_time_unix_nano,
        call.end_time_unix_nano,
    )
    assert list(times) == sorted(times)
    assert times[0] < times[-1]
    assert not call.status.code
    (resource, *_) = collected.resources
    assert (resource["service.name"], bool(resource["service.version"])) == ("tfs-proxy", True)


@in_module
async def test_a_call_is_a_part_of_its_clients_trace(traced):
    channel, serving, collected = traced
    sent = (("traceparent", SAMPLED), ("tracestate", "a=1,b=2"), ("x-request-id", "part"))
    await ask(channel, PREDICT, predict(), metadata=sent)
    spans = await collected.of("part")
    assert {span.trace_id.hex() for span in spans.values()} == {SAMPLED.split("-")[1]}
    assert spans[SERVER].parent_span_id.hex() == SAMPLED.split("-")[2]
    (parent,) = serving.parent
    assert parent.split("-")[:3] == ["00", SAMPLED.split("-")[1], spans[CLIENT].span_id.hex()]
    assert ("tracestate", "a=1,b=2") in serving.metadata


@in_module
async def test_what_the_client_decided_not_to_trace_is_not_and_stays_in_its_trace(traced):
    channel, serving, collected = traced
    sent = (("traceparent", NOT_SAMPLED), ("x-request-id", "not-sampled"))
    await ask(channel, PREDICT, predict(), metadata=sent)
    (parent,) = serving.parent
    version, trace, _, flags = parent.split("-")
    assert (version, trace, int(flags, 16) & 1) == ("00", NOT_SAMPLED.split("-")[1], 0)
    await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "after-it"),))
    await collected.of("after-it")
    assert not [each for each in collected.spans if each.trace_id.hex() == trace]


@in_module
@pytest.mark.parametrize(
    "parent",
    [
        *("nothing", SAMPLED.upper(), f"{SAMPLED}-more", "00-" + "0" * 32 + SAMPLED[35:]),
        f"cc{SAMPLED[2:]}-{'x' * 300}",
    ],
)
async def test_of_a_trace_that_cannot_be_read_nothing_is_passed_on(traced, parent: str):
    channel, serving, collected = traced
    request_id = f"unreadable-{len(collected.spans)}"
    sent = (("traceparent", parent), ("tracestate", "a=1"), ("x-request-id", request_id))
    await ask(channel, PREDICT, predict(), metadata=sent)
    spans = await collected.of(request_id)
    (passed,) = serving.parent
    assert passed.split("-")[1:3] == [spans[CLIENT].trace_id.hex(), spans[CLIENT].span_id.hex()]
    assert "tracestate" not in dict(serving.metadata)


@in_module
async def test_a_refusal_is_a_span_with_its_reason_and_no_question(traced):
    channel, _, collected = traced
    answer = await ask(channel, PREDICT, predict(shape=(3,)), metadata=(("x-request-id", "refused"),))
    assert answer.reason == "RANK_MISMATCH"
    spans = await collected.of("refused", 1)
    assert set(spans) == {SERVER}
    told = attributes(spans[SERVER])
    assert told["tfs_proxy.reason"] == "RANK_MISMATCH"
    assert told["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert told["tfs_proxy.model"] == "m"
    assert spans[SERVER].status.code != ERROR, "the client's fault, not the server's"


@in_module
async def test_an_error_of_the_server_is_an_error_of_both_spans_with_what_it_means(traced):
    channel, serving, collected = traced
    serving.fail("Predict", grpc.StatusCode.INTERNAL, "OOM when allocating tensor with shape[1] secret 17")
    try:
        await ask(channel, PREDICT, predict(), metadata=(("x-request-id", "failed"),))
    finally:
        serving.mend("Predict")
    spans = await collected.of("failed")
    for span in spans.values():
        told = attributes(span)
        assert (told["error.type"], told["rpc.response.status_code"]) == ("INTERNAL", "INTERNAL")
        assert span.status.code == ERROR
        assert "secret" not in str(span), "texts of the server are none of the collector's"
    assert attributes(spans[SERVER])["tfs_proxy.reason"] == "UPSTREAM_OUT_OF_MEMORY"


@in_module
async def test_a_method_that_nobody_knows_gives_a_span_no_name(traced):
    channel, _, collected = traced
    await ask(channel, "/some.Service/Any", b"", metadata=(("x-request-id", "unknown"),))
    call = (await collected.of("unknown"))[SERVER]
    told = attributes(call)
    assert (call.name, told["rpc.method"], told["rpc.method_original"]) == (
        "grpc",
        "_OTHER",
        "some.Service/Any",
    )


@in_module
async def test_neither_values_nor_other_metadata_are_in_a_span(traced):
    channel, _, collected = traced
    sent = (("authorization", "Bearer hidden-1"), ("x-more", "hidden-2"), ("x-request-id", "hiding"))
    await ask(channel, PREDICT, predict(), metadata=sent)
    assert "hidden" not in str(await collected.of("hiding"))


@in_module
async def test_a_call_without_an_id_has_that_of_its_trace(traced):
    channel, _, collected = traced
    answer = await ask(channel, PREDICT, predict(alias="X"))
    request_id = dict(answer.trailing)["x-request-id"]
    (call,) = (await collected.of(request_id, 1)).values()
    assert call.trace_id.hex() == request_id


# === how many, and whether they get there ===


async def one_of_each(collector, *flags: str, **env: str) -> tuple[Collector, ProxyProcess]:
    """What is collected of 30 calls, and the proxy that had them, which has stopped."""
    found, endpoint = collector
    found.spans.clear()
    async with FakeServing() as serving:
        serving.load("m")
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **env}
        with running_proxy("--upstream", serving.target, *flags, env=told) as proxy:
            async with grpc.aio.insecure_channel(proxy.target) as channel:
                for number in range(30):
                    await ask(channel, PREDICT, predict(), metadata=(("x-request-id", f"one-{number}"),))
            await asyncio.to_thread(proxy.stop)
    return found, proxy


@in_module
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_waits_is_sent_before_the_proxy_is_gone(collector, workers: str):
    found, _ = await one_of_each(
        collector, "--tracing", "--workers", workers, OTEL_BSP_SCHEDULE_DELAY="60000"
    )
    assert {attributes(span).get("tfs_proxy.request_id") for span in found.spans} >= {
        f"one-{n}" for n in range(30)
    }


@in_module
async def test_a_part_of_the_calls_is_traced(collector):
    found, _ = await one_of_each(collector, "--tracing", "--trace-sample", "0.3")
    assert 0 < len([span for span in found.spans if span.kind == SERVER]) < 25


@in_module
async def test_the_variables_of_opentelemetry_hold_where_no_flag_does(collector):
    names = {"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "always_off"}
    found, _ = await one_of_each(collector, "--tracing", **names)
    assert found.spans == []
    found.resources.clear()
    found, _ = await one_of_each(collector, "--tracing", "--trace-sample", "1", **names)
    assert {each["service.name"] for each in found.resources} == {"mine"}


@in_module
@pytest.mark.parametrize("edge", EDGES)
async def test_without_a_collector_calls_are_served_and_the_log_says_it_once(edge: str):
    # In a second as many spans are lost as otherwise in minutes.
    lost = {"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1", "OTEL_BSP_MAX_QUEUE_SIZE": "20",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5"}  # fmt: skip
    async with FakeServing() as serving:
        serving.load("m")
        flags = ("--upstream", serving.target, "--otlp-endpoint", "http://127.0.0.1:1", *EDGES[edge])
        with running_proxy(*flags, env=lost) as proxy:
            async with grpc.aio.insecure_channel(proxy.target) as channel:
                await asyncio.to_thread(proxy.wait_for, "upstream_up")
                for _ in range(10):
                    answers = await asyncio.gather(*(ask(channel, PREDICT, predict()) for _ in range(20)))
                    assert {each.code for each in answers} == {grpc.StatusCode.OK}
                await asyncio.to_thread(proxy.wait_for, "traces_lost")
                answers = await asyncio.gather(*(ask(channel, PREDICT, predict()) for _ in range(200)))
                assert {each.code for each in answers} == {grpc.StatusCode.OK}
            await asyncio.to_thread(proxy.stop)
    (line,) = [line for line in proxy.log if "traces" in line["event"]]
    assert "127.0.0.1:1" in line["error"]
    assert {line["event"] for line in proxy.log} <= {"serving", "upstream_up", "model_versions_changed", "traces_lost", "draining", "stopped"}  # fmt: skip


@in_module
async def test_a_collector_that_never_answers_does_not_keep_the_proxy():
    with socket.create_server(("127.0.0.1", 0)) as listening:  # whose connections nobody takes
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with FakeServing() as serving:
            serving.load("m")
            with running_proxy("--upstream", serving.target, "--otlp-endpoint", endpoint) as proxy:
                async with grpc.aio.insecure_channel(proxy.target) as channel:
                    await ask(channel, PREDICT, predict())
                async with asyncio.timeout(10):
                    assert await asyncio.to_thread(proxy.stop) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_variable_that_cannot_be_used_is_told_at_the_start(workers: str):
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--tracing", "--workers", workers, *FREE_PORTS],
        env=os.environ | {"OTEL_EXPORTER_OTLP_COMPRESSION": "lzma"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert 'Invalid value "lzma"' in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_the_start_says_what_to_install():
    hide = (
        "import sys; sys.modules['opentelemetry'] = None; from proxy.cli import main; "
        f"sys.argv = ['tfs-proxy', 'serve', '--tracing', *{FREE_PORTS}]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert re.search(r"pip install '?tfs-proxy\[tracing\]", done.stderr)
    assert "Traceback" not in done.stderr
