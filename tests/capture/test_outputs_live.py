"""Outputs of real models, watched through either edge: the client notices nothing, the operator is told."""

import re
import subprocess
import sys
import time
import urllib.request

import grpc
import numpy as np
import pytest

from proxy.core.outputs import FEWEST_DISTINCT
from proxy.wire.protos import predict_pb2
from tests.judging import predict, tensor
from tests.proxy_process import EDGES, running_proxy

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SAMPLE = re.compile(
    r"^(tfs_proxy_output\w+|tfs_proxy_value_check_seconds_count)\{(.*)\} (\S+)$", re.MULTILINE
)
OVERFLOWS = 60_000
"""Twice that is no float16."""


def halves(*values, rows=1):
    """A request for `half`, which doubles: the last value fills what is left of its `rows` of four."""
    array = np.full(4 * rows, values[-1], "<f2")
    array[: len(values)] = values
    return predict("half", x=tensor("float16", (rows, 4), tensor_content=array.tobytes()))


def metrics(proxy):
    """Values by name and labels, of the metrics that are about values."""
    with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=10) as answer:
        found = SAMPLE.findall(answer.read().decode())
    return {(name, *sorted(re.findall(r'"([^"]*)"', labels))): float(value) for name, labels, value in found}


@pytest.fixture(params=EDGES)
def watched(request, dev_server):
    """A proxy that looks at every answer, and what asks through it."""
    flags = ("--upstream", dev_server.target, "--output-sample", "100%", *EDGES[request.param])
    with running_proxy(*flags) as proxy, grpc.insecure_channel(proxy.target) as channel:
        stub = channel.unary_unary(PREDICT, response_deserializer=predict_pb2.PredictResponse.FromString)

        def ask(message):
            response, call = stub.with_call(message.SerializeToString(), timeout=30)
            assert [key for key, _ in call.trailing_metadata() if key.startswith("tfs-proxy")] == []
            return response

        yield proxy, ask


def test_a_nan_that_goes_in_and_comes_out_is_told_as_the_clients(watched):
    proxy, ask = watched
    assert np.isnan(np.frombuffer(ask(halves(float("nan"))).outputs["y"].tensor_content, "<f2")).all()
    line = proxy.wait_for("output_suspect")
    assert (line["kind"], line["model"], line["signature"]) == ("not_finite", "half", "serving_default")
    assert "in output 'y', and in input 'x': mend the client" in line["text"]
    assert metrics(proxy)["tfs_proxy_output_findings_total", "half", "not_finite", "serving_default"] == 1


def test_a_model_that_saturates_is_told_once_different_inputs_had_one_answer(watched):
    proxy, ask = watched
    for number in range(FEWEST_DISTINCT):
        ask(halves(OVERFLOWS - 100 * number))
        ask(halves(OVERFLOWS))  # a client that repeats itself is no reason
    proxy.stop()  # what waits is looked at first
    told = {line["kind"]: line["text"] for line in proxy.log if line["event"] == "output_suspect"}
    assert "though the inputs are finite" in told["not_finite"]
    assert f"at least {FEWEST_DISTINCT} different inputs in a row" in told["identical"]


def test_one_infinity_in_a_large_answer_is_found(watched):
    proxy, ask = watched
    ask(halves(OVERFLOWS, 1, rows=50_000))
    assert proxy.wait_for("output_suspect")["kind"] == "not_finite"
    assert metrics(proxy)["tfs_proxy_outputs_checked_total", "checked"] == 1


def test_good_outputs_are_checked_without_a_word(watched):
    proxy, ask = watched
    for number in range(FEWEST_DISTINCT + 4):
        ask(halves(number))
    ask(halves(float("inf")))  # the last: whatever came before has been looked at when this is told
    proxy.wait_for("output_suspect")
    found = metrics(proxy)
    assert found["tfs_proxy_outputs_checked_total", "checked"] == FEWEST_DISTINCT + 5
    assert found["tfs_proxy_outputs_checked_total", "dropped"] == 0
    assert {key: value for key, value in found.items() if "findings" in key[0]} == {
        ("tfs_proxy_output_findings_total", "half", "not_finite", "serving_default"): 1,
        ("tfs_proxy_output_findings_total", "half", "identical", "serving_default"): 0,
    }


@pytest.mark.parametrize("edge", EDGES)
def test_no_answer_is_looked_at_unless_asked_for_and_value_checks_show_their_cost(edge, dev_server):
    flags = ("--upstream", dev_server.target, "--severity", "VALUE_NOT_FINITE=refuse", *EDGES[edge])
    with running_proxy(*flags) as proxy, grpc.insecure_channel(proxy.target) as channel:
        ask = channel.unary_unary(PREDICT)
        ask(halves(OVERFLOWS).SerializeToString(), timeout=30)
        with pytest.raises(grpc.RpcError) as refused:
            ask(halves(float("nan")).SerializeToString(), timeout=30)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        # A call is counted once its answer has left.
        counted = {("tfs_proxy_value_check_seconds_count", "half"): 2}
        end = time.monotonic() + 10
        while (found := metrics(proxy)) != counted and time.monotonic() < end:
            pass
        assert found == counted


@pytest.mark.parametrize("flags", [("--output-sample", "1%"), ("--severity", "VALUE_NOT_FINITE=warn")])
def test_without_numpy_it_does_not_start_and_says_what_to_install(flags):
    code = "import sys; sys.modules['numpy'] = None; from proxy.cli import main; main()"
    ports = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", *ports, *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr == "Error: looking at values needs numpy: pip install 'tfs-proxy[values]'\n"
