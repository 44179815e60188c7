"""Clients that know HTTP/2 and nothing of gRPC work through the proxy: test_script.py has those that know it."""

import base64
import re
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from urllib.parse import unquote

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2
from tests.bench.load import parse_summary
from tests.clients.raw import RawCall, framed
from tests.e2e.conftest import wait_until_ready
from tests.proxy_process import EDGES, running_proxy

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CHECK, WATCH = (f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch"))
SERVING = health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()
INVALID_ARGUMENT = 3
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
PATIENCE = 20.0
HEADERS = ("-H", "content-type: application/grpc", "-H", "te: trailers")


def request(shape):
    """A PredictRequest for `fixed`, which takes x float32 [2,2]."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "fixed"
    message.inputs["x"].CopyFrom(tensor_of(np.ones(shape, np.float32)))
    return message.SerializeToString()


GOOD, BAD = request((2, 2)), request((2, 3))


@dataclass
class Heard:
    """How a call ended for the client; `details` is what `grpc-status-details-bin` held."""

    code: int
    text: str = ""
    message: bytes = b""
    details: bytes = b""


@pytest.fixture(scope="session", params=EDGES)
def proxy(request, dev_server):
    with running_proxy("--upstream", dev_server.target, "--model", "fixed", *EDGES[request.param]) as proxy:
        wait_until_ready(proxy)
        yield proxy


@pytest.fixture(scope="session")
def expected(dev_server):
    """The server's own answer to the good request."""
    with grpc.insecure_channel(dev_server.target, OPTIONS) as channel:
        return channel.unary_unary(PREDICT)(GOOD, timeout=PATIENCE)


@pytest.fixture
def files(tmp_path):
    """Good and bad request for clients that read files; framed, for those that do not know gRPC."""
    for name, message in (("good", GOOD), ("bad", BAD), ("nothing", b"")):
        (tmp_path / name).write_bytes(message)
        (tmp_path / f"{name}.framed").write_bytes(framed(message))
    return tmp_path


def hold(expected, good, bad, health):
    assert (good.code, good.message) == (0, expected), good
    assert bad.code == INVALID_ARGUMENT
    assert "expected [2,2], got [2,3]" in bad.text, bad.text
    status, info = status_pb2.Status.FromString(bad.details), error_details_pb2.ErrorInfo()
    assert (status.code, status.message) == (INVALID_ARGUMENT, bad.text)
    assert any(each.Unpack(info) for each in status.details)
    assert (info.domain, info.reason) == ("tfs-proxy", "SHAPE_MISMATCH")
    assert health == SERVING


def test_h2_by_hand(proxy, expected):
    good, bad = (RawCall(proxy.target, PREDICT, framed(message)) for message in (GOOD, BAD))
    assert (good.body[:5], bad.body) == (framed(expected)[:5], b"")
    watched = RawCall(proxy.target, WATCH, framed(b""), enough=lambda body: len(body) == len(framed(SERVING)))
    hold(
        expected,
        Heard(good.code, message=good.body[5:]),
        Heard(bad.code, bad.text, details=bad.details),
        watched.body[5:],
    )


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        (("--http1.1",), "400", "gRPC over HTTP/2 only"),
        (("--http1.1", "--data", "{}"), "400", "gRPC over HTTP/2 only"),
        (("--http2-prior-knowledge",), "415", "POST with content-type application/grpc"),
    ],
    ids=["GET", "POST", "GET over HTTP/2"],
)
def test_curl_without_grpc_is_told_what_speaks_here(dev_server, how, status, words):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    with running_proxy("--upstream", dev_server.target) as proxy:
        command = (
            "curl",
            "--silent",
            "--include",
            "--noproxy",
            "*",
            *how,
            f"http://{proxy.target}/v1/models/fixed",
        )
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    assert said.split()[1] == status
    assert words in said


def test_nghttp(proxy, expected, files):
    if shutil.which("nghttp") is None:
        pytest.skip("there is no nghttp here")

    def ask(path, name):
        command = ("nghttp", "-d", files / f"{name}.framed", *HEADERS, f"http://{proxy.target}{path}")
        body, talk = (
            subprocess.run((*command, *flags), capture_output=True, timeout=PATIENCE, check=True).stdout
            for flags in ((), ("-nv",))
        )
        fields = dict(re.findall(r"recv \(stream_id=\d+\) (?:\w+: )?([a-z-]+): (.*)", talk.decode()))
        details = fields.get("grpc-status-details-bin", "")
        return Heard(
            int(fields["grpc-status"]),
            unquote(fields.get("grpc-message", "")),
            body[5:],
            base64.b64decode(details + "=" * (-len(details) % 4)),
        )

    hold(expected, ask(PREDICT, "good"), ask(PREDICT, "bad"), ask(CHECK, "nothing").message)


def answered_ok(proxy):
    """How many Predicts the proxy has seen answered with OK."""
    with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=PATIENCE) as response:
        text = response.read().decode()
    found = re.search(
        r'^grpc_server_handled_total\{.*grpc_code="OK".*grpc_method="Predict".*\} (.*)', text, re.MULTILINE
    )
    assert found, text
    return float(found[1])


def test_h2load(proxy, files):
    if shutil.which("h2load") is None:
        pytest.skip("there is no h2load here")
    before = answered_ok(proxy)
    command = ("h2load", "-n", "200", "-c", "4", "-m", "8", "-d", files / "good.framed", *HEADERS)
    done = subprocess.run(
        (*command, f"http://{proxy.target}{PREDICT}"), capture_output=True, text=True, timeout=60, check=True
    )
    summary = parse_summary(done.stdout)
    assert (summary.succeeded, summary.lost) == (200, 0), done.stdout
    # h2load sees HTTP statuses, which are 200 for refused calls too.
    assert answered_ok(proxy) == before + 200
