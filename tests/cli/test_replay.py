"""`tfs-proxy replay` finds what a new server does differently, and nothing else."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from proxy.wire.arrays import tensor_of
from proxy.wire.prediction_log import log_head
from proxy.wire.protos import predict_pb2
from proxy.wire.tfrecord import frame
from tests.proxy_process import running_proxy

ROOT = Path(__file__).parents[2]


def request(model, **inputs) -> bytes:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for alias, values in inputs.items():
        message.inputs[alias].CopyFrom(tensor_of(values))
    return message.SerializeToString()


def write(path: Path, *requests: bytes) -> Path:
    with path.open("wb") as out:
        for each in requests:
            head = log_head("predict_log", len(each))
            before, behind = frame((head, each))
            out.write(b"".join((before, head, each, behind)))
    return path


def adding(*values) -> bytes:
    return request("multi", x=np.array(values, np.float32))


@pytest.fixture
def capture(tmp_path):
    return write(tmp_path / "capture", *(adding(number, 2) for number in range(10)))


def test_a_server_is_the_same_as_itself(run, dev_server, capture):
    result = run("replay", capture, "--against", dev_server.target, "--baseline", dev_server.target)
    assert result.exit_code == 0, result.output
    assert "10 requests sent, 0 with differences." in result.output
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in result.output.splitlines()
        if "10 OK" in line
    ]
    assert rows == [["before", dev_server.target, "10 OK"], ["after", dev_server.target, "10 OK"]]


def test_another_version_differs_by_what_it_computes(run, dev_server, capture):
    # Version 1 of this model adds 1, version 3 adds 3.
    result = run(
        *("replay", capture, "--json", "--against", dev_server.target, "--version", "3"),
        *("--baseline", dev_server.target, "--baseline-version", "1"),
    )
    assert result.exit_code == 1, result.output
    report = json.loads(result.output)
    assert (report["sent"], report["different"], report["kinds"]) == (10, 10, {"values": 10})
    first = min(report["differences"], key=lambda each: each["record"])
    assert first == {
        "record": 0,
        "kind": "values",
        "where": "y",
        "before": "",
        "after": "2 of 2 differ, by up to 2",
    }
    for server in ("against", "baseline"):
        assert report[server]["codes"] == {"OK": 10}
        assert 0 < report[server]["median_ms"] <= report[server]["p99_ms"]


def test_a_tolerance_may_forgive_it(run, dev_server, capture):
    result = run(
        *("replay", capture, "--tolerance", "2.5", "--against", dev_server.target, "--version", "3"),
        *("--baseline", dev_server.target, "--baseline-version", "1"),
    )
    assert result.exit_code == 0, result.output


def test_a_request_that_fails_on_the_new_server_is_found(
    run, dev_server, start_dev_server, models_dir, tmp_path
):
    capture = write(
        tmp_path / "capture",
        request("m", x=np.zeros((1, 2), np.float32)),
        request("m", x=np.zeros((4, 2), np.float32)),
    )
    old = start_dev_server(f"--model=m={models_dir / 'unk'}")
    new = start_dev_server(f"--model=m={models_dir / 'twosig_def'}")
    result = run("replay", capture, "--json", "--against", new.target, "--baseline", old.target)
    assert result.exit_code == 1
    # `unk` doubles and tells the shape, `twosig_def` adds one.
    assert json.loads(result.output)["kinds"] == {"values": 2, "outputs": 2}
    missing = write(tmp_path / "other", request("nobody", x=np.zeros((1, 2), np.float32)), adding(1))
    result = run("replay", missing, "--against", dev_server.target)
    assert result.exit_code == 1
    assert "NOT_FOUND: Servable not found for request: Latest(nobody)" in result.output
    assert "2 requests sent, 1 with differences." in result.output


def test_a_recorded_answer_is_the_baseline(run, dev_server, tmp_path):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.MergeFromString(adding(1))
    log.predict_log.response.outputs["y"].CopyFrom(tensor_of(np.array([7], np.float32)))
    data = log.SerializeToString()
    before, behind = frame((data,))
    capture = tmp_path / "log"
    capture.write_bytes(before + data + behind)
    result = run("replay", capture, "--against", dev_server.target)
    assert result.exit_code == 1
    assert "1 of 1 differ, by up to 3" in result.output  # 1 + 3 instead of 7


def test_several_files_and_a_limit(run, dev_server, capture):
    result = run("replay", capture, capture, "--limit", "15", "--against", dev_server.target)
    assert "15 requests sent" in result.output


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no requests in"),
        (b"not a TFRecord at all", "this is text, not a capture or warm-up file (TFRecord)"),
        (b"\x89PNG\r\n\x1a\n" * 9, "this is a PNG image, not a capture or warm-up file (TFRecord)"),
        (b"\xff\xad" * 9, "record 0, at byte 0: the checksum of a record's length is wrong"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_is_no_capture_is_exit_code_2(run, dev_server, tmp_path, content, sentence):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    result = run("replay", file, "--against", dev_server.target)
    assert result.exit_code == 2
    assert sentence in result.output


@pytest.mark.parametrize("dead", ["--against", "--baseline"])
def test_a_dead_port_is_exit_code_2_and_told_long_before_patience_ends(
    run, nobody, capture, dev_server, monkeypatch, dead
):
    monkeypatch.setattr("proxy.cli.asking.PATIENCE", 600.0)
    targets = {"--against": dev_server.target, "--baseline": dev_server.target, dead: nobody}
    result = run("replay", capture, *(word for pair in targets.items() for word in pair))
    assert result.exit_code == 2
    assert f"no answer from {nobody}: UNAVAILABLE" in result.output
    assert "Connection refused" in result.output
    assert f"tfs-proxy doctor --upstream {nobody}" in result.output


def test_ctrl_c_reports_what_was_compared(dev_server, tmp_path):
    slow = request("slow", n=np.array([100], np.int64))
    capture = write(tmp_path / "capture", *[slow] * 1000)
    with running_proxy("--upstream", dev_server.target, "--access-log") as proxy:
        command = ("replay", str(capture), "--against", proxy.target, "--concurrency", "1", "--json")
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        proxy.wait_for("call", method="/tensorflow.serving.PredictionService/Predict")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    report = json.loads(out)
    assert report["interrupted"]
    assert report["sent"] < 1000
