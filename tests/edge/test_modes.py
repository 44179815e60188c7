"""Modes and severities keep their word about calls that are about no model, on either edge."""

import asyncio
import urllib.request

import grpc
import pytest

from proxy.wire.protos import predict_pb2
from tests.edge.conftest import PREDICT, ask, predict

MODEL_SERVICE = "/tensorflow.serving.ModelService"
PROFILER = "/tensorflow.ProfilerService"
FORBIDDEN = [
    (f"{MODEL_SERVICE}/HandleReloadConfigRequest", "METHOD_FORBIDDEN"),
    (f"{PROFILER}/Profile", "PROFILER_FORBIDDEN"),
    (f"{PROFILER}/Monitor", "PROFILER_FORBIDDEN"),
    (f"{PROFILER}/Terminate", "PROFILER_FORBIDDEN"),
]
forbidden = pytest.mark.parametrize(("method", "reason"), FORBIDDEN)


def name_of(method: str) -> str:
    return method.rpartition("/")[2]


async def counted(proxy, metric: str, reason: str) -> float:
    """What a counter has under a reason, over all models."""
    with await asyncio.to_thread(urllib.request.urlopen, f"http://{proxy.admin}/metrics") as page:
        lines = page.read().decode().splitlines()
    mine = [
        line for line in lines if line.startswith(f"tfs_proxy_{metric}_total{{") and f'"{reason}"' in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in mine)


@forbidden
async def test_enforce_refuses_with_the_words_of_the_reason(start_proxy, connect, serving, method, reason):
    proxy = await start_proxy()
    answer = await ask(connect(proxy), method, b"")
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)
    assert ("change the server" in answer.details) == (reason == "METHOD_FORBIDDEN")
    assert ("profiler" in answer.details) == (reason == "PROFILER_FORBIDDEN")
    assert serving.calls[name_of(method)] == 0


@forbidden
async def test_observe_forwards_and_counts(start_proxy, connect, serving, method, reason):
    proxy = await start_proxy("--mode", "observe")
    answer = await ask(connect(proxy), method, b"")
    assert (answer.code, answer.response, answer.trailing) == (grpc.StatusCode.OK, b"", ())
    assert serving.calls[name_of(method)] == 1
    told = await asyncio.to_thread(proxy.wait_for, "request_would_be_refused")
    assert (told["reason"], told["method"]) == (reason, method)
    assert await counted(proxy, "would_refuse", reason) == 1
    assert await counted(proxy, "refusals", reason) == 0


@forbidden
@pytest.mark.parametrize(
    "flags", [("--mode", "off"), ("--allow-admin-methods",), ("--severity", "{reason}=off")], ids="_".join
)
async def test_off_and_what_is_allowed_is_only_relayed(start_proxy, connect, serving, method, reason, flags):
    proxy = await start_proxy("--access-log", *(flag.format(reason=reason) for flag in flags))
    answer = await ask(connect(proxy), method, b"")
    assert (answer.code, answer.trailing) == (grpc.StatusCode.OK, ())
    assert serving.calls[name_of(method)] == 1
    await asyncio.to_thread(proxy.wait_for, "call")
    for metric in ("refusals", "would_refuse", "warnings"):
        assert await counted(proxy, metric, reason) == 0
    assert not [line for line in proxy.log if line.get("reason")]


@forbidden
async def test_a_warning_forwards_and_tells_client_and_metrics(start_proxy, connect, serving, method, reason):
    proxy = await start_proxy("--severity", f"{reason}=warn")
    answer = await ask(connect(proxy), method, b"")
    assert answer.code is grpc.StatusCode.OK
    assert serving.calls[name_of(method)] == 1
    ((key, value),) = answer.trailing
    assert (key, value.partition(":")[0]) == ("tfs-proxy-warning", reason)
    assert (await asyncio.to_thread(proxy.wait_for, "request_warned"))["reason"] == reason
    assert await counted(proxy, "warnings", reason) == 1


async def test_a_severity_says_more_than_allow_admin_methods(start_proxy, connect, serving):
    channel = connect(await start_proxy("--allow-admin-methods", "--severity", "PROFILER_FORBIDDEN=refuse"))
    codes = [(await ask(channel, method, b"")).code for method, _ in FORBIDDEN[:2]]
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED]


async def test_the_mode_of_one_model_is_not_that_of_calls_about_none(start_proxy, connect, serving, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("mode: observe\nmodels: {m: {mode: enforce}}\n")
    channel = connect(await start_proxy("--config", str(settings)))
    assert (await ask(channel, FORBIDDEN[0][0], b"")).code is grpc.StatusCode.OK


@pytest.mark.parametrize(("mode", "calls"), [("enforce", "refusals"), ("observe", "would_refuse")])
async def test_a_request_with_three_violations_is_one_call_and_three_violations(
    start_proxy, connect, serving, mode, calls
):
    proxy = await start_proxy("--mode", mode)
    channel = connect(proxy)
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    request = predict_pb2.PredictRequest.FromString(predict(shape=(3,)))
    request.inputs["x"].dtype = 9  # int64
    await ask(channel, PREDICT, request.SerializeToString())
    event = "request_refused" if mode == "enforce" else "request_would_be_refused"
    reasons = (await asyncio.to_thread(proxy.wait_for, event))["reasons"]
    assert reasons == ["DTYPE_MISMATCH", "PAYLOAD_LENGTH_MISMATCH", "RANK_MISMATCH"]
    assert [await counted(proxy, "violations", reason) for reason in reasons] == [1, 1, 1]
    assert sum([await counted(proxy, calls, reason) for reason in reasons]) == 1


@pytest.mark.parametrize(
    ("spec", "reason"), [(b"", "MODEL_SPEC_MISSING"), (b"\x0a\x00", "MODEL_NAME_MISSING")]
)
async def test_a_warning_about_a_request_that_names_no_model_is_told(
    start_proxy, connect, serving, spec, reason
):
    proxy = await start_proxy("--severity", f"{reason}=warn")
    answer = await ask(connect(proxy), PREDICT, spec)
    assert answer.code is grpc.StatusCode.NOT_FOUND  # the fake server's word
    assert [value.partition(":")[0] for key, value in answer.trailing if key == "tfs-proxy-warning"] == [
        reason
    ]
    await asyncio.to_thread(proxy.wait_for, "request_warned")
    assert await counted(proxy, "warnings", reason) == 1
