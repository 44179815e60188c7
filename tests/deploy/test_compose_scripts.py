"""The scripts that run in the compose containers, run here against a real server."""

import os
import subprocess
import sys
from pathlib import Path

import grpc

from proxy.wire.protos import predict_pb2

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "deploy" / "compose"


def run(script: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_models_load_and_good_requests_get_their_answers(tmp_path, start_dev_server):
    run("make_models.py", tmp_path)
    server = start_dev_server(
        f"--model=half_plus_two={tmp_path}/half_plus_two", f"--model=brightness={tmp_path}/brightness"
    )
    out = run("traffic.py", server.target, "200")
    assert "a good request" not in out
    good = int(out.rpartition("'OK': ")[2].partition(",")[0].rstrip("}\n"))
    # One in ten is wrong, and some mistakes the server takes in silence.
    assert 180 <= good < 200
    assert "misspelt model: NOT_FOUND" in out


def test_the_models_compute_what_they_are_named_for(tmp_path, start_dev_server):
    run("make_models.py", tmp_path)
    server = start_dev_server(
        f"--model=half_plus_two={tmp_path}/half_plus_two", f"--model=brightness={tmp_path}/brightness"
    )
    with grpc.insecure_channel(server.target) as channel:
        predict = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            predict_pb2.PredictRequest.SerializeToString,
            predict_pb2.PredictResponse.FromString,
        )
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half_plus_two"
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.extend([1, 2, 5])
        request.inputs["x"].tensor_shape.dim.add().size = 3
        assert list(predict(request, timeout=10).outputs["y"].float_val) == [2.5, 3.0, 4.5]
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "brightness"
        image = request.inputs["image"]
        image.dtype = 4
        image.tensor_content = bytes([10, 20, 30] * 4)
        for size in (1, 2, 2, 3):
            image.tensor_shape.dim.add().size = size
        assert list(predict(request, timeout=10).outputs["mean"].float_val) == [20.0]
