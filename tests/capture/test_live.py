"""Captures of live traffic, through either edge, are warm-up files for TensorFlow and TF Serving."""

import json
import re
import shutil
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest

from proxy.wire.prediction_log import logged_request
from proxy.wire.protos import classification_pb2, predict_pb2
from proxy.wire.tfrecord import read_records
from tests.proxy_process import running_proxy

ROOT = Path(__file__).parents[2]
PREDICT = "/tensorflow.serving.PredictionService/Predict"
READ_WITH_TENSORFLOW = """
import json, sys
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
texts = []
for record in tf.compat.v1.io.tf_record_iterator(sys.argv[1]):
    log = prediction_log_pb2.PredictionLog.FromString(record)
    texts.append(tf.make_ndarray(log.predict_log.request.inputs["text"]).tolist()[0].decode())
print(json.dumps(texts))
"""


def request_of(text: bytes, *, ids=(1, 2, 3, 4), model="two") -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    words = request.inputs["text"]
    words.dtype = 7
    words.tensor_shape.dim.add(size=1)
    words.string_val.append(text)
    numbers = request.inputs["ids"]
    numbers.dtype = 9
    for size in (1, len(ids)):
        numbers.tensor_shape.dim.add(size=size)
    numbers.int64_val.extend(ids)
    return request.SerializeToString()


def call(channel, message: bytes, method=PREDICT) -> str:
    try:
        channel.unary_unary(method)(message, timeout=30)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def requests_in(path: Path) -> list[predict_pb2.PredictRequest]:
    with path.open("rb") as file:
        logged = [logged_request(record) for record in read_records(file)]
    assert {each.kind for each in logged} <= {"predict_log"}
    return [predict_pb2.PredictRequest.FromString(each.request) for each in logged]


def texts_in(path: Path) -> list[str]:
    return [request.inputs["text"].string_val[0].decode() for request in requests_in(path)]


@pytest.fixture(params=["grpcio", "native"])
def edge(request):
    return request.param


def test_a_capture_is_a_warm_up_file(edge, dev_server, models_dir, start_dev_server, tmp_path):
    folder = tmp_path / "captures"
    flags = ("--upstream", dev_server.target, "--edge", edge, "--capture", str(folder))
    with running_proxy(*flags, "--capture-sample", "100%", "--capture-model", "two") as proxy:
        with grpc.insecure_channel(proxy.target) as channel:
            for number in range(20):
                assert call(channel, request_of(b"number %d" % number)) == "OK"
            assert call(channel, request_of(b"a secret", ids=(1, 2, 3))) == "INVALID_ARGUMENT"
            assert call(channel, request_of(b"a secret", model="nobody")) == "NOT_FOUND"
            assert proxy.wait_for("capturing")["share"] == 1
            scalar = predict_pb2.PredictRequest()
            scalar.model_spec.name = "scalar"
            scalar.inputs["x"].dtype = 1
            scalar.inputs["x"].float_val.append(1)
            assert call(channel, scalar.SerializeToString()) == "OK"
        with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=10) as answer:
            assert b'tfs_proxy_captured_total{result="dropped"} 0' in answer.read()
    requests, refusals = folder / "two.000001.tfrecord", folder / "refused.000001.jsonl"
    assert sorted(folder.iterdir()) == [refusals, requests]
    assert texts_in(requests) == [f"number {number}" for number in range(20)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}

    (line,) = refusals.read_text().splitlines()
    assert json.loads(line)["inputs"] == {"text": "string[1]", "ids": "int64[1,3]"}
    assert "secret" not in line

    if edge == "grpcio":  # the files are alike
        read = subprocess.run(
            [sys.executable, "-c", READ_WITH_TENSORFLOW, requests], capture_output=True, text=True, check=True
        )
        assert json.loads(read.stdout) == texts_in(requests)
    warm = tmp_path / "warm"
    shutil.copytree(models_dir / "two", warm)
    (warm / "1" / "assets.extra").mkdir()
    shutil.copy(requests, warm / "1" / "assets.extra" / "tf_serving_warmup_requests")
    server = start_dev_server(f"--model=two={warm}")
    assert re.search(r"20\b.*warm|warm.*\b20\b", server.log.read_text()), server.log.read_text()


def test_a_request_that_the_server_fails_is_not_recorded(edge, dev_server, tmp_path):
    bad = predict_pb2.PredictRequest()
    bad.model_spec.name = "enc"
    image = bad.inputs["image_bytes"]
    image.dtype = 7
    image.tensor_shape.dim.add(size=1)
    image.string_val.append(b"no picture")  # admitted, and refused by the graph: it would fail a warm-up
    flags = ("--upstream", dev_server.target, "--edge", edge, "--capture", str(tmp_path / "captures"))
    with (
        running_proxy(*flags, "--capture-sample", "1") as proxy,
        grpc.insecure_channel(proxy.target) as channel,
    ):
        assert call(channel, bad.SerializeToString()) == "INVALID_ARGUMENT"
    assert list((tmp_path / "captures").iterdir()) == []


def test_classify_is_recorded_as_such(edge, dev_server, tmp_path):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "cls"
    features = request.input.example_list.examples.add().features.feature
    features["x"].float_list.value.extend([1, 2])
    flags = (
        "--upstream",
        dev_server.target,
        "--edge",
        edge,
        "--capture",
        str(tmp_path),
        "--capture-sample",
        "1",
    )
    with (
        running_proxy(*flags) as proxy,
        grpc.insecure_channel(proxy.target) as channel,
    ):
        data = request.SerializeToString()
        assert call(channel, data, "/tensorflow.serving.PredictionService/Classify") == "OK"
    with (tmp_path / "cls.000001.tfrecord").open("rb") as file:
        (logged,) = map(logged_request, read_records(file))
    assert logged.kind == "classify_log"
    assert classification_pb2.ClassificationRequest.FromString(logged.request) == request


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    command = [
        sys.executable,
        "-m",
        "proxy",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]
    done = subprocess.run(
        [*command, "--capture", str(tmp_path / "file" / "under")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_recorded_unless_asked_for(dev_server, tmp_path):
    with (
        running_proxy("--upstream", dev_server.target) as proxy,
        grpc.insecure_channel(proxy.target) as channel,
    ):
        assert call(channel, request_of(b"t")) == "OK"
        with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=10) as answer:
            assert b"tfs_proxy_captured_total{" not in answer.read()
    assert list(tmp_path.iterdir()) == []


class Capturing:
    """A running `tfs-proxy capture`."""

    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "proxy", "capture", "--listen", "127.0.0.1:0"),
                *("--admin-listen", "127.0.0.1:0", "--drain-seconds", "0", "--log-format", "json", *flags),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stderr:
            if line.startswith("Recording calls to "):
                self.target = line.split()[3]
                break

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def test_the_command_stops_by_itself_when_it_has_enough(dev_server, tmp_path):
    out = tmp_path / "warmup"
    capturing = Capturing(
        "--upstream", dev_server.target, "--model", "two", "--out", str(out), "--records", "3"
    )
    with grpc.insecure_channel(capturing.target) as channel:
        for number in range(3):
            assert not out.exists()
            assert call(channel, request_of(b"number %d" % number)) == "OK"
    code, printed, errors = capturing.end()
    assert code == 0, errors
    assert printed.startswith(f"3 requests in {out}")
    assert texts_in(out) == ["number 0", "number 1", "number 2"]
    assert [path.name for path in tmp_path.iterdir()] == ["warmup"]


def test_the_command_ends_with_its_time_and_says_when_there_was_nothing(dev_server, tmp_path):
    out = tmp_path / "warmup"
    flags = ("--upstream", dev_server.target, "--model", "two", "--out", str(out), "--seconds", "0.3")
    code, _, errors = Capturing(*flags).end()
    assert code == 1
    assert "nothing was recorded: no request for two was admitted" in errors
    assert list(tmp_path.iterdir()) == []
